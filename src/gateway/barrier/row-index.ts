/**
 * Which rows there are, at which revision, under which root key: what the barrier knows by itself of
 * an untrusted store, so that a row which is missing, old or too many shows at once.
 *
 * Two million rows must fit, so a row is 20 bytes in typed arrays: a fingerprint of its key (64 bits,
 * seeded per process), the revision and the root key's number. Two live keys share a
 * fingerprint with a probability of n²/2^65, 10^-7 at two million; the next restart draws another seed.
 *
 * Open addressing, linear probing, at most 5/8 full.
 */
import { assert } from '../../base/assert.ts';
import type { Random } from '../../base/random.ts';

export interface IndexedRow {
  readonly revision: number;
  /** The root key that it is sealed or wrapped under. */
  readonly keyNumber: number;
}

const slotsAtStart = 1024;
/** Revisions are positive: 0 is a slot that was never used, −1 one whose row is gone. */
const unused = 0;
const gone = -1;

interface Slots {
  readonly mask: number;
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  readonly revision: Float64Array;
  readonly keyNumber: Uint32Array;
}

export class RowIndex {
  readonly #seeds: readonly [number, number];
  #slots: Slots;
  #rows = 0;
  /** Rows and gone rows: what probing has to walk over. */
  #occupied = 0;
  readonly #rowsByKey = new Map<number, number>();

  /** @param expected - How many rows there will be at first: then the table need not grow to it. */
  constructor(random: Random, expected = 0) {
    this.#slots = makeSlots(sizeFor(expected));
    const seed = random.bytes(8);
    this.#seeds = [seed.readInt32LE(0), seed.readInt32LE(4)];
  }

  get size(): number {
    return this.#rows;
  }

  /** How many rows are under a root key. */
  rowsUnder(keyNumber: number): number {
    return this.#rowsByKey.get(keyNumber) ?? 0;
  }

  get(key: string): IndexedRow | undefined {
    const at = this.#find(this.#fingerprint(key));
    if (at === undefined) return undefined;
    const { revision, keyNumber } = this.#slots;
    return { revision: revision[at] ?? 0, keyNumber: keyNumber[at] ?? 0 };
  }

  set(key: string, row: IndexedRow): void {
    assert(row.revision > 0, 'a revision is positive');
    if ((this.#occupied + 1) * 8 > this.#slots.low.length * 5) this.#grow();
    const print = this.#fingerprint(key);
    const found = this.#find(print);
    if (found !== undefined) {
      this.#count(this.#slots.keyNumber[found] ?? 0, -1);
      this.#slots.revision[found] = row.revision;
      this.#slots.keyNumber[found] = row.keyNumber;
    } else {
      place(this.#slots, print, row);
      this.#rows += 1;
      this.#occupied += 1;
    }
    this.#count(row.keyNumber, 1);
  }

  delete(key: string): void {
    const at = this.#find(this.#fingerprint(key));
    if (at === undefined) return;
    this.#count(this.#slots.keyNumber[at] ?? 0, -1);
    this.#slots.revision[at] = gone;
    this.#rows -= 1;
  }

  /**
   * Two lanes of 32 bits, each step of which is a bijection of its lane. Not a cryptographic hash: a
   * key that somebody puts into storage is found by the digest, whatever it collides with here.
   */
  #fingerprint(key: string): Fingerprint {
    let [low, high] = this.#seeds;
    for (let index = 0; index < key.length; index++) {
      const code = key.charCodeAt(index);
      low = Math.imul(low ^ code, 0x85eb_ca6b);
      low ^= low >>> 15;
      high = Math.imul(high ^ code, 0xc2b2_ae35);
      high ^= high >>> 13;
    }
    return { low: low >>> 0, high: high >>> 0 };
  }

  #find(print: Fingerprint): number | undefined {
    const { mask, low, high, revision } = this.#slots;
    for (let at = print.low & mask; revision[at] !== unused; at = (at + 1) & mask) {
      if (low[at] === print.low && high[at] === print.high && revision[at] !== gone) return at;
    }
    return undefined;
  }

  #count(keyNumber: number, change: number): void {
    this.#rowsByKey.set(keyNumber, this.rowsUnder(keyNumber) + change);
  }

  /** Into a table of a size that fits the live rows; the gone ones are left behind. */
  #grow(): void {
    const old = this.#slots;
    const slots = makeSlots(sizeFor(this.#rows * 2));
    for (let at = 0; at < old.low.length; at++) {
      const revision = old.revision[at] ?? unused;
      if (revision === unused || revision === gone) continue;
      const print = { low: old.low[at] ?? 0, high: old.high[at] ?? 0 };
      place(slots, print, { revision, keyNumber: old.keyNumber[at] ?? 0 });
    }
    this.#slots = slots;
    this.#occupied = this.#rows;
  }
}

interface Fingerprint {
  readonly low: number;
  readonly high: number;
}

/** A power of two of which these rows fill half to three quarters of what they may. */
function sizeFor(rows: number): number {
  let size = slotsAtStart;
  while (size * 5 < (rows + 1) * 8) size *= 2;
  return size;
}

function makeSlots(size: number): Slots {
  return {
    mask: size - 1,
    low: new Uint32Array(size),
    high: new Uint32Array(size),
    revision: new Float64Array(size),
    keyNumber: new Uint32Array(size),
  };
}

function place(slots: Slots, print: Fingerprint, row: IndexedRow): void {
  let at = print.low & slots.mask;
  while (slots.revision[at] !== unused) at = (at + 1) & slots.mask;
  slots.low[at] = print.low;
  slots.high[at] = print.high;
  slots.revision[at] = row.revision;
  slots.keyNumber[at] = row.keyNumber;
}
