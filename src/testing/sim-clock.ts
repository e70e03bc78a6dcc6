/**
 * Virtual time: one queue of everything that will happen, in an order that follows from the seed.
 * Hours pass in milliseconds, and one seed gives one run.
 *
 * Each simulated process has a clock of its own over the one queue. When the process is killed its clock
 * stops: timers never fire, sleeps never end, and so nothing of it goes on.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { SeededRandom } from './sim-random.ts';

interface Due {
  readonly atMs: number;
  /** Decides among what is due at the same moment. */
  readonly order: number;
  readonly act: () => void;
  cancelled: boolean;
}

const epochMs = Date.UTC(2030, 0, 1);

export class SimTime {
  readonly #random: SeededRandom;
  #nowMs = 0;
  #queue: Due[] = [];
  #wallOffsetMs = 0;
  /** The latest time that people ever thought it was, as an offset. */
  wallOffsetMsMax = 0;
  /** How many things have happened: part of the trace. */
  happened = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get wallOffsetMs(): number {
    return this.#wallOffsetMs;
  }

  /** Set by whoever steps the wall clock; nothing but display and certificates may notice. */
  set wallOffsetMs(offsetMs: number) {
    this.#wallOffsetMs = offsetMs;
    this.wallOffsetMsMax = Math.max(this.wallOffsetMsMax, offsetMs);
  }

  get wallMs(): number {
    return epochMs + this.#nowMs + this.wallOffsetMs;
  }

  at(delayMs: number, act: () => void): Timer {
    const due: Due = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#random.fraction(),
      act,
      cancelled: false,
    };
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#queue[middle];
      if (other && (other.atMs < due.atMs || (other.atMs === due.atMs && other.order < due.order)))
        low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, due);
    return { cancel: () => (due.cancelled = true) };
  }

  /** Lets the next thing happen, however far it is. */
  async step(): Promise<void> {
    await settle();
    let next = this.#queue.shift();
    while (next?.cancelled === true) next = this.#queue.shift();
    if (!next) return;
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    this.happened += 1;
    next.act();
    await settle();
  }

  /** Lets everything happen that is due within this time, in order. */
  async pass(byMs: number): Promise<void> {
    const endMs = this.#nowMs + byMs;
    await settle();
    for (let next = this.#queue[0]; next && next.atMs <= endMs; next = this.#queue[0]) {
      this.#queue.shift();
      if (next.cancelled) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.happened += 1;
      next.act();
      await settle();
    }
    this.#nowMs = endMs;
  }

  /** The process was stopped, or the machine slept: the boot clock has gone on and nothing has happened. */
  jump(byMs: number): void {
    this.#nowMs += byMs;
  }

  /** Waits for a promise, letting time pass meanwhile, at most this long. */
  async until<T>(promise: Promise<T>, withinMs: number): Promise<T | 'too-late'> {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    promise.then(
      (value) => (outcome = { value }),
      (error: unknown) => (outcome = { error }),
    );
    const endMs = this.#nowMs + withinMs;
    while (this.#nowMs < endMs) {
      await settle();
      if (outcome) break;
      await this.pass(1);
    }
    if (!outcome) return 'too-late';
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  clock(): SimClock {
    return new SimClock(this);
  }
}

/** All promises that can go on have gone on. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class SimClock implements Clock {
  readonly #time: SimTime;
  #alive = true;
  /** What would have happened while the process was stopped; undefined while it runs. */
  #backlog: (() => void)[] | undefined;

  constructor(time: SimTime) {
    this.#time = time;
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  /** The process was killed: none of its timers fires any more. */
  stop(): void {
    this.#alive = false;
  }

  /** SIGSTOP: what is due waits. */
  pause(): void {
    this.#backlog ??= [];
  }

  /** SIGCONT: all that has waited happens, in order. */
  resume(): void {
    const act = this.#backlog?.shift();
    if (!act) {
      this.#backlog = undefined;
      return;
    }
    // One after the other; what comes meanwhile comes after.
    this.#time.at(0, () => {
      if (this.#alive) act();
      this.resume();
    });
  }

  /** Does something in the process, if it lives and as soon as it runs. */
  run(act: () => void): void {
    if (!this.#alive) return;
    if (this.#backlog) this.#backlog.push(act);
    else act();
  }

  wallMs(): number {
    return this.#time.wallMs;
  }

  bootMs(): number {
    return this.#time.nowMs;
  }

  monotonicMs(): number {
    return this.#time.nowMs;
  }

  setTimer(delayMs: number, act: () => void): Timer {
    let isCancelled = false;
    const due = this.#time.at(delayMs, () =>
      this.run(() => {
        if (!isCancelled) act();
      }),
    );
    return {
      cancel: () => {
        isCancelled = true;
        due.cancel();
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason as Error);
      };
      const timer = this.setTimer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  nextTurn(): Promise<void> {
    return this.sleep(0);
  }
}
