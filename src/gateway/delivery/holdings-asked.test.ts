/**
 * Goal: ids come in order from where one asks, however many of them are taken; narrowing leaves out
 * nothing that is asked for.
 * Method: random ids compared with sorting them; a line with a withdrawn secret that is still held.
 */
import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { WorkloadId } from '../../model/workload.ts';
import { idsInOrder } from './holdings-asked.ts';

test('ids come in order, from the one that is asked for', () => {
  const number = fc.integer({ min: 0, max: 1_000_000 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9000 }), number, number, (count, seed, start) => {
      const ids = Array.from(
        { length: count },
        (_, index) => `wld_${((index + seed) * 7919) % 1_000_003}` as WorkloadId,
      );
      const from = `wld_${start}`;
      const expected = ids.filter((id) => id >= from).sort();
      deepEqual([...idsInOrder(ids, from)], expected);
    }),
    { numRuns: 30 },
  );
});

test('taking a few sorts a few', () => {
  const ids = Array.from({ length: 100_000 }, (_, index) => `wld_${index}` as WorkloadId);
  const first = idsInOrder(ids).take(3).toArray();
  deepEqual(first, ['wld_0', 'wld_1', 'wld_10']);
  ok(ids[2] === 'wld_2', 'what was given is as it was');
});
