/**
 * Goal: what is packed comes back, whatever else is set, and holes do not pile up.
 * Method: random changes compared with a map; one record replaced for ever; many that shrink.
 */
import { deepEqual, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chunkBytes, PackedRecords } from './packed-records.ts';

test('random changes are what a map would hold', () => {
  const change = fc.record({
    slot: fc.nat(40),
    fill: fc.integer({ min: 1, max: 255 }),
    length: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 100_000 })),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200, size: 'max' }), (changes) => {
      const records = new PackedRecords();
      const model = new Map<number, Buffer>();
      for (const { slot, fill, length } of changes) {
        const bytes = Buffer.alloc(length, fill);
        records.set(slot, bytes);
        model.set(slot, bytes);
      }
      for (const [slot, bytes] of model) deepEqual(records.get(slot), bytes);
      const live = [...model.values()].reduce((sum, bytes) => sum + bytes.length + 16, 0);
      ok(records.bytes <= 2 * live + 3 * chunkBytes);
    }),
    { numRuns: 50 },
  );
});

test('a record that is replaced for ever, and many that shrink, leave no chunks behind', () => {
  const records = new PackedRecords();
  for (let round = 0; round < 20_000; round++) records.set(7, Buffer.alloc(100, round % 251));
  deepEqual(records.get(7), Buffer.alloc(100, 19_999 % 251));
  ok(records.bytes <= 2 * chunkBytes);
  for (let slot = 0; slot < 20_000; slot++) records.set(slot, Buffer.alloc(500, slot % 251));
  ok(records.bytes > 20 * chunkBytes, 'control');
  for (let slot = 0; slot < 20_000; slot++) records.set(slot, Buffer.alloc(8, slot % 251));
  ok(records.bytes <= 3 * chunkBytes);
  for (let slot = 0; slot < 20_000; slot++) {
    deepEqual(records.get(slot), Buffer.alloc(8, slot % 251));
  }
  throws(() => records.get(20_000), /has its record/);
});
