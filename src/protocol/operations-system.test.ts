/**
 * Goal: whoever sees a weakening of the gateway finds what it costs.
 * Method: the codes of the contract against the table of docs/guides/production.md.
 */
import { deepEqual, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gatewayWeakenings } from './operations-system.ts';

test('the guide lists exactly the weakenings that the gateway can have', () => {
  const guide = readFileSync(join(import.meta.dirname, '../../docs/guides/production.md'), 'utf8');
  const rows = [...guide.matchAll(/^\| `([a-z-]+)` \| ([a-z, ]+) \|/gm)];
  ok(
    rows.some(([, , of]) => of === 'node'),
    'control: it has others too',
  );
  const listed = rows.filter(([, , of]) => of?.includes('gateway') === true);
  deepEqual(listed.map(([, code]) => code ?? '').toSorted(), gatewayWeakenings.toSorted());
});
