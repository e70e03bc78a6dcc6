/**
 * A thread that reads sets of files as fast as it can and counts what it saw.
 *
 * Every file of a set holds the set's number, so a set of which two files differ was torn. The
 * directory is opened once per set, as readers are told to do.
 */
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

export interface SetReaderOptions {
  /** The directory that is opened once per set. */
  readonly directory: string;
  readonly names: readonly string[];
}

export interface SetReadings {
  readonly whole: number;
  readonly torn: number;
  readonly empty: number;
  /** A file was gone by the time it was opened. */
  readonly vanished: number;
}

const counters = ['stop', 'whole', 'torn', 'empty', 'vanished'] as const;

export class SetReader {
  readonly #counts = new Int32Array(new SharedArrayBuffer(4 * counters.length));
  readonly #worker: Worker;

  constructor(options: SetReaderOptions) {
    const data = { ...options, counts: this.#counts, reads: true };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: data });
  }

  get readings(): SetReadings {
    const [, whole = 0, torn = 0, empty = 0, vanished = 0] = this.#counts;
    return { whole, torn, empty, vanished };
  }

  async stop(): Promise<SetReadings> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    Atomics.store(this.#counts, 0, 1);
    await ended;
    return this.readings;
  }
}

function readOneSet({ directory, names }: SetReaderOptions): (typeof counters)[number] {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const seen = new Set(names.map((name) => readFileSync(`/proc/self/fd/${fd}/${name}`, 'utf8')));
    if (seen.has('')) return 'empty';
    return seen.size === 1 ? 'whole' : 'torn';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'vanished';
    throw error;
  } finally {
    closeSync(fd);
  }
}

if (!isMainThread && (workerData as { reads?: boolean }).reads === true) {
  const { counts, ...options } = workerData as SetReaderOptions & { readonly counts: Int32Array };
  while (Atomics.load(counts, 0) === 0) {
    Atomics.add(counts, counters.indexOf(readOneSet(options)), 1);
  }
}
