/**
 * Items in the order of their names, in blocks, so that one more among a million costs microseconds: a
 * flat sorted list would move half of itself. Names are compared by code units.
 *
 * While everything is being loaded names come in any order; then they wait, and are sorted at once.
 */
import { assert } from './assert.ts';

const blockItemsMax = 512;

export class SortedBlocks<T> {
  readonly #nameOf: (item: T) => string;
  /** Never an empty block; every name of a block is before every name of the next. */
  #blocks: T[][] = [];
  /** What waits to be sorted; `undefined` once there was a need for order. */
  #waiting: T[] | undefined = [];
  #size = 0;

  constructor(nameOf: (item: T) => string) {
    this.#nameOf = nameOf;
  }

  get size(): number {
    return this.#size;
  }

  clear(): void {
    this.#blocks = [];
    this.#waiting = [];
    this.#size = 0;
  }

  /** An item whose name is not there yet. */
  add(item: T): void {
    this.#size += 1;
    if (this.#waiting === undefined) this.#insert(item);
    else this.#waiting.push(item);
  }

  /** While it still has its name. */
  remove(item: T): void {
    this.settle();
    const name = this.#nameOf(item);
    const blockIndex = this.#blockAfter(name) - 1;
    const block = this.#blocks[blockIndex];
    if (block === undefined) return;
    const index = this.#firstAtLeast(block, name);
    if (block[index] !== item) return;
    block.splice(index, 1);
    this.#size -= 1;
    if (block.length === 0) this.#blocks.splice(blockIndex, 1);
    assert(this.#size >= 0, 'no more items are removed than were added');
  }

  /** Sorts what waits. What is added from now on is put in its place at once. */
  settle(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    const names = waiting.map(this.#nameOf);
    const order = Uint32Array.from(waiting.keys());
    order.sort((left, right) => ((names[left] ?? '') < (names[right] ?? '') ? -1 : 1));
    // Not quite full: the first names that come in between should not split every block.
    const filled = blockItemsMax - 64;
    for (let at = 0; at < order.length; at += filled) {
      const block = order.subarray(at, at + filled);
      this.#blocks.push(Array.from(block, (index) => waiting[index] as T));
    }
  }

  /**
   * Items whose names start with `prefix` and come strictly after `after`, in order. Nothing may be added
   * or removed while the sequence is read: take what is needed at once.
   */
  *from(prefix: string, after: string): Generator<T> {
    this.settle();
    const start = after >= prefix ? after : prefix;
    let blockIndex = Math.max(0, this.#blockAfter(start) - 1);
    let index = this.#firstAtLeast(this.#blocks[blockIndex] ?? [], start);
    for (;;) {
      const block = this.#blocks[blockIndex];
      if (block === undefined) return;
      for (const item of block.slice(index)) {
        const name = this.#nameOf(item);
        if (name <= after) continue;
        if (!name.startsWith(prefix)) return;
        yield item;
      }
      blockIndex++;
      index = 0;
    }
  }

  #insert(item: T): void {
    const name = this.#nameOf(item);
    const blockIndex = Math.max(0, this.#blockAfter(name) - 1);
    const block = this.#blocks[blockIndex];
    if (block === undefined) {
      this.#blocks.push([item]);
      return;
    }
    block.splice(this.#firstAtLeast(block, name), 0, item);
    if (block.length <= blockItemsMax) return;
    // Names often arrive in order: leaving the lower block nearly full keeps memory tight then.
    const keep = blockIndex === this.#blocks.length - 1 ? blockItemsMax - 8 : blockItemsMax / 2;
    this.#blocks.splice(blockIndex + 1, 0, block.splice(keep));
  }

  /** Index of the first block whose first name is after `name`. */
  #blockAfter(name: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = this.#blocks[middle]?.[0];
      if (first !== undefined && this.#nameOf(first) <= name) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the first item whose name is not before `name`. */
  #firstAtLeast(block: readonly T[], name: string): number {
    let low = 0;
    let high = block.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const item = block[middle];
      if (item !== undefined && this.#nameOf(item) < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
