/** A swap area of its own on a loop device, in use while it lives, and readable as the file that it is. */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class SwapArea implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'coffer-swap-'));
  readonly #image = join(this.#directory, 'image');
  #device = '';

  /** @throws Error with what the machine does not have or allow. */
  constructor(mebibytes: number) {
    try {
      const descriptor = openSync(this.#image, 'wx', 0o600);
      ftruncateSync(descriptor, mebibytes * 1024 * 1024);
      closeSync(descriptor);
      this.#device = run('losetup', '--find', '--show', this.#image).trim();
      run('mkswap', '--quiet', this.#device);
      // Before any other: the machine's own swap must not take what this one should.
      run('swapon', '--priority', '32000', this.#device);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** All that was ever swapped out to it and has not been overwritten since. */
  read(): Buffer {
    spawnSync('sync', [this.#device]);
    return readFileSync(this.#image);
  }

  [Symbol.dispose](): void {
    if (this.#device !== '') {
      spawnSync('swapoff', [this.#device]);
      spawnSync('losetup', ['--detach', this.#device]);
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export function run(program: string, ...argv: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, argv, { encoding: 'utf8' });
  if (error) throw new Error(`${program}: apt-get install util-linux mount`);
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')}: ${stderr.trim()}`);
  return stdout;
}
