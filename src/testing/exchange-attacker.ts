/**
 * A thread that swaps two names in a directory for one another, atomically and as fast as it can: the
 * attack that beats every check that is not the use itself.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { renameat2 } from '../linux/libc.ts';
import { until } from './until.ts';

const RENAME_EXCHANGE = 2;

export interface ExchangeOptions {
  readonly directory: string;
  readonly names: readonly [string, string];
}

export class ExchangeAttacker {
  readonly #counts = new Int32Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;

  constructor(options: ExchangeOptions) {
    const data = { ...options, counts: this.#counts, exchanges: true };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: data });
  }

  async started(): Promise<void> {
    await until('the attack has begun', () => Atomics.load(this.#counts, 1) > 0);
  }

  /** @returns how often it swapped */
  async stop(): Promise<number> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    Atomics.store(this.#counts, 0, 1);
    await ended;
    return Atomics.load(this.#counts, 1);
  }
}

if (!isMainThread && (workerData as { exchanges?: boolean }).exchanges === true) {
  const { counts, directory, names } = workerData as ExchangeOptions & {
    readonly counts: Int32Array;
  };
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  while (Atomics.load(counts, 0) === 0) {
    renameat2([fd, names[0]], [fd, names[1]], RENAME_EXCHANGE);
    Atomics.add(counts, 1, 1);
  }
  closeSync(fd);
}
