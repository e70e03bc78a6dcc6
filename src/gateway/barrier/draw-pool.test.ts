/**
 * Goal: whoever draws gets bytes of the source that nobody else got, in memory of their own.
 * Method: a source that counts, so that every byte tells where it came from, and whose blocks are looked
 * at afterwards. Control: a block before anything was drawn from it.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { DrawPool } from './draw-pool.ts';

/** Blocks of 32-bit numbers that never come twice, from 1. */
function countingSource() {
  const blocks: Buffer[] = [];
  let next = 1;
  return {
    blocks,
    bytes(length: number): Buffer {
      const block = Buffer.allocUnsafeSlow(length);
      for (let at = 0; at < length; at += 4) block.writeUInt32BE(next++, at);
      blocks.push(block);
      return block;
    },
  };
}

test('DrawPool hands out each byte of its source once, and keeps none of them', () => {
  const source = countingSource();
  const pool = new DrawPool(source);
  const drawn = Array.from({ length: 1000 }, (_, run) => pool.bytes(run % 3 === 0 ? 32 : 24));
  const numbers = drawn.flatMap((bytes) =>
    Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32BE(4 * index)),
  );
  ok(source.blocks.length >= 6, 'over several blocks');
  equal(new Set(numbers).size, numbers.length);
  ok(!numbers.includes(0), 'nothing that was wiped');
  deepEqual(
    numbers,
    numbers.toSorted((left, right) => left - right),
  );
  const [first, ...others] = source.blocks.map(
    (block) => block.filter((byte) => byte !== 0).length,
  );
  ok(
    [first, ...others.slice(0, -1)].every((left = 0) => left < 32),
    'all but the end of each is gone',
  );
  ok(
    countingSource()
      .bytes(4096)
      .filter((byte) => byte !== 0).length > 1024,
    'control',
  );
});

test('DrawPool gives memory of its own', () => {
  const source = countingSource();
  const pool = new DrawPool(source);
  const [one, two] = [pool.bytes(24), pool.bytes(24)];
  equal(one.buffer.byteLength, 24);
  const before = Buffer.from(two);
  one.fill(0xff);
  deepEqual(two, before);
  ok(source.blocks.every((block) => block.buffer !== one.buffer));
  throws(() => pool.bytes(4097), /fits a block/);
});
