/**
 * The stand-in: directories to mount on, where a container's root is read-only and lacks them.
 *
 * A small tmpfs, read-only and without a file, takes the place of an empty directory that may be mounted on
 * (/run, or an allowed target): nobody can write there, so it has nothing to hide. It holds the missing
 * directories and is given more as more targets come. Each set is a mount of its own on one of them, as it
 * would be on the container's own; the stand-in goes with the last of them.
 *
 * Nothing rests on its being ours: a container that imitates it gets its own directories made in its own
 * tmpfs, or loses that.
 */
import { Fault } from '../../base/fault.ts';
import {
  close,
  mkdirat,
  mountIdOf,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  statx,
} from '../../linux/libc.ts';
import { type MountEntry, parseMountinfo } from '../../linux/mountinfo.ts';
import {
  attachInside,
  cloneInside,
  detachIfThere,
  type HomeNamespace,
} from '../../linux/namespace.ts';
import type { HeldProcess } from '../../linux/process.ts';
import { createTmpfs, makeReadOnly, makeWritable } from '../../linux/tmpfs.ts';
import { isEmptyDirectory } from './file-set.ts';
import { openKnown } from './inspect-mount.ts';
import { type FoundDirectory, refuseShared } from './target-directory.ts';

/** Not the beginning of a set's source. */
const source = 'coffer-directories';
/** Passable, whoever the container's user is. */
const mode = 0o755;
/** Directories are inodes and nothing else. A container has a handful of targets. */
const inodesMax = 1024;
const bytesMax = 64 * 1024;

/** An empty directory here may be taken the place of, besides allowed targets. */
const place = '/run';

export interface StandInContext {
  readonly home: HomeNamespace;
  readonly targetPrefixes: readonly string[];
  /** @throws Fault `mount.swappable` @returns whether to ask for `noswap` */
  readonly noswap: () => boolean;
}

interface Inside {
  readonly namespaceFd: number;
  readonly segments: readonly string[];
  readonly mounts: readonly MountEntry[];
}

/**
 * Makes what is missing on the way to a target.
 *
 * @param there - The last directory that there is, on a read-only file system.
 * @throws Fault `mount.target-missing` if nothing can stand in for that directory.
 */
export function makeByStandIn(
  context: StandInContext,
  inside: Inside,
  there: FoundDirectory,
): void {
  const { namespaceFd, segments, mounts } = inside;
  const { fd, missing } = there;
  const { mountId } = statx(fd);
  if (mounts.some((entry) => entry.id === mountId && isStandIn(entry))) {
    const writableFd = cloneInside(context.home, namespaceFd, fd);
    try {
      makeWritable(writableFd);
      makeDirectories(writableFd, missing);
    } finally {
      close(writableFd);
    }
    return;
  }
  const path = `/${segments.slice(0, segments.length - missing.length).join('/')}`;
  const target = `/${segments.join('/')}`;
  const isAllowed = path === place || context.targetPrefixes.includes(path);
  if (!isAllowed || !isEmptyDirectory(fd)) throw new Fault('mount.target-missing', { target });
  refuseShared(fd, mounts, target);
  const noswap = context.noswap();
  const viewFd = createTmpfs({ source, bytesMax, inodesMax, mode, noswap });
  try {
    makeDirectories(viewFd, missing);
    makeReadOnly(viewFd);
    close(attachInside(context.home, namespaceFd, { mountFd: viewFd, targetFd: fd }));
  } finally {
    close(viewFd);
  }
}

function makeDirectories(mountFd: number, names: readonly string[]): void {
  let fd = openat(mountFd, '.', O_RDONLY | O_DIRECTORY);
  try {
    for (const name of names) {
      mkdirat(fd, name, mode);
      const next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      close(fd);
      fd = next;
    }
  } finally {
    close(fd);
  }
}

/** Takes the stand-in that a target was on away, unless something is mounted there still. */
export function removeStandIn(
  home: HomeNamespace,
  from: Pick<Inside, 'namespaceFd' | 'segments'> & { readonly process: HeldProcess },
): void {
  const { namespaceFd, segments, process } = from;
  const text = process.read('mountinfo') ?? '';
  if (!text.includes(source)) return;
  const target = `/${segments.join('/')}`;
  const mounts = parseMountinfo(text);
  for (const entry of mounts) {
    if (!isStandIn(entry) || !target.startsWith(`${entry.mountPoint}/`)) continue;
    if (mounts.some(({ parentId }) => parentId === entry.id)) continue;
    const rootFd = process.openRoot();
    if (rootFd === undefined) return;
    try {
      detachAt(home, { rootFd, namespaceFd, entry });
    } finally {
      close(rootFd);
    }
  }
}

/** Found without asking a file system: something may have been mounted on the way that never answers. */
function detachAt(
  home: HomeNamespace,
  at: { readonly rootFd: number; readonly namespaceFd: number; readonly entry: MountEntry },
): void {
  const fd = openKnown(at.rootFd, at.entry.mountPoint.slice(1));
  if (fd === undefined) return;
  try {
    if (mountIdOf(fd) === at.entry.id) detachIfThere(home, at.namespaceFd, fd);
  } finally {
    close(fd);
  }
}

function isStandIn(entry: MountEntry): boolean {
  return entry.kind === 'tmpfs' && entry.source === source;
}
