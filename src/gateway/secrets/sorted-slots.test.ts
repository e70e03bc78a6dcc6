/**
 * Goal: slots come out in order of their names, whatever order they came in.
 * Method: random additions and removals, compared with sorting a set; ranges compared with filtering.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SortedSlots } from './sorted-slots.ts';

/** Names in slots of their own. */
function setUp() {
  const names: string[] = [];
  const slots = new SortedSlots((slot) => names[slot] ?? '');
  return {
    slots,
    add: (name: string) => slots.add(names.push(name) - 1),
    remove: (name: string) => slots.remove(names.lastIndexOf(name)),
    from: (prefix: string, after: string) =>
      [...slots.from(prefix, after)].map((slot) => names[slot] ?? ''),
  };
}

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
