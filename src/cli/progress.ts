/**
 * That work goes on, and how far it is: one line on standard error that is written over, and is gone when
 * the work is done.
 *
 * Promises: only a terminal sees it, and only after a moment; nothing else ever does, so no log and no
 * script has to read past it.
 */
import type { Timer } from '../base/clock.ts';
import type { Session } from './session.ts';
import { visible } from '../base/visible-text.ts';

const showAfterMs = 300;
const againAfterMs = 100;
const waitingAgainAfterMs = 1000;
const clearLine = '\r\u001b[K';

export class Progress implements Disposable {
  readonly #session: Session;
  readonly #startedMs: number;
  #shownMs = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor(session: Session) {
    this.#session = session;
    this.#startedMs = session.io.clock.monotonicMs();
    session.lines += 1;
  }

  /** @param text - One short line: `12 of 340 entries`. */
  say(text: string): void {
    const { clock } = this.#session.io;
    if (!isSeen(this.#session)) return;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#startedMs < showAfterMs || nowMs - this.#shownMs < againAfterMs) return;
    this.#shownMs = nowMs;
    this.#isShown = true;
    write(this.#session, text);
  }

  [Symbol.dispose](): void {
    if (this.#isShown) this.#session.io.stderr.write(clearLine);
    this.#isShown = false;
    this.#session.lines -= 1;
  }
}

/** Says what is waited for, and for how long already. Whoever shows progress meanwhile has the line. */
export async function showingWait<T>(
  session: Session,
  what: string,
  waitedFor: Promise<T>,
): Promise<T> {
  if (!isSeen(session)) return await waitedFor;
  const { clock, stderr } = session.io;
  const startedMs = clock.monotonicMs();
  let isShown = false;
  const show = (): void => {
    timer = clock.setTimer(waitingAgainAfterMs, show);
    if (session.lines > 0) return;
    isShown = true;
    const seconds = Math.floor((clock.monotonicMs() - startedMs) / 1000);
    write(session, `Waiting for ${what}${seconds === 0 ? '' : `, ${seconds} s`}`);
  };
  let timer: Timer = clock.setTimer(showAfterMs, show);
  try {
    return await waitedFor;
  } finally {
    timer.cancel();
    if (isShown) stderr.write(clearLine);
  }
}

function isSeen({ io: { stderr, env }, flags }: Session): boolean {
  return stderr.isTty && env['TERM'] !== 'dumb' && flags.quiet !== true;
}

function write(session: Session, text: string): void {
  session.io.stderr.write(`${clearLine}${visible(text).slice(0, 78)}`);
}
