/**
 * The Merkle tree of RFC 6962 / RFC 9162 §2.1 with SHA-256: growing it and proving things about it.
 *
 * A `Frontier` is all that is needed to append: the roots of the complete subtrees, at most 53
 * hashes. Every complete node it forms is handed out once, to be stored; proofs are then read back
 * from those nodes. Checking proofs is not here: `merkle-verify.ts` does it and shares no code.
 *
 * Positions: level 0 is the leaves; node `index` of `level` covers the leaves
 * `index · 2^level` … `(index + 1) · 2^level − 1`, and is complete, so it never changes.
 */
import { hash } from 'node:crypto';
import { assert, defined } from '../base/assert.ts';

export const treeHashBytes = 32;

export type TreeHash = Uint8Array;

export interface NodePosition {
  readonly level: number;
  readonly index: number;
}

/** Gives the hash of a complete node. */
export type ReadNode = (level: number, index: number) => TreeHash;

/** Is given each complete node once, leaves included. */
export type KeepNode = (level: number, index: number, hash: TreeHash) => void;

/** By way of a string of 32 characters: a buffer of its own per hash costs more than the hash. */
function sha256(bytes: Uint8Array): Buffer {
  return Buffer.from(hash('sha256', bytes, 'latin1'), 'latin1');
}

const scratch = Buffer.allocUnsafeSlow(4096);

/** The hash of an entry as a leaf: SHA-256(0x00 ‖ entry). Entries hold no secrets; a copy may remain. */
export function hashLeaf(entry: Uint8Array): Buffer {
  const bytes =
    entry.length < scratch.length
      ? scratch.subarray(0, entry.length + 1)
      : Buffer.allocUnsafe(entry.length + 1);
  bytes[0] = 0x00;
  bytes.set(entry, 1);
  return sha256(bytes);
}

const pair = Buffer.allocUnsafeSlow(1 + 2 * treeHashBytes);
pair[0] = 0x01;

/** The hash of an inner node: SHA-256(0x01 ‖ left ‖ right). */
export function hashNode(left: TreeHash, right: TreeHash): Buffer {
  assert(left.length === treeHashBytes && right.length === treeHashBytes, 'hashes have 32 bytes');
  pair.set(left, 1);
  pair.set(right, 1 + treeHashBytes);
  return sha256(pair);
}

/** The root of the tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Buffer {
  return hash('sha256', '', 'buffer');
}

/** The right edge of a tree: appends in amortised two hashes and knows the root. */
export class Frontier {
  #size: number;
  /** Roots of the complete subtrees by level; `undefined` where the size's bit is 0. */
  readonly #subtrees: (TreeHash | undefined)[];

  private constructor(size: number, subtrees: (TreeHash | undefined)[]) {
    this.#size = size;
    this.#subtrees = subtrees;
  }

  static empty(): Frontier {
    return new Frontier(0, []);
  }

  get size(): number {
    return this.#size;
  }

  copy(): Frontier {
    return new Frontier(this.#size, [...this.#subtrees]);
  }

  /** Appends a leaf; `keep` is given the leaf and every node that this leaf completes, bottom up. */
  append(leafHash: TreeHash, keep?: KeepNode): void {
    assert(leafHash.length === treeHashBytes, 'hashes have 32 bytes');
    assert(this.#size < Number.MAX_SAFE_INTEGER, 'a tree has fewer than 2^53 leaves');
    let node = leafHash;
    let level = 0;
    let index = this.#size;
    keep?.(level, index, node);
    while (index % 2 === 1) {
      node = hashNode(defined(this.#subtrees[level], 'a set bit has its subtree'), node);
      this.#subtrees[level] = undefined;
      level += 1;
      index = (index - 1) / 2;
      keep?.(level, index, node);
    }
    this.#subtrees[level] = node;
    this.#size += 1;
  }

  root(): Buffer {
    let root: TreeHash | undefined;
    for (const subtree of this.#subtrees) {
      if (subtree === undefined) continue;
      root = root === undefined ? subtree : hashNode(subtree, root);
    }
    return root === undefined ? emptyRoot() : Buffer.from(root);
  }

  /** Size (8 bytes, big-endian) ‖ roots of the complete subtrees, the largest first. */
  toBytes(): Buffer {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(this.#size));
    const subtrees = this.#subtrees.filter((subtree) => subtree !== undefined).toReversed();
    return Buffer.concat([size, ...subtrees]);
  }

  /** Reads what `toBytes` wrote; `undefined` if the bytes cannot be a frontier. */
  static fromBytes(bytes: Uint8Array): Frontier | undefined {
    if (bytes.length < 8) return undefined;
    const buffer = Buffer.from(bytes); // a copy: the frontier must not follow its argument
    const size = Number(buffer.readBigUInt64BE(0));
    if (!Number.isSafeInteger(size)) return undefined;
    const subtrees: (TreeHash | undefined)[] = [];
    let end = buffer.length;
    for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 0) {
        subtrees.push(undefined);
        continue;
      }
      if (end - treeHashBytes < 8) return undefined;
      subtrees.push(buffer.subarray(end - treeHashBytes, end));
      end -= treeHashBytes;
    }
    return end === 8 ? new Frontier(size, subtrees) : undefined;
  }
}

/** The root of the first `size` leaves. */
export function rootAt(size: number, read: ReadNode): TreeHash {
  assertSize(size);
  return size === 0 ? emptyRoot() : rangeRoot(0, size, read);
}

/** Proves that leaf `index` is in the tree of `size` leaves. RFC 9162 §2.1.3.1. */
export function inclusionProof(index: number, size: number, read: ReadNode): TreeHash[] {
  assertSize(size);
  assert(Number.isSafeInteger(index) && index >= 0 && index < size, 'the leaf is in the tree');
  const path: TreeHash[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      path.push(rangeRoot(middle, end, read));
      end = middle;
    } else {
      path.push(rangeRoot(start, middle, read));
      start = middle;
    }
  }
  return path.toReversed();
}

/** Proves that the tree of `oldSize` leaves is the beginning of that of `size`. RFC 9162 §2.1.4.1. */
export function consistencyProof(oldSize: number, size: number, read: ReadNode): TreeHash[] {
  assertSize(size);
  assert(
    Number.isSafeInteger(oldSize) && oldSize >= 0 && oldSize <= size,
    'the old tree is no larger than the new one',
  );
  if (oldSize === 0 || oldSize === size) return [];
  const path: TreeHash[] = [];
  let start = 0;
  let end = size;
  while (end !== oldSize) {
    const middle = start + splitOf(end - start);
    if (oldSize <= middle) {
      path.push(rangeRoot(middle, end, read));
      end = middle;
    } else {
      path.push(rangeRoot(start, middle, read));
      start = middle;
    }
  }
  if (start > 0) path.push(rangeRoot(start, end, read));
  return path.toReversed();
}

/**
 * Which nodes `build` would read, without reading any: for callers whose nodes come asynchronously.
 * Fetch these, then call `build` again with a reader over what was fetched.
 */
export function positionsRead(build: (read: ReadNode) => unknown): NodePosition[] {
  const positions: NodePosition[] = [];
  const nothing = new Uint8Array(treeHashBytes);
  build((level, index) => {
    positions.push({ level, index });
    return nothing;
  });
  return positions;
}

/** The root of leaves `start` … `end` − 1, where `start` is a multiple of the largest subtree in it. */
function rangeRoot(start: number, end: number, read: ReadNode): TreeHash {
  const width = end - start;
  const split = splitOf(width);
  if (width === 1) return read(0, start);
  if (width === 2 * split) return read(Math.log2(width), start / width);
  return hashNode(rangeRoot(start, start + split, read), rangeRoot(start + split, end, read));
}

/** The largest power of two smaller than `width`; for 1, one half. */
function splitOf(width: number): number {
  let split = 1;
  while (split * 2 < width) split *= 2;
  return width === 1 ? 0.5 : split;
}

function assertSize(size: number): void {
  assert(Number.isSafeInteger(size) && size >= 0, 'a tree size is a whole number');
}
