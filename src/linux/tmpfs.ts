/**
 * A tmpfs that is attached nowhere yet.
 */
import {
  close,
  fsconfigCreate,
  fsconfigFlag,
  fsconfigSet,
  fsmount,
  fsopen,
  isErrno,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
} from './libc.ts';

export interface TmpfsOptions {
  /** What mountinfo shows as the source. */
  readonly source: string;
  readonly bytesMax: number;
  readonly inodesMax: number;
  /** Of the root directory. */
  readonly mode: number;
  readonly noswap: boolean;
}

/**
 * Makes a tmpfs: nosuid, nodev, noexec.
 *
 * @returns A descriptor of the detached mount. When the last reference to it goes, so does the tmpfs.
 */
export function createTmpfs(options: TmpfsOptions): number {
  const context = fsopen('tmpfs');
  try {
    fsconfigSet(context, 'source', options.source);
    fsconfigSet(context, 'size', String(options.bytesMax));
    fsconfigSet(context, 'nr_inodes', String(options.inodesMax));
    fsconfigSet(context, 'mode', options.mode.toString(8));
    if (options.noswap) fsconfigFlag(context, 'noswap');
    fsconfigCreate(context);
    return fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  } finally {
    close(context);
  }
}

/** Whether this kernel can keep a tmpfs out of swap (Linux 6.4). Makes nothing. */
export function kernelHasNoswap(): boolean {
  const context = fsopen('tmpfs');
  try {
    fsconfigFlag(context, 'noswap');
    return true;
  } catch (error) {
    if (isErrno(error, 'EINVAL')) return false;
    throw error;
  } finally {
    close(context);
  }
}

export function makeReadOnly(mountFd: number): void {
  mountSetattr(mountFd, { set: MOUNT_ATTR_RDONLY });
}

export function makeWritable(mountFd: number): void {
  mountSetattr(mountFd, { clear: MOUNT_ATTR_RDONLY });
}
