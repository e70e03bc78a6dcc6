/**
 * Checking the audit tree without trusting who made it: RFC 9162's verification algorithms, written
 * from the RFC alone. Shares no code with `merkle.ts`, so that one mistake cannot excuse another.
 *
 * Everything here takes input from strangers: wrong lengths, counts and numbers give `false`, they
 * never throw.
 */
import { createHash, hash } from 'node:crypto';

const hashLength = 32;
const leafPrefix = Buffer.of(0x00);
const nodePrefix = Buffer.of(0x01);

/** SHA-256(0x00 ‖ entry), as RFC 9162 §2.1.1 has it. */
export function leafHashOf(entry: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([leafPrefix, entry]), 'buffer');
}

/** Whether the entry with `leafHash` is entry `index` of the tree with `root`. RFC 9162 §2.1.3.2. */
export function verifyInclusion(claim: {
  readonly leafHash: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}): boolean {
  const { leafHash, index, size, root, proof } = claim;
  if (!isCount(index) || !isCount(size) || index >= size) return false;
  if (![leafHash, root, ...proof].every(isHash)) return false;

  let node = index;
  let last = size - 1;
  let computed: Uint8Array = leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      computed = parentOf(sibling, computed);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      computed = parentOf(computed, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && same(computed, root);
}

/**
 * Whether the tree with `root` begins with all of the tree with `oldRoot`. RFC 9162 §2.1.4.2, and
 * for the two cases it leaves out: nothing is the beginning of everything, and equal sizes need
 * equal roots; both with an empty proof.
 */
export function verifyConsistency(claim: {
  readonly oldSize: number;
  readonly oldRoot: Uint8Array;
  readonly size: number;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}): boolean {
  const { oldSize, oldRoot, size, root, proof } = claim;
  if (!isCount(oldSize) || !isCount(size) || oldSize > size) return false;
  if (![oldRoot, root, ...proof].every(isHash)) return false;
  if (oldSize === size) return proof.length === 0 && same(oldRoot, root);
  if (oldSize === 0) return proof.length === 0 && same(oldRoot, createHash('sha256').digest());

  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : [...proof];
  const first = path.shift();
  if (first === undefined || proof.length === 0) return false;
  let node = oldSize - 1;
  let last = size - 1;
  while (isOdd(node)) {
    node = half(node);
    last = half(last);
  }
  let oldComputed: Uint8Array = first;
  let computed: Uint8Array = first;
  for (const sibling of path) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      oldComputed = parentOf(sibling, oldComputed);
      computed = parentOf(sibling, computed);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      computed = parentOf(computed, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && same(oldComputed, oldRoot) && same(computed, root);
}

/** Recomputes a root from all entries in order, holding one hash per level. RFC 9162 §2.1.2. */
export class EntryTree {
  readonly #stack: Buffer[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(entry: Uint8Array): void {
    this.#stack.push(leafHashOf(entry));
    let merges = this.#size;
    while (isOdd(merges)) {
      this.#mergeTop();
      merges = half(merges);
    }
    this.#size += 1;
  }

  root(): Buffer {
    const [top, ...rest] = this.#stack.toReversed();
    if (top === undefined) return createHash('sha256').digest();
    return rest.reduce((right, left) => parentOf(left, right), top);
  }

  #mergeTop(): void {
    const [left, right] = this.#stack.splice(-2);
    if (left !== undefined && right !== undefined) this.#stack.push(parentOf(left, right));
  }
}

function parentOf(left: Uint8Array, right: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([nodePrefix, left, right]), 'buffer');
}

function same(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === hashLength;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isOdd(value: number): boolean {
  return value % 2 === 1;
}

function half(value: number): number {
  return Math.floor(value / 2);
}

function isPowerOfTwo(value: number): boolean {
  let power = 1;
  while (power < value) power *= 2;
  return power === value;
}
