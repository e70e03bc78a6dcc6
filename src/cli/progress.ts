/**
 * How far long work is: one line on standard error that is written over, and is gone when the work is done.
 *
 * Promises: only a terminal sees it, and only after a moment; nothing else ever does, so no log and no
 * script has to read past it.
 */
import type { Session } from './session.ts';
import { visible } from '../base/visible-text.ts';

const showAfterMs = 300;
const againAfterMs = 100;
const clearLine = '\r\u001b[K';

export class Progress implements Disposable {
  readonly #session: Session;
  readonly #startedMs: number;
  #shownMs = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor(session: Session) {
    this.#session = session;
    this.#startedMs = session.io.clock.monotonicMs();
  }

  /** @param text - One short line: `12 of 340 entries`. */
  say(text: string): void {
    const { clock, stderr, env } = this.#session.io;
    if (!stderr.isTty || env['TERM'] === 'dumb' || this.#session.flags.quiet === true) return;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#startedMs < showAfterMs || nowMs - this.#shownMs < againAfterMs) return;
    this.#shownMs = nowMs;
    this.#isShown = true;
    stderr.write(`${clearLine}${visible(text).slice(0, 78)}`);
  }

  [Symbol.dispose](): void {
    if (this.#isShown) this.#session.io.stderr.write(clearLine);
    this.#isShown = false;
  }
}
