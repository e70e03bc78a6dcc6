/** A clock that stands still until it is told to go on. */
import type { Clock, Timer } from '../base/clock.ts';

export class ManualClock implements Clock {
  #nowMs: number;
  #timers: { readonly atMs: number; readonly act: () => void }[] = [];

  constructor(nowMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = nowMs;
  }

  advance(byMs: number): void {
    this.#nowMs += byMs;
    const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#nowMs);
    for (const { act } of due) act();
  }

  /** How long each timer that is set still has, the shortest first: what is being waited for. */
  get waits(): readonly number[] {
    return this.#timers.map(({ atMs }) => atMs - this.#nowMs).toSorted((a, b) => a - b);
  }

  wallMs(): number {
    return this.#nowMs;
  }

  bootMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, act: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, act };
    this.#timers.push(timer);
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.setTimer(delayMs, resolve));
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}
