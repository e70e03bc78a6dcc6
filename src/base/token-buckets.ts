/**
 * Token buckets: so many per second on average, so many at once. One per key.
 *
 * Promises: constant work per question, and no more than `keysMax` keys are remembered of those that take: a
 * key whose bucket is full again is forgotten, which means the same; while there is none, newcomers wait.
 */
import type { Clock } from './clock.ts';

interface Bucket {
  tokens: number;
  atMs: number;
}

export interface BucketRate {
  readonly perSecond: number;
  readonly burst: number;
}

const keysMax = 16_384;
/** Keys that are looked at to make room for one: more, so that room is made faster than it is used. */
const looksMax = 8;
const noRoomMs = 1_000;

export class TokenBuckets {
  readonly #clock: Clock;
  readonly #rate: BucketRate;
  /** Those that were looked at longest ago come first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, rate: BucketRate) {
    this.#clock = clock;
    this.#rate = rate;
  }

  /** @returns 0 if one was taken; else in how many milliseconds to ask again. */
  take(key: string): number {
    const nowMs = this.#clock.monotonicMs();
    let bucket = this.#find(key, nowMs);
    if (!bucket) {
      this.#makeRoom(nowMs);
      if (this.#buckets.size >= keysMax) return noRoomMs;
      bucket = this.#add(key, nowMs);
    }
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) * 1000) / this.#rate.perSecond);
    bucket.tokens--;
    return 0;
  }

  /**
   * Takes so many, whether they are there or not: what is owed is paid off before any can be taken. It is
   * remembered in any case: for keys of which there are only so many.
   */
  spend(key: string, count: number): void {
    const nowMs = this.#clock.monotonicMs();
    const bucket = this.#find(key, nowMs) ?? this.#add(key, nowMs);
    bucket.tokens -= count;
  }

  /** One that was taken turned out not to count. */
  giveBack(key: string): void {
    const bucket = this.#find(key, this.#clock.monotonicMs());
    if (bucket) bucket.tokens = Math.min(this.#rate.burst, bucket.tokens + 1);
  }

  /** How many there are; negative for what is owed. */
  level(key: string): number {
    return this.#find(key, this.#clock.monotonicMs())?.tokens ?? this.#rate.burst;
  }

  #find(key: string, nowMs: number): Bucket | undefined {
    const bucket = this.#buckets.get(key);
    if (bucket) this.#fill(bucket, nowMs);
    return bucket;
  }

  #fill(bucket: Bucket, nowMs: number): void {
    const { perSecond, burst } = this.#rate;
    const gained = (Math.max(0, nowMs - bucket.atMs) * perSecond) / 1000;
    bucket.tokens = Math.min(burst, bucket.tokens + gained);
    bucket.atMs = nowMs;
  }

  #add(key: string, nowMs: number): Bucket {
    const bucket = { tokens: this.#rate.burst, atMs: nowMs };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #makeRoom(nowMs: number): void {
    if (this.#buckets.size < keysMax) return;
    let looks = 0;
    for (const [key, bucket] of this.#buckets) {
      if (looks++ === looksMax) return;
      this.#buckets.delete(key);
      this.#fill(bucket, nowMs);
      if (bucket.tokens < this.#rate.burst) this.#buckets.set(key, bucket);
    }
  }
}
