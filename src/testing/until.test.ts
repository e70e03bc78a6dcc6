/**
 * Goal: a test that waits for what never comes fails, and says what it waited for.
 * Method: what comes at the third look, and what never does.
 */
import { equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { becomesSo, until } from './until.ts';

for (const everyMs of [0, 1]) {
  test(`until looks until it is so, every ${everyMs} ms`, async () => {
    let looks = 0;
    ok((await until('the third look', () => ++looks === 3, { everyMs })) >= 0);
    equal(looks, 3);
    equal(await becomesSo(async () => ++looks === 6, { everyMs }), true);
  });

  test(`until gives up by name, every ${everyMs} ms`, async () => {
    const patience = { everyMs, withinMs: 5 };
    await rejects(
      until('what never comes', () => false, patience),
      /what never comes: not within 5 ms/,
    );
    equal(await becomesSo(() => false, patience), false);
  });
}
