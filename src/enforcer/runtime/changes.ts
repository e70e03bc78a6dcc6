/**
 * Ids of containers that something happened to, each at most once, oldest first.
 *
 * Engines drop the events of a listener that reads slowly (Docker after 100 ms and 1,024 events). So
 * events are read at once and only the id is kept: what happened is found out by looking. The size is
 * bounded by the number of containers.
 */
import type { Clock } from '../../base/clock.ts';

export class Changes {
  readonly #ids = new Set<string>();
  #wake: (() => void) | undefined;
  #ended: { readonly error: Error | undefined } | undefined;

  add(id: string): void {
    this.#ids.add(id);
    this.#wake?.();
  }

  /** No more will come. What was added before is still taken; then `take` throws `error`, or returns none. */
  end(error?: Error): void {
    this.#ended ??= { error };
    this.#wake?.();
  }

  /**
   * Up to `max` ids, waiting for the first one, for `quietMs` at most if that is given.
   *
   * @returns 'quiet' if there was none in that time, 'ended' after `end()`.
   */
  async take(
    max: number,
    quiet?: { readonly clock: Clock; readonly quietMs: number },
  ): Promise<readonly string[] | 'quiet' | 'ended'> {
    if (this.#ids.size === 0 && this.#ended === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = quiet?.clock.setTimer(quiet.quietMs, resolve);
      this.#wake = resolve;
      await promise;
      this.#wake = undefined;
      timer?.cancel();
    }
    const taken = [...this.#ids.values().take(max)];
    for (const id of taken) this.#ids.delete(id);
    if (taken.length > 0) return taken;
    if (this.#ended === undefined) return 'quiet';
    if (this.#ended.error !== undefined) throw this.#ended.error;
    return 'ended';
  }
}
