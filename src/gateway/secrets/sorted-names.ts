/**
 * Names in byte order, in blocks, so that one more name among a million costs microseconds.
 *
 * A flat sorted list moves half of itself for each new name; here only one block moves.
 */
import { assert } from '../../base/assert.ts';

const blockNamesMax = 512;

export class SortedNames {
  /** Never an empty block; every name of a block is before every name of the next. */
  #blocks: string[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  clear(): void {
    this.#blocks = [];
    this.#size = 0;
  }

  /** Adding what is there already changes nothing. */
  add(name: string): void {
    const blockIndex = Math.max(0, this.#blockAfter(name) - 1);
    const block = this.#blocks[blockIndex];
    if (block === undefined) {
      this.#blocks.push([name]);
      this.#size = 1;
      return;
    }
    const index = firstAtLeast(block, name);
    if (block[index] === name) return;
    block.splice(index, 0, name);
    this.#size++;
    if (block.length > blockNamesMax) {
      // Names often arrive in order: leaving the lower block nearly full keeps memory tight then.
      const keep = blockIndex === this.#blocks.length - 1 ? blockNamesMax - 8 : blockNamesMax / 2;
      this.#blocks.splice(blockIndex + 1, 0, block.splice(keep));
    }
  }

  remove(name: string): void {
    const blockIndex = this.#blockAfter(name) - 1;
    const block = this.#blocks[blockIndex];
    if (block === undefined) return;
    const index = firstAtLeast(block, name);
    if (block[index] !== name) return;
    block.splice(index, 1);
    this.#size--;
    if (block.length === 0) this.#blocks.splice(blockIndex, 1);
    assert(this.#size >= 0, 'no more names are removed than were added');
  }

  /**
   * Names that start with `prefix` and come strictly after `after`, in order. The set must not change
   * while the sequence is read: take what is needed at once.
   */
  *from(prefix: string, after: string): Generator<string> {
    const start = after >= prefix ? after : prefix;
    let blockIndex = Math.max(0, this.#blockAfter(start) - 1);
    let index = firstAtLeast(this.#blocks[blockIndex] ?? [], start);
    for (;;) {
      const block = this.#blocks[blockIndex];
      if (block === undefined) return;
      for (; index < block.length; index++) {
        const name = block[index] ?? '';
        if (name <= after) continue;
        if (!name.startsWith(prefix)) return;
        yield name;
      }
      blockIndex++;
      index = 0;
    }
  }

  /** Index of the first block whose first name is after `name`. */
  #blockAfter(name: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#blocks[middle]?.[0] ?? '') <= name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Index of the first name that is not before `name`. */
function firstAtLeast(block: readonly string[], name: string): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((block[middle] ?? '') < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
