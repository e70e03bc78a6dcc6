/**
 * The change feed: pulled, never called back. Each reader has a bounded set of what changed since it
 * last asked, one row per record; whoever falls too far behind is told so, and reads everything anew.
 */
import type { Change } from './record.ts';

export interface FeedStep {
  /** More changed than is kept, or everything was loaded anew: `changes` is empty, read all again. */
  readonly lost: boolean;
  /** In the order of their last change; each record once. */
  readonly changes: readonly Change[];
}

export interface Feed {
  /** Waits until something changed. One call at a time. @throws the signal's reason when it aborts. */
  next(signal: AbortSignal): Promise<FeedStep>;
  close(): void;
}

/** Changes kept per reader: about a megabyte. */
const changesMax = 8192;

export class Feeds {
  readonly #readers = new Set<Reader>();

  open(): Feed {
    const reader = new Reader(() => this.#readers.delete(reader));
    this.#readers.add(reader);
    return reader;
  }

  publish(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    for (const reader of this.#readers) reader.add(changes);
  }

  /** What every reader knows is void. */
  lose(): void {
    for (const reader of this.#readers) reader.lose();
  }
}

class Reader implements Feed {
  readonly #pending = new Map<string, Change>();
  readonly #leave: () => void;
  #lost = false;
  #wake: (() => void) | undefined;

  constructor(leave: () => void) {
    this.#leave = leave;
  }

  add(changes: readonly Change[]): void {
    if (this.#lost) return;
    for (const change of changes) {
      const key = `${change.kind}/${change.id}`;
      this.#pending.delete(key); // so that it goes to the end
      this.#pending.set(key, change);
    }
    if (this.#pending.size > changesMax) this.lose();
    this.#wake?.();
  }

  lose(): void {
    this.#pending.clear();
    this.#lost = true;
    this.#wake?.();
  }

  async next(signal: AbortSignal): Promise<FeedStep> {
    signal.throwIfAborted();
    if (this.#pending.size === 0 && !this.#lost) await this.#change(signal);
    const step = { lost: this.#lost, changes: [...this.#pending.values()] };
    this.#pending.clear();
    this.#lost = false;
    return step;
  }

  close(): void {
    this.#leave();
  }

  #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#wake = resolve;
    return promise.finally(() => {
      this.#wake = undefined;
      signal.removeEventListener('abort', onAbort);
    });
  }
}
