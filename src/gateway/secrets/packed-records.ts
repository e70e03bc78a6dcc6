/**
 * Byte strings under small numbers (slots), outside the heap that the garbage collector walks: a
 * million of them cost it nothing.
 *
 * They are appended to chunks. What is replaced leaves a hole; a chunk that is half holes is emptied
 * into the newest one, so that no change costs more than moving half a chunk.
 *
 * Does not promise: to wipe what was replaced. Nothing secret belongs here.
 */
import { assert, defined } from '../../base/assert.ts';
import { allocate } from '../../base/bytes.ts';

/** Above the longest record by far; small enough that half of one moves well within a millisecond. */
export const chunkBytes = 256 * 1024;
/** Slot and length, before each record. */
const headBytes = 8;
/** Records begin at multiples of this, so that 32 bits say where, for up to 32 GiB. */
const unitBytes = 8;
const unitsPerChunk = chunkBytes / unitBytes;
const slotsAtStart = 64;

interface Chunk {
  readonly bytes: Buffer;
  /** Bytes of records that are not holes, heads included. */
  live: number;
}

export class PackedRecords {
  /** By slot: where its record begins, in units and plus one; 0 where there is none. */
  #places = new Uint32Array(slotsAtStart);
  /** `undefined`: was emptied, and its number is free. */
  readonly #chunks: (Chunk | undefined)[] = [];
  readonly #freeChunks: number[] = [];
  /** The chunk that is appended to, and how far it is full. */
  #newest = -1;
  #used = chunkBytes;

  clear(): void {
    this.#places = new Uint32Array(slotsAtStart);
    this.#chunks.length = 0;
    this.#freeChunks.length = 0;
    this.#newest = -1;
    this.#used = chunkBytes;
  }

  /** Of a slot that was set. @returns A view, good until something is set. */
  get(slot: number): Buffer {
    const { chunk, offset } = this.#at(this.#places[slot] ?? 0);
    const from = offset + headBytes;
    return chunk.bytes.subarray(from, from + chunk.bytes.readUInt32LE(offset + 4));
  }

  /** Copies `bytes`. */
  set(slot: number, bytes: Uint8Array): void {
    const place = this.#places[slot] ?? 0;
    if (place !== 0) this.#leaveHole(slot, place);
    this.#append(slot, bytes);
  }

  /** Of all chunks together. */
  get bytes(): number {
    return (this.#chunks.length - this.#freeChunks.length) * chunkBytes;
  }

  #leaveHole(slot: number, place: number): void {
    const { chunk, number, offset } = this.#at(place);
    this.#places[slot] = 0;
    chunk.live -= spaceOf(chunk.bytes.readUInt32LE(offset + 4));
    this.#emptyIfHoles(number);
  }

  #append(slot: number, bytes: Uint8Array): void {
    const space = spaceOf(bytes.length);
    assert(space <= chunkBytes / 2, 'a record fits beside what is moved');
    if (this.#used + space > chunkBytes) this.#addChunk();
    const chunk = defined(this.#chunks[this.#newest], 'the newest chunk is there');
    const offset = this.#used;
    chunk.bytes.writeUInt32LE(slot, offset);
    chunk.bytes.writeUInt32LE(bytes.length, offset + 4);
    chunk.bytes.set(bytes, offset + headBytes);
    chunk.live += space;
    this.#used += space;
    this.#place(slot, this.#newest * unitsPerChunk + offset / unitBytes + 1);
  }

  #addChunk(): void {
    const full = this.#newest;
    this.#newest = this.#freeChunks.pop() ?? this.#chunks.length;
    this.#chunks[this.#newest] = { bytes: allocate(chunkBytes), live: 0 };
    this.#used = 0;
    this.#emptyIfHoles(full);
  }

  #emptyIfHoles(number: number): void {
    const chunk = this.#chunks[number];
    if (chunk === undefined || number === this.#newest) return;
    if (chunk.live < chunkBytes / 2) this.#empty(chunk, number);
  }

  /** Moves what is left in a chunk to the newest one, and lets the chunk go. */
  #empty(chunk: Chunk, number: number): void {
    for (let offset = 0; chunk.live > 0; ) {
      const slot = chunk.bytes.readUInt32LE(offset);
      const length = chunk.bytes.readUInt32LE(offset + 4);
      if (this.#places[slot] === number * unitsPerChunk + offset / unitBytes + 1) {
        const from = offset + headBytes;
        chunk.live -= spaceOf(length);
        this.#append(slot, chunk.bytes.subarray(from, from + length));
      }
      offset += spaceOf(length);
    }
    this.#chunks[number] = undefined;
    this.#freeChunks.push(number);
  }

  #at(place: number): { readonly chunk: Chunk; readonly number: number; readonly offset: number } {
    assert(place > 0, 'a slot in use has its record');
    const unit = place - 1;
    const number = Math.floor(unit / unitsPerChunk);
    const chunk = defined(this.#chunks[number], 'a placed record has its chunk');
    return { chunk, number, offset: (unit % unitsPerChunk) * unitBytes };
  }

  #place(slot: number, place: number): void {
    if (slot >= this.#places.length) {
      const grown = new Uint32Array(Math.max(slot + 1, this.#places.length * 2));
      grown.set(this.#places);
      this.#places = grown;
    }
    this.#places[slot] = place;
  }
}

function spaceOf(length: number): number {
  return Math.ceil((headBytes + length) / unitBytes) * unitBytes;
}
