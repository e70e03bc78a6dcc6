/**
 * When leases end: counted from when the gateway was last heard, on the boot clock, which nobody can set.
 *
 * Promises
 *   - `ended` is called for each set whose lease is over, at its end or within a second of a clock that
 *     jumped ahead.
 *   - Asking whether any lease is over costs nothing while none is.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { expired, type Holding, leaseEndsMs, nextExpiryMs } from './reconcile.ts';

export interface LeasesOptions {
  readonly clock: Clock;
  readonly held: () => Iterable<Holding>;
  /** Whether it is being let go of already: there is no need to wait for its end. */
  readonly isWiping: (holding: Holding) => boolean;
  readonly ended: (holding: Holding) => void;
}

/** What is over is looked for at least this often, so that a clock that jumped ahead is noticed. */
const lookEveryMsMax = 1000;
const lookAfterMsMin = 10;

export class Leases {
  readonly #options: LeasesOptions;
  #heardAtMs: number;
  /** No lease ends before this. */
  #endsAtMs = Number.POSITIVE_INFINITY;
  /** What the timer waits for: the first end, but for those that are being wiped. */
  #awaitedAtMs = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#heardAtMs = options.clock.bootMs();
  }

  /** On the boot clock. */
  get heardAtMs(): number {
    return this.#heardAtMs;
  }

  /** Every lease starts anew. */
  heard(): void {
    this.#heardAtMs = this.#options.clock.bootMs();
    this.#reckon();
  }

  /** Goes on from an earlier process: its restart must not lengthen a lease. */
  resume(heardAtMs: number): void {
    this.#heardAtMs = Math.min(this.#heardAtMs, heardAtMs);
    this.#reckon();
  }

  /** A set is held from now on, or on other terms. */
  holds(holding: Holding): void {
    const endsAtMs = leaseEndsMs(holding, this.#heardAtMs);
    this.#endsAtMs = Math.min(this.#endsAtMs, endsAtMs);
    if (endsAtMs < this.#awaitedAtMs) this.#await(endsAtMs);
  }

  /** Which are over, also if they are being wiped. */
  over(): readonly Holding[] {
    const nowMs = this.#options.clock.bootMs();
    if (nowMs < this.#endsAtMs) return [];
    return expired(this.#options.held(), this.#heardAtMs, nowMs);
  }

  /** Tells of those that are over. */
  enforce(): void {
    const { isWiping, ended } = this.#options;
    const over = this.over();
    if (over.length === 0) return;
    for (const holding of over) if (!isWiping(holding)) ended(holding);
    this.#reckon();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #reckon(): void {
    const { held, isWiping } = this.#options;
    const waiting = Iterator.from(held()).filter((holding) => !isWiping(holding));
    this.#endsAtMs = nextExpiryMs(held(), this.#heardAtMs);
    this.#await(nextExpiryMs(waiting, this.#heardAtMs));
  }

  #await(atMs: number): void {
    this.close();
    this.#awaitedAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#options;
    const delayMs = Math.min(Math.max(atMs - clock.bootMs(), lookAfterMsMin), lookEveryMsMax);
    this.#timer = clock.setTimer(delayMs, () => {
      this.enforce();
      this.#reckon();
    });
  }
}
