/**
 * What is done once work has paused: after a burst, not in its middle.
 */
import type { Clock, Timer } from './clock.ts';

export class Lull implements Disposable {
  readonly #clock: Pick<Clock, 'setTimer'>;
  readonly #afterMs: number;
  readonly #act: () => void;
  #timer: Timer | undefined;
  #ended = false;

  /** @param act - Called when nothing has stirred for `afterMs`, once for each such pause. */
  constructor(clock: Pick<Clock, 'setTimer'>, afterMs: number, act: () => void) {
    this.#clock = clock;
    this.#afterMs = afterMs;
    this.#act = act;
  }

  stir(): void {
    if (this.#ended) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(this.#afterMs, this.#act);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.cancel();
  }
}

/**
 * Gives back what the calling thread needs no more, in some 10 ms. Left to itself a small heap is
 * collected when it has grown by half, which at rest is never. Nothing without `--expose-gc`.
 *
 * @param what - `code-too`: compiled code with it, in some 25 ms; what is used again is compiled again.
 *   After a start most of it is not.
 */
export function collectGarbage(what: 'objects' | 'code-too'): void {
  const options = { type: 'major', execution: 'sync' } as const;
  globalThis.gc?.(what === 'objects' ? options : { ...options, flavor: 'last-resort' });
}
