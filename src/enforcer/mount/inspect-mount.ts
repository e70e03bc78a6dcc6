/**
 * What a container made of the mount that was put into it.
 *
 * Promises: no file system of the container's is asked anything. One that never answers, mounted over
 * ours or on the way to it, would hold up the thread, and all other containers with it.
 */
import {
  close,
  fstatfs,
  LibcError,
  mountIdOf,
  O_DIRECTORY,
  O_PATH,
  openat2,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from '../../linux/libc.ts';
import { type MountEntry, parseMountinfo } from '../../linux/mountinfo.ts';
import type { HeldProcess } from '../../linux/process.ts';
import type { MountState } from './mount.ts';

/** ST_RDONLY, ST_NOSUID, ST_NODEV, ST_NOEXEC. */
const flagsExpected = 0b1111;
const optionsExpected = ['ro', 'nosuid', 'nodev', 'noexec'];

export function inspectMount(
  process: HeldProcess,
  segments: readonly string[],
  mountId: number,
): MountState {
  const rootFd = process.openRoot();
  if (rootFd === undefined) return 'gone';
  let targetFd: number | undefined;
  try {
    targetFd = openKnown(rootFd, segments.join('/'));
    if (targetFd !== undefined && mountIdOf(targetFd) === mountId) {
      // It is ours, so this asks nobody else.
      return (fstatfs(targetFd).flags & flagsExpected) === flagsExpected ? 'in-place' : 'altered';
    }
  } finally {
    if (targetFd !== undefined) close(targetFd);
    close(rootFd);
  }
  const text = process.read('mountinfo');
  return text === undefined ? 'gone' : stateIn(parseMountinfo(text), segments, mountId);
}

/**
 * Where the target leads by what the kernel has in memory. The way to a mount is always there; some
 * file systems want to be asked all the same: then the table of mounts tells.
 */
export function openKnown(rootFd: number, path: string): number | undefined {
  try {
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED;
    return openat2(rootFd, path, O_PATH | O_DIRECTORY, resolve);
  } catch (error) {
    if (error instanceof LibcError) return undefined;
    throw error;
  }
}

/** What the table of mounts says. */
export function stateIn(
  mounts: readonly MountEntry[],
  segments: readonly string[],
  mountId: number,
): MountState {
  const ours = mounts.find(({ id }) => id === mountId);
  if (ours === undefined) return 'unmounted';
  const target = `/${segments.join('/')}`;
  if (topmost(mounts, target) !== ours) return 'over-mounted';
  return optionsExpected.every((option) => ours.options.includes(option)) ? 'in-place' : 'altered';
}

/** The mount that a lookup of the path ends in: from the root on, always the next one on the way. */
function topmost(mounts: readonly MountEntry[], path: string): MountEntry | undefined {
  const onTheWay = mounts.filter(
    ({ mountPoint }) => mountPoint === '/' || `${path}/`.startsWith(`${mountPoint}/`),
  );
  const ids = new Set(mounts.map(({ id }) => id));
  let at = onTheWay.find(({ parentId, mountPoint }) => mountPoint === '/' && !ids.has(parentId));
  while (at !== undefined) {
    const { id } = at;
    const next = onTheWay
      .filter(({ parentId }) => parentId === id)
      .toSorted((one, other) => one.mountPoint.length - other.mountPoint.length)[0];
    if (next === undefined) return at;
    at = next;
  }
  return undefined;
}
