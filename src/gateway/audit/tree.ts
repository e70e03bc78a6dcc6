/**
 * The audit tree as it is kept: what proofs need, in memory that stays small.
 *
 * In memory: the frontier, the leaf hashes of the last unfinished block of 256, and every node from
 * level 8 up (64 bytes per 256 entries: 2.5 MB for ten million). In storage: the level-8 hashes, 256 to
 * a row. Everything below level 8 is hashed again from the entries of its block when a proof needs it.
 */
import { assert, defined } from '../../base/assert.ts';
import { Fault } from '../../base/fault.ts';
import {
  type Frontier,
  hashLeaf,
  hashNode,
  positionsRead,
  type ReadNode,
  treeHashBytes,
  type TreeHash,
} from '../../crypto/merkle.ts';

const blockLevel = 8;
export const blockEntries = 2 ** blockLevel;
/** Block hashes in one stored row. */
export const rowBlocks = 256;
const cachedBlocksMax = 64;

/** Reads the canonical bytes of `count` entries from `from` on. */
export type ReadEntries = (from: number, count: number) => Promise<readonly Uint8Array[]>;

/** Hashes in a growing buffer. */
class HashList {
  #bytes = Buffer.alloc(64 * treeHashBytes);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(hash: TreeHash): void {
    const end = (this.#length + 1) * treeHashBytes;
    if (end > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length)]);
    }
    this.#bytes.set(hash, end - treeHashBytes);
    this.#length += 1;
  }

  at(index: number): Buffer {
    assert(index < this.#length, 'a complete node is kept');
    return this.#bytes.subarray(index * treeHashBytes, (index + 1) * treeHashBytes);
  }

  slice(from: number, to: number): Buffer {
    return Buffer.from(this.#bytes.subarray(from * treeHashBytes, to * treeHashBytes));
  }
}

/** Entries that are hashed but not yet durable: what the tree will be once they are. */
export interface Growth {
  readonly frontier: Frontier;
  readonly leaves: readonly Buffer[];
  /** Hashes of the blocks that this finishes. */
  readonly blocks: readonly TreeHash[];
}

export class AuditTree {
  #frontier: Frontier;
  /** Of the block that is not finished. */
  #leaves: Buffer[];
  /** Nodes of level 8, 9, … */
  readonly #levels: HashList[] = [];
  readonly #cache = new Map<number, readonly Buffer[]>();

  private constructor(frontier: Frontier, leaves: Buffer[]) {
    this.#frontier = frontier;
    this.#leaves = leaves;
  }

  /**
   * @param blocks - The level-8 hashes in order, as stored.
   * @throws Fault `barrier.corrupt` if hashes and entries do not make the tree that was committed.
   */
  static async open(
    frontier: Frontier,
    blocks: readonly TreeHash[],
    readEntries: ReadEntries,
  ): Promise<AuditTree> {
    const finished = Math.floor(frontier.size / blockEntries);
    if (blocks.length !== finished) throw corrupt('blocks');
    const rest = frontier.size - finished * blockEntries;
    const entries = rest === 0 ? [] : await readEntries(finished * blockEntries, rest);
    const tree = new AuditTree(frontier, entries.map(hashLeaf));
    for (const block of blocks) tree.#addBlock(block);
    if (!tree.#root().equals(frontier.root())) throw corrupt('root');
    return tree;
  }

  get size(): number {
    return this.#frontier.size;
  }

  get frontier(): Frontier {
    return this.#frontier;
  }

  root(): Buffer {
    return this.#frontier.root();
  }

  /** What appending these entries would make. Changes nothing. */
  grow(entries: readonly Uint8Array[]): Growth {
    const frontier = this.#frontier.copy();
    const blocks: TreeHash[] = [];
    const leaves = entries.map(hashLeaf);
    for (const leaf of leaves) {
      frontier.append(leaf, (level, _index, hash) => {
        if (level === blockLevel) blocks.push(hash);
      });
    }
    return { frontier, leaves, blocks };
  }

  /** The rows of block hashes that this growth changes: number and whole content. */
  rowsOf(growth: Growth): { readonly row: number; readonly bytes: Buffer }[] {
    const level = this.#levels[0];
    const known = level?.length ?? 0;
    if (growth.blocks.length === 0) return [];
    const rows: { row: number; bytes: Buffer }[] = [];
    const total = known + growth.blocks.length;
    for (let row = Math.floor(known / rowBlocks); row * rowBlocks < total; row++) {
      const start = row * rowBlocks;
      const end = Math.min(start + rowBlocks, total);
      const old = level?.slice(Math.min(start, known), Math.min(end, known)) ?? Buffer.alloc(0);
      const fresh = growth.blocks.slice(Math.max(start - known, 0), end - known);
      rows.push({ row, bytes: Buffer.concat([old, ...fresh]) });
    }
    return rows;
  }

  /** Takes over what `grow` made, once it is durable. */
  adopt(growth: Growth): void {
    assert(growth.frontier.size === this.size + growth.leaves.length, 'growth is adopted in order');
    this.#frontier = growth.frontier;
    for (const block of growth.blocks) this.#addBlock(block);
    const leaves = [...this.#leaves, ...growth.leaves];
    this.#leaves = leaves.slice(growth.blocks.length * blockEntries);
  }

  /**
   * Builds a proof of what `build` reads. Entries of at most a few blocks are read for it.
   *
   * @throws Fault `barrier.corrupt` if stored entries are not those that were hashed.
   */
  async prove<T>(build: (read: ReadNode) => T, readEntries: ReadEntries): Promise<T> {
    const blocks = new Map<number, readonly Buffer[]>();
    for (const { level, index } of positionsRead(build)) {
      if (level >= blockLevel) continue;
      const block = Math.floor((index * 2 ** level) / blockEntries);
      if (!blocks.has(block)) blocks.set(block, await this.#leavesOf(block, readEntries));
    }
    return build((level, index) => {
      if (level >= blockLevel) return this.#nodeAt(level, index);
      const block = Math.floor((index * 2 ** level) / blockEntries);
      const start = index * 2 ** level - block * blockEntries;
      const leaves = defined(blocks.get(block), 'what a proof reads was fetched');
      return fold(leaves, start, start + 2 ** level);
    });
  }

  async #leavesOf(block: number, readEntries: ReadEntries): Promise<readonly Buffer[]> {
    const finished = this.#levels[0]?.length ?? 0;
    if (block >= finished) return this.#leaves;
    const cached = this.#cache.get(block);
    if (cached) return cached;
    const entries = await readEntries(block * blockEntries, blockEntries);
    const leaves = entries.map(hashLeaf);
    const whole = leaves.length === blockEntries;
    if (!whole || !fold(leaves, 0, blockEntries).equals(this.#nodeAt(blockLevel, block))) {
      throw corrupt(`block ${block}`);
    }
    if (this.#cache.size >= cachedBlocksMax) {
      for (const oldest of this.#cache.keys()) {
        this.#cache.delete(oldest);
        break;
      }
    }
    this.#cache.set(block, leaves);
    return leaves;
  }

  #nodeAt(level: number, index: number): Buffer {
    return defined(this.#levels[level - blockLevel], 'a complete node is kept').at(index);
  }

  #addBlock(hash: TreeHash): void {
    let node = hash;
    for (let level = 0; ; level++) {
      const list = (this.#levels[level] ??= new HashList());
      list.push(node);
      if (list.length % 2 === 1) return;
      node = hashNode(list.at(list.length - 2), list.at(list.length - 1));
    }
  }

  /** From what is kept, to be compared with the frontier's. */
  #root(): Buffer {
    if (this.size === 0) return this.#frontier.root();
    const parts: Buffer[] = [];
    for (let level = 52; level >= 0; level--) {
      const width = 2 ** level;
      if (Math.floor(this.size / width) % 2 === 0) continue;
      const index = Math.floor(this.size / width) - 1;
      if (level >= blockLevel) parts.push(this.#nodeAt(level, index));
      else {
        const start = (index * width) % blockEntries;
        if (start + width > this.#leaves.length) throw corrupt('entries');
        parts.push(fold(this.#leaves, start, start + width));
      }
    }
    return parts.reduceRight((right, left) => hashNode(left, right));
  }
}

/** The root of `leaves[start … end)`, a power of two of them. */
function fold(leaves: readonly Buffer[], start: number, end: number): Buffer {
  if (end - start === 1) return defined(leaves[start], 'a leaf of the tree is there');
  const middle = (start + end) / 2;
  return hashNode(fold(leaves, start, middle), fold(leaves, middle, end));
}

function corrupt(what: string): Fault {
  return new Fault('barrier.corrupt', { kind: 'audit', id: what });
}
