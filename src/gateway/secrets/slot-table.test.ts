/** Goal: texts find their slots. Method: random texts, with some that meet, compared with a map. */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '../../base/random.ts';
import { SlotTable } from './slot-table.ts';

test('what was added is found, and nothing else', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });
  const added = fc.uniqueArray(text, { maxLength: 300, size: 'max' });
  fc.assert(
    fc.property(added, text, (texts, asked) => {
      const table = new SlotTable(systemRandom, (slot) => texts[slot] ?? '');
      for (const [slot, next] of texts.entries()) {
        equal(table.find(next), undefined);
        table.add(next, slot);
      }
      equal(table.size, texts.length);
      for (const [slot, known] of texts.entries()) equal(table.find(known), slot);
      equal(table.find(asked) ?? -1, texts.indexOf(asked));
    }),
    { numRuns: 200 },
  );
});

test('a table grows as far as it must, and ends where there is nothing', () => {
  const texts = Array.from({ length: 20_000 }, (_, slot) => `text ${slot}`);
  const table = new SlotTable(systemRandom, (slot) => texts[slot] ?? '');
  for (const [slot, text] of texts.entries()) table.add(text, slot);
  for (const [slot, text] of texts.entries()) equal(table.find(text), slot);
  for (const text of texts) equal(table.find(`no ${text}`), undefined);
  table.clear();
  equal(table.size, 0);
  equal(table.find('text 0'), undefined);
});
