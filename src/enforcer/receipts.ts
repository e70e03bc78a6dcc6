/**
 * Receipts on their way to the gateway, over however many connections.
 *
 * Promises
 *   - What is told while nobody hears it is said on the next connection, once that one is welcome, in order.
 *   - That nothing is left of a set is said again on the next connection, and by the next enforcer, until the
 *     gateway has surely heard it. Everything else the next hello says.
 * Does not promise
 *   - That more than the newest `receiptsMax` are kept; the log says how many were not. What is held, the
 *     gateway learns from the next hello all the same; the audit log lacks the end of the other sets.
 *   - That the gateway hears it once: a connection may break before anybody knows what arrived.
 */
import type { Log } from '../base/log.ts';
import type { SetReceipt } from '../model/assignment.ts';
import type { RememberedState } from './remembered.ts';

/** The oldest beyond that are dropped. */
export const receiptsMax = 4096;

export class Receipts {
  /** Says one on the connection there is. */
  #say: ((receipt: SetReceipt) => void) | undefined;
  readonly #waiting: SetReceipt[] = [];
  /** That nothing is left, as said on this connection. */
  readonly #said: SetReceipt[] = [];
  /** How many of those were said before the last checkpoint was answered. */
  #saidBefore = 0;
  /** Since the log last said how many. */
  #dropped = 0;
  readonly #log: Pick<Log, 'warn'>;

  /** @param earlier - What an earlier enforcer could not be sure of. */
  constructor(log: Pick<Log, 'warn'>, earlier: readonly SetReceipt[] = []) {
    this.#log = log;
    this.#waiting.push(...earlier);
  }

  /** What the gateway may not have heard, and the next hello does not say. */
  get remains(): Pick<RememberedState, 'unheard'> {
    const unheard = [...this.#said, ...this.#waiting.filter(isLast)];
    return unheard.length === 0 ? {} : { unheard };
  }

  tell(receipt: SetReceipt): void {
    if (!this.#say) {
      this.#waiting.push(receipt);
      this.#bound(this.#waiting);
      return;
    }
    if (isLast(receipt)) this.#remember(receipt);
    this.#say(receipt);
  }

  /** The gateway has welcomed this connection: what is said on it before is lost with it. */
  welcomed(say: (receipt: SetReceipt) => void): void {
    if (this.#say) return;
    this.#say = say;
    this.#countDropped();
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) this.tell(next);
  }

  /** The connection is gone. */
  lost(): void {
    this.#say = undefined;
    this.#saidBefore = 0;
    this.#waiting.unshift(...this.#said.splice(0));
    this.#bound(this.#waiting);
  }

  /**
   * The gateway has shown a checkpoint, which is answered next. It shows one only when it has received the
   * answer to the one before, and with that all that was said before that answer.
   */
  checkpointShown(): void {
    this.#said.splice(0, this.#saidBefore);
    this.#saidBefore = this.#said.length;
    this.#countDropped();
  }

  /** A gateway whose log cannot be written shows no checkpoint, for hours perhaps. */
  #remember(receipt: SetReceipt): void {
    this.#said.push(receipt);
    this.#saidBefore = Math.max(0, this.#saidBefore - this.#bound(this.#said));
  }

  /** @returns How many were dropped. */
  #bound(receipts: SetReceipt[]): number {
    const tooMany = Math.max(0, receipts.length - receiptsMax);
    if (tooMany === 0) return 0;
    // How many it will be, nobody knows yet; this may be the last that is heard of this enforcer.
    if (this.#dropped === 0) this.#log.warn('receipts.dropping', { kept: receiptsMax });
    this.#dropped += tooMany;
    receipts.splice(0, tooMany);
    return tooMany;
  }

  #countDropped(): void {
    if (this.#dropped > 0) this.#log.warn('receipts.dropped', { count: this.#dropped });
    this.#dropped = 0;
  }
}

function isLast({ outcome }: SetReceipt): boolean {
  return outcome === 'wiped' || outcome === 'gone';
}
