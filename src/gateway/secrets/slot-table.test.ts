/** Goal: texts find their slots. Method: random changes, with texts that meet, compared with a map. */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '../../base/random.ts';
import { SlotTable } from './slot-table.ts';

test('random changes are what a map would hold', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });
  const changes = fc.array(fc.record({ text, goes: fc.boolean() }), {
    maxLength: 500,
    size: 'max',
  });
  fc.assert(
    fc.property(changes, text, (all, asked) => {
      const texts: string[] = [];
      const table = new SlotTable(systemRandom, (slot) => texts[slot] ?? '');
      const model = new Map<string, number>();
      for (const { text: next, goes } of all) {
        if (goes) table.remove(next);
        else if (!model.has(next)) table.add(next, texts.push(next) - 1);
        if (goes) model.delete(next);
        else if (!model.has(next)) model.set(next, texts.length - 1);
      }
      equal(table.size, model.size);
      for (const [known, slot] of model) equal(table.find(known), slot);
      equal(table.find(asked), model.get(asked));
    }),
    { numRuns: 200 },
  );
});

test('adding and removing without end keeps finding, and ends where there is nothing', () => {
  const texts: string[] = [];
  const table = new SlotTable(systemRandom, (slot) => texts[slot] ?? '');
  for (let round = 0; round < 20_000; round++) {
    texts.push(`text ${round}`);
    table.add(`text ${round}`, round);
    if (round >= 100) table.remove(`text ${round - 100}`);
  }
  equal(table.size, 100);
  for (let round = 0; round < 20_000; round++) {
    equal(table.find(`text ${round}`), round < 19_900 ? undefined : round);
  }
});
