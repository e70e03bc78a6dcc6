/**
 * What a container made of the mount that was put into it.
 */
import {
  close,
  fstatfs,
  isErrno,
  O_DIRECTORY,
  O_PATH,
  openat2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  statx,
} from '../../linux/libc.ts';
import { parseMountinfo } from '../../linux/mountinfo.ts';
import type { HeldProcess } from '../../linux/process.ts';
import type { MountState } from './mount.ts';

/** ST_RDONLY, ST_NOSUID, ST_NODEV, ST_NOEXEC. */
const flagsExpected = 0b1111;

export function inspectMount(
  process: HeldProcess,
  segments: readonly string[],
  mountId: number,
): MountState {
  const rootFd = process.openRoot();
  if (rootFd === undefined) return 'gone';
  let targetFd: number;
  try {
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    targetFd = openat2(rootFd, segments.join('/'), O_PATH | O_DIRECTORY, resolve);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return elsewhere(process, mountId);
    throw error;
  } finally {
    close(rootFd);
  }
  try {
    if (statx(targetFd).mountId !== mountId) return elsewhere(process, mountId);
    return (fstatfs(targetFd).flags & flagsExpected) === flagsExpected ? 'in-place' : 'altered';
  } finally {
    close(targetFd);
  }
}

/** It is not what the target leads to: covered, or not there any more. */
function elsewhere(process: HeldProcess, mountId: number): MountState {
  const text = process.read('mountinfo');
  if (text === undefined) return 'gone';
  const attached = parseMountinfo(text).some((entry) => entry.id === mountId);
  return attached ? 'over-mounted' : 'unmounted';
}
