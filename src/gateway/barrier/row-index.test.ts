/**
 * Goal: the index says of every key what was last said of it, and of the others nothing, through
 * growth, removal and ids that differ in few characters.
 * Method: a map as the model; then many keys of the shapes that storage has.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '../../base/random.ts';
import { RowIndex } from './row-index.ts';

test('RowIndex behaves like a map, and counts rows per key', () => {
  const key = fc.integer({ min: 0, max: 60 }).map((id) => `secret/sec_${id}`);
  const command = fc.record({
    key,
    revision: fc.integer({ min: 1, max: 2 ** 50 }),
    keyNumber: fc.integer({ min: 1, max: 3 }),
    removes: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
      const index = new RowIndex(systemRandom, commands.length % 3 === 0 ? 2000 : 0);
      const model = new Map<string, { revision: number; keyNumber: number }>();
      for (const { key, revision, keyNumber, removes } of commands) {
        if (removes) {
          index.delete(key);
          model.delete(key);
        } else {
          index.set(key, { revision, keyNumber });
          model.set(key, { revision, keyNumber });
        }
      }
      equal(index.size, model.size);
      for (let id = 0; id <= 60; id++) {
        deepEqual(index.get(`secret/sec_${id}`), model.get(`secret/sec_${id}`));
      }
      for (const number of [1, 2, 3]) {
        const rows = [...model.values()].filter(({ keyNumber }) => keyNumber === number).length;
        equal(index.rowsUnder(number), rows);
      }
    }),
  );
});

test('RowIndex tells apart keys of every shape that storage has, by the hundred thousand', () => {
  const index = new RowIndex(systemRandom);
  const count = process.env['COFFER_LONG'] === '1' ? 1_000_000 : 100_000;
  const shapes: ((at: number) => string)[] = [
    (at) => `secret/sec_0192f0c0-0000-7000-8000-${at.toString(16).padStart(12, '0')}`,
    (at) =>
      `value/sec_0192f0c0-0000-7000-8000-${(at >> 4).toString(16).padStart(12, '0')}/${at & 15}`,
    (at) => `node/${at}`,
  ];
  for (const shape of shapes) {
    for (let at = 0; at < count; at++) index.set(shape(at), { revision: at + 1, keyNumber: 1 });
  }
  equal(index.size, shapes.length * count, 'no two shared a fingerprint');
  for (const shape of shapes) {
    for (let at = 0; at < count; at += 97) equal(index.get(shape(at))?.revision, at + 1);
  }
  for (let at = 0; at < count; at++) index.delete(`node/${at}`);
  equal(index.size, (shapes.length - 1) * count);
  equal(index.get('node/5'), undefined);
});
