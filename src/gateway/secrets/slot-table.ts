/**
 * A hash table from texts to slots that keeps neither: eight bytes of numbers per entry, and whoever
 * owns the texts says which is in a slot. Texts are added and stay.
 *
 * Open addressing, linear probing, at most 5/8 full. Seeded, so that nobody can choose texts that meet.
 */
import { assert } from '../../base/assert.ts';
import type { Random } from '../../base/random.ts';

const placesAtStart = 64;
/** Slots are kept plus one. */
const unused = 0;
const slotsMax = 0xffff_ffff;

export class SlotTable {
  readonly #textOf: (slot: number) => string;
  readonly #seed: number;
  #hashes = new Uint32Array(placesAtStart);
  #slots = new Uint32Array(placesAtStart);
  #size = 0;

  constructor(random: Random, textOf: (slot: number) => string) {
    this.#textOf = textOf;
    this.#seed = random.bytes(4).readInt32LE(0);
  }

  get size(): number {
    return this.#size;
  }

  clear(): void {
    this.#hashes = new Uint32Array(placesAtStart);
    this.#slots = new Uint32Array(placesAtStart);
    this.#size = 0;
  }

  find(text: string): number | undefined {
    const hash = this.#hash(text);
    const mask = this.#slots.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = this.#slots[at] ?? unused;
      if (slot === unused) return undefined;
      if (this.#hashes[at] === hash && this.#textOf(slot - 1) === text) return slot - 1;
    }
  }

  /** A text that is not there yet. */
  add(text: string, slot: number): void {
    assert(slot >= 0 && slot < slotsMax, 'a slot fits');
    if ((this.#size + 1) * 8 > this.#slots.length * 5) this.#grow();
    place(this.#hashes, this.#slots, this.#hash(text), slot + 1);
    this.#size += 1;
  }

  #hash(text: string): number {
    let hash = this.#seed;
    for (let index = 0; index < text.length; index++) {
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x85eb_ca6b);
      hash ^= hash >>> 15;
    }
    return hash >>> 0;
  }

  #grow(): void {
    const hashes = new Uint32Array(this.#slots.length * 2);
    const slots = new Uint32Array(this.#slots.length * 2);
    this.#slots.forEach((slot, at) => {
      if (slot !== unused) place(hashes, slots, this.#hashes[at] ?? 0, slot);
    });
    this.#hashes = hashes;
    this.#slots = slots;
  }
}

function place(hashes: Uint32Array, slots: Uint32Array, hash: number, slot: number): void {
  const mask = slots.length - 1;
  let at = hash & mask;
  while (slots[at] !== unused) at = (at + 1) & mask;
  hashes[at] = hash;
  slots[at] = slot;
}
