/** Randomness from a seed: sfc32, which is small, quick and good enough to explore with. Never for keys. */
import type { Random } from '../base/random.ts';

export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = (seed * 0x9e37_79b9) | 0;
    this.#c = 0x243f_6a88;
    for (let turn = 0; turn < 15; turn += 1) this.#next();
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  fraction(): number {
    return this.#next() / 2 ** 32;
  }

  integer(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let index = 0; index < length; index += 1) bytes[index] = this.#next() & 0xff;
    return bytes;
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[this.integer(from.length)];
  }
}
