/**
 * Goal: items come out in order of their names, whatever order they came in, and a few of them cost few.
 * Method: random additions and removals, compared with sorting a set; ranges compared with filtering; the
 * names that are looked at are counted.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SortedBlocks } from './sorted-blocks.ts';

/** Names in slots of their own. */
function setUp() {
  const names: string[] = [];
  const slots = new SortedBlocks<number>((slot) => names[slot] ?? '');
  return {
    slots,
    add: (name: string) => slots.add(names.push(name) - 1),
    remove: (name: string) => slots.remove(names.lastIndexOf(name)),
    from: (prefix: string, after: string) =>
      [...slots.from(prefix, after)].map((slot) => names[slot] ?? ''),
  };
}

test('a few items from anywhere, one more and one less look at a few names', () => {
  const count = 100_000;
  let looked = 0;
  const nameOf = (number: number): string => {
    looked += 1;
    return String(number).padStart(7, '0');
  };
  const lookedBy = (act: () => unknown): number => {
    const before = looked;
    act();
    return looked - before;
  };
  const sorted = new SortedBlocks<number>(nameOf);
  for (let number = 0; number < count; number += 1) sorted.add(number * 2);
  ok(lookedBy(() => sorted.settle()) >= count, 'control: to sort them is to look at all');
  for (const start of ['', nameOf(3), nameOf(100_001), nameOf(count * 2)]) {
    ok(lookedBy(() => sorted.from('', start).take(50).toArray()) < 200, start);
  }
  ok(lookedBy(() => sorted.add(77_777)) < 50);
  ok(lookedBy(() => sorted.remove(77_777)) < 50);
  ok(lookedBy(() => [...sorted.from('', '')]) >= count, 'control: to take all is to look at all');
});

test('random additions and removals keep order, and ranges are exact', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '-'), minLength: 1, maxLength: 4 });
  const change = fc.record({ name: text, remove: fc.boolean() });
  const changes = fc.array(change, { maxLength: 300 });
  fc.assert(
    fc.property(changes, fc.nat(), text, text, (all, settledAt, prefix, after) => {
      const { slots, add, remove, from } = setUp();
      const model = new Set<string>();
      for (const [index, { name, remove: goes }] of all.entries()) {
        if (index === settledAt % all.length) slots.settle();
        if (goes && model.delete(name)) remove(name);
        else if (!goes && !model.has(name)) add(name);
        if (!goes) model.add(name);
      }
      equal(slots.size, model.size);
      const sorted = [...model].toSorted();
      deepEqual(from('', ''), sorted);
      const range = sorted.filter((name) => name.startsWith(prefix) && name > after);
      deepEqual(from(prefix, after), range);
    }),
    { numRuns: 300 },
  );
});

test('many names split into blocks, ascending, descending and mixed, sorted at once or one by one', () => {
  const all = Array.from({ length: 5000 }, (_, index) => `n${String(index).padStart(5, '0')}`);
  const mixed = all.toSorted((a, b) => (a.at(-1) ?? '').localeCompare(b.at(-1) ?? ''));
  for (const order of [all, all.toReversed(), mixed]) {
    for (const settledAt of [0, 2500, 5000]) {
      const { slots, add, remove, from } = setUp();
      for (const [index, name] of order.entries()) {
        if (index === settledAt) slots.settle();
        add(name);
      }
      deepEqual(from('', ''), all);
      deepEqual(from('n0', 'n00997').slice(0, 2), ['n00998', 'n00999']);
      for (const name of all.slice(0, 4990)) remove(name);
      deepEqual(from('', ''), all.slice(4990));
    }
  }
});
