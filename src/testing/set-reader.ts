/**
 * A thread that reads sets of files as fast as it can and counts what it saw.
 *
 * Every file of a set holds the set's number, so a set of which two files differ was torn. The
 * directory is opened once per set, as readers are told to do.
 */
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';

export interface SetReaderOptions {
  /** The directory that is opened once per set. */
  readonly directory: string;
  readonly names: readonly string[];
}

export interface SetReadings {
  readonly whole: number;
  /** Two sets in one. */
  readonly torn: number;
  /** A file was gone or emptied, though less than a grace had passed since the set was opened. */
  readonly vanished: number;
  /** The same, but the reader took longer: another program had the processor, say. */
  readonly late: number;
}

const counters = ['stop', 'whole', 'torn', 'vanished', 'late'] as const;

export class SetReader {
  readonly #counts = new Int32Array(new SharedArrayBuffer(4 * counters.length));
  readonly #worker: Worker;

  constructor(options: SetReaderOptions) {
    const data = { ...options, counts: this.#counts, reads: true };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: data });
  }

  get readings(): SetReadings {
    const [, whole = 0, torn = 0, vanished = 0, late = 0] = this.#counts;
    return { whole, torn, vanished, late };
  }

  async stop(): Promise<SetReadings> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    Atomics.store(this.#counts, 0, 1);
    await ended;
    return this.readings;
  }
}

function readOneSet({ directory, names }: SetReaderOptions): (typeof counters)[number] {
  const openedMs = systemClock.monotonicMs();
  const texts = readTexts(directory, names);
  const seen = new Set(texts.filter(isWhole));
  if (seen.size > 1) return 'torn';
  if (texts.length === names.length && texts.every(isWhole)) return 'whole';
  const tookMs = systemClock.monotonicMs() - openedMs;
  return tookMs < limits.replacedValueGraceMs ? 'vanished' : 'late';
}

/** Fewer than there are names, if the set was taken away in the middle. */
function readTexts(directory: string, names: readonly string[]): string[] {
  const texts: string[] = [];
  let fd: number | undefined;
  try {
    fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    for (const name of names) texts.push(readFileSync(`/proc/self/fd/${fd}/${name}`, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  return texts;
}

/** What is taken away is overwritten with zeros, then empty, then gone. */
function isWhole(text: string): boolean {
  return text !== '' && !text.includes('\0');
}

if (!isMainThread && (workerData as { reads?: boolean }).reads === true) {
  const { counts, ...options } = workerData as SetReaderOptions & { readonly counts: Int32Array };
  while (Atomics.load(counts, 0) === 0) {
    Atomics.add(counts, counters.indexOf(readOneSet(options)), 1);
  }
}
