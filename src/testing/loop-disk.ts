/**
 * A small ext4 file system of its own on a loop device, for tests that fill it or cut its power.
 *
 * The cut is ext4's own: `EXT4_IOC_SHUTDOWN` without flushing the journal. From that instant nothing
 * more reaches the device, so what a program had not made durable is lost, as when the power fails. What
 * had reached it by then is copied, and mounted from the copy: whoever has made a mount namespace
 * meanwhile (a container engine, another test) holds the dead file system, and would be given it again.
 * The loop device frees itself when it is unmounted by all.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';

/** _IOR('X', 125, __u32), and EXT4_GOING_FLAGS_NOLOGFLUSH. */
const ext4Shutdown = 0x8004_587d;
const withoutLogFlush = 2;

export class LoopDisk implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'coffer-disk-'));
  #image = join(this.#directory, 'image');
  #cuts = 0;
  /** Where it is mounted: a directory for root alone. */
  readonly path = join(this.#directory, 'mounted');

  constructor(mebibytes: number) {
    try {
      const descriptor = openSync(this.#image, 'wx', 0o600);
      ftruncateSync(descriptor, mebibytes * 1024 * 1024);
      closeSync(descriptor);
      mkdirSync(this.path);
      // A small journal leaves room for files; no lazy work, so that nothing runs in the background.
      const lazy = 'lazy_itable_init=0,lazy_journal_init=0';
      run('mkfs.ext4', ['-q', '-F', '-E', lazy, '-J', 'size=4', '-m', '0', this.#image]);
      this.mount();
      run('chmod', ['0700', this.path]);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  mount(): void {
    run('mount', ['-o', 'loop', this.#image, this.path]);
  }

  unmount(): void {
    run('umount', [this.path]);
  }

  /** Takes all space but about `left` bytes, with a file. */
  fill(path: string, left: number): void {
    const descriptor = openSync(path, 'w', 0o600);
    try {
      const { bavail, bsize } = statfsSync(this.path);
      const chunk = Buffer.alloc(bsize, 1);
      const blocks = Math.max(0, bavail - Math.ceil(left / bsize));
      for (let block = 0; block < blocks; block += 1) writeSync(descriptor, chunk);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    } finally {
      closeSync(descriptor);
    }
  }

  /** From now on, and until it is mounted anew, nothing reaches the device and everything fails. */
  cutPower(): void {
    const libc = koffi.load('libc.so.6');
    const ioctl = libc.func('int ioctl(int fd, unsigned long request, uint32_t *argument)');
    const descriptor = openSync(this.path, 'r');
    try {
      const result: unknown = ioctl(descriptor, ext4Shutdown, [withoutLogFlush]);
      if (result !== 0) throw new Error(`the file system did not shut down: ${koffi.errno()}`);
    } finally {
      closeSync(descriptor);
    }
    const dead = this.#image;
    this.#cuts += 1;
    this.#image = join(this.#directory, `image-${this.#cuts}`);
    copyFileSync(dead, this.#image, constants.COPYFILE_FICLONE);
    rmSync(dead);
  }

  [Symbol.dispose](): void {
    spawnSync('umount', ['-l', this.path], { stdio: 'ignore' });
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Why there can be no such disk here, or `false` if there can: for the `skip` of a test. */
export function loopDiskMissing(): string | false {
  if (process.geteuid?.() !== 0) {
    return 'needs root for loop devices: run `sudo npm run verify`';
  }
  try {
    new LoopDisk(16)[Symbol.dispose]();
    return false;
  } catch (error) {
    return `needs loop devices and ext4 (a privileged container or host): ${String(error)}`;
  }
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program}: ${stderr.trim()}`);
}
