/**
 * Random bytes out of blocks: a call to the source costs more than the bytes, and a row takes one to
 * three of them.
 *
 * Promises: what is handed out is memory of its own, was handed out to nobody else, and is no longer here.
 */
import { assert } from '../../base/assert.ts';
import { allocate, wipe } from '../../base/bytes.ts';
import type { Random } from '../../base/random.ts';

const blockBytes = 4096;

export class DrawPool implements Pick<Random, 'bytes'> {
  readonly #source: Pick<Random, 'bytes'>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: Pick<Random, 'bytes'>) {
    this.#source = source;
  }

  bytes(length: number): Buffer {
    assert(length <= blockBytes, 'a draw fits a block');
    if (length > this.#rest.length) this.#rest = this.#source.bytes(blockBytes);
    const drawn = this.#rest.subarray(0, length);
    const own = allocate(length);
    own.set(drawn);
    wipe(drawn);
    this.#rest = this.#rest.subarray(length);
    return own;
  }
}
