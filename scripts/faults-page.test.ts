/**
 * Goal: whoever meets a fault finds it on the page, as the table has it.
 * Method: make the page, look for every row, and compare with what is committed.
 */
import { equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { faults } from '../src/base/fault-table.ts';
import { faultsPage, faultsPagePath } from './faults-page.ts';

test('docs/FAULTS.md is what the table of faults says', () => {
  const committed = readFileSync(join(import.meta.dirname, '..', faultsPagePath), 'utf8');
  ok(committed === faultsPage(), 'make it anew: node scripts/faults-page.ts');
});

test('the page has every fault once, with what to do', () => {
  const page = faultsPage();
  for (const [code, { hint }] of Object.entries(faults)) {
    equal(page.split(`### \`${code}\`\n`).length, 2, code);
    ok(page.includes(hint), code);
  }
});
