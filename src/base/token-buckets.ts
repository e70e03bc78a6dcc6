/** Token buckets: so many per second on average, so many at once. One per key, forgotten when full. */
import type { Clock } from './clock.ts';

interface Bucket {
  tokens: number;
  atMs: number;
}

export interface BucketRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Above this many keys, those that are full again are dropped: they mean the same as no bucket. */
const keysMax = 10_000;

export class TokenBuckets {
  readonly #clock: Clock;
  readonly #rate: BucketRate;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, rate: BucketRate) {
    this.#clock = clock;
    this.#rate = rate;
  }

  /** @returns 0 if one was taken; else in how many milliseconds there will be one. */
  take(key: string): number {
    const nowMs = this.#clock.monotonicMs();
    const bucket = this.#filled(key, nowMs);
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) * 1000) / this.#rate.perSecond);
    bucket.tokens--;
    return 0;
  }

  /** Takes so many, whether they are there or not: what is owed is paid off before any can be taken. */
  spend(key: string, count: number): void {
    this.#filled(key, this.#clock.monotonicMs()).tokens -= count;
  }

  /** How many there are; negative for what is owed. */
  level(key: string): number {
    return this.#filled(key, this.#clock.monotonicMs()).tokens;
  }

  #filled(key: string, nowMs: number): Bucket {
    const { perSecond, burst } = this.#rate;
    const found = this.#buckets.get(key);
    if (!found) {
      if (this.#buckets.size >= keysMax) this.#drop(nowMs);
      const fresh = { tokens: burst, atMs: nowMs };
      this.#buckets.set(key, fresh);
      return fresh;
    }
    const gained = (Math.max(0, nowMs - found.atMs) * perSecond) / 1000;
    found.tokens = Math.min(burst, found.tokens + gained);
    found.atMs = nowMs;
    return found;
  }

  #drop(nowMs: number): void {
    const { perSecond, burst } = this.#rate;
    for (const [key, { tokens, atMs }] of this.#buckets) {
      if (tokens + ((nowMs - atMs) * perSecond) / 1000 >= burst) this.#buckets.delete(key);
    }
  }
}
