/**
 * Goal: names come out in order whatever order they came in.
 * Method: random additions and removals, compared with sorting a set; ranges compared with filtering.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SortedNames } from './sorted-names.ts';

test('random additions and removals keep order, and ranges are exact', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '-'), minLength: 1, maxLength: 4 });
  const change = fc.record({ name: text, remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 300 }), text, text, (changes, prefix, after) => {
      const names = new SortedNames();
      const model = new Set<string>();
      for (const { name, remove } of changes) {
        if (remove) names.remove(name);
        else names.add(name);
        if (remove) model.delete(name);
        else model.add(name);
      }
      equal(names.size, model.size);
      const sorted = [...model].toSorted();
      deepEqual([...names.from('', '')], sorted);
      const range = sorted.filter((name) => name.startsWith(prefix) && name > after);
      deepEqual([...names.from(prefix, after)], range);
    }),
    { numRuns: 300 },
  );
});

test('many names split into blocks, ascending, descending and mixed', () => {
  const all = Array.from({ length: 5000 }, (_, index) => `n${String(index).padStart(5, '0')}`);
  const mixed = all.toSorted((a, b) => (a.at(-1) ?? '').localeCompare(b.at(-1) ?? ''));
  for (const order of [all, all.toReversed(), mixed]) {
    const names = new SortedNames();
    for (const name of order) names.add(name);
    deepEqual([...names.from('', '')], all);
    deepEqual([...names.from('n0', 'n00997')].slice(0, 2), ['n00998', 'n00999']);
    for (const name of all.slice(0, 4990)) names.remove(name);
    deepEqual([...names.from('', '')], all.slice(4990));
  }
});
