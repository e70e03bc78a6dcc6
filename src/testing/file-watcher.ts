/**
 * Looks at one file in several containers, over and over, and keeps every look that shows what must
 * not be: a file that is missing, or a content that the rule does not allow after the one before.
 */
import { systemClock } from '../base/clock.ts';
import { readInside } from './story.ts';

export class FileWatcher implements AsyncDisposable {
  readonly breaches: string[] = [];
  looks = 0;
  readonly #stop = new AbortController();
  readonly #looking: Promise<void>;

  /** @param allows - Whether `text` may follow `before`, which is undefined at the first look. */
  constructor(
    pids: readonly number[],
    path: string,
    allows: (text: string, before: string | undefined) => boolean,
  ) {
    this.#looking = this.#look(pids, path, allows);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#looking;
  }

  async #look(
    pids: readonly number[],
    path: string,
    allows: (text: string, before: string | undefined) => boolean,
  ): Promise<void> {
    const seen = new Map<number, string>();
    while (!this.#stop.signal.aborted) {
      for (const pid of pids) {
        const text = readInside(pid, path);
        const before = seen.get(pid);
        this.looks += 1;
        if (text === undefined) this.breaches.push(`${path} of ${pid}: missing`);
        else if (!allows(text, before))
          this.breaches.push(`${path} of ${pid}: ${before} → ${text}`);
        if (text !== undefined) seen.set(pid, text);
      }
      await systemClock.sleep(2);
    }
  }
}

/** Counters never go backwards. */
export const rising = (text: string, before = '0'): boolean => Number(text) >= Number(before);
export const constant =
  (value: string) =>
  (text: string): boolean =>
    text === value;
