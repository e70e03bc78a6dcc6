/**
 * Finds, or makes, the directory inside a container that a set is mounted on.
 *
 * The container owns the file system that is walked here and may change it at any moment. So each
 * step is made by the kernel under a descriptor of the container's root, refuses links of every kind,
 * and what it found is held by descriptor until it is mounted on (THREAT-MODEL, V18).
 *
 * A directory that is missing is made. Where the root is read-only that fails: see `stand-in.ts`.
 */
import { Fault } from '../../base/fault.ts';
import {
  close,
  duplicate,
  inTheNameOf,
  isErrno,
  mkdirat,
  O_DIRECTORY,
  O_PATH,
  type Owner,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  statx,
} from '../../linux/libc.ts';
import type { MountEntry } from '../../linux/mountinfo.ts';

export interface FoundDirectory {
  /** The target, or the last directory on the way to it. The caller closes it. */
  readonly fd: number;
  /** Directories below `fd` that cannot be made, because its file system is read-only. */
  readonly missing: readonly string[];
}

const withoutLinks = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/** What a directory made inside a container lets everyone do: pass and list. */
const madeDirectoryMode = 0o755;

/**
 * Opens the target if it is there.
 *
 * @throws Fault `mount.target-symlink`, `mount.target-invalid` if it is no directory
 */
export function findTargetDirectory(
  rootFd: number,
  segments: readonly string[],
): number | undefined {
  try {
    const path = segments.join('/');
    return openat2(rootFd, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | withoutLinks);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw targetFault(error, segments);
  }
}

/**
 * Makes the target, as far as the container's file systems let us.
 *
 * @param owner - Host ids of root inside. Directories are made in its name: its file systems may know no
 *   other.
 * @throws Fault `mount.target-missing`, `mount.target-symlink`, `mount.target-invalid`
 */
export function makeTargetDirectory(
  rootFd: number,
  segments: readonly string[],
  owner: Owner,
): FoundDirectory {
  let fd = duplicate(rootFd);
  try {
    for (const [index, segment] of segments.entries()) {
      const next = openOrMake(fd, segment, owner);
      if (next === 'read-only') return { fd, missing: segments.slice(index) };
      close(fd);
      fd = next;
    }
    return { fd, missing: [] };
  } catch (error) {
    close(fd);
    throw targetFault(error, segments);
  }
}

/** Two rounds: made by somebody else in between is as good as made by us. */
function openOrMake(parentFd: number, segment: string, owner: Owner): number | 'read-only' {
  const open = (): number =>
    openat2(parentFd, segment, O_PATH | O_DIRECTORY, RESOLVE_BENEATH | withoutLinks);
  try {
    return open();
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  try {
    inTheNameOf(owner, () => mkdirat(parentFd, segment, madeDirectoryMode));
  } catch (error) {
    if (isErrno(error, 'EROFS')) return 'read-only';
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  return open();
}

/** File systems whose answers come from another machine or from a program, the container's perhaps. */
const slowKinds = /^(?:fuse|nfs|cifs|smb3|9p|ceph|afs|autofs|virtiofs|lustre|coda)/;

/**
 * Whoever serves such a file system could keep us waiting for ever, and every other container with
 * us. The root itself is exempt: rootless engines serve it by FUSE.
 *
 * @throws Fault `mount.target-remote`
 */
export function refuseSlow(segments: readonly string[], mounts: readonly MountEntry[]): void {
  const target = `/${segments.join('/')}`;
  const on = mounts.find(
    ({ kind, mountPoint }) =>
      mountPoint !== '/' && slowKinds.test(kind) && `${target}/`.startsWith(`${mountPoint}/`),
  );
  if (on !== undefined) {
    throw new Fault('mount.target-remote', { target, on: on.mountPoint, kind: on.kind });
  }
}

/**
 * A mount that is attached under a shared one appears wherever that one is shared to, the host
 * perhaps.
 *
 * @throws Fault `mount.target-shared`
 */
export function refuseShared(
  targetFd: number,
  mounts: readonly MountEntry[],
  target: string,
): void {
  const { mountId } = statx(targetFd);
  const under = mounts.find((entry) => entry.id === mountId);
  if (under?.propagation.some((mark) => mark.startsWith('shared:')) !== false) {
    throw new Fault('mount.target-shared', { target, on: under?.mountPoint });
  }
}

function targetFault(error: unknown, segments: readonly string[]): unknown {
  const detail = { target: `/${segments.join('/')}` };
  if (isErrno(error, 'ELOOP')) return new Fault('mount.target-symlink', detail, { cause: error });
  if (isErrno(error, 'ENOTDIR', 'ENAMETOOLONG', 'EXDEV')) {
    return new Fault('mount.target-invalid', { ...detail, errno: error.code }, { cause: error });
  }
  // Removed again while we looked, or closed to the container's own root.
  if (isErrno(error, 'ENOENT', 'EACCES', 'EPERM'))
    return new Fault('mount.target-missing', detail, { cause: error });
  return error;
}
