/**
 * Goal: swap that is there is seen, as the kernel lists it.
 * Method: texts of /proc/swaps, and that of this machine.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { swapAreas } from './swap-areas.ts';

const heading = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n';

test('swapAreas names each device and file, and nothing where there is no swap', () => {
  deepEqual(swapAreas(''), []);
  deepEqual(swapAreas(heading), []);
  const device = '/dev/dm-1                               partition\t8388604\t\t0\t\t-2\n';
  const file = '/swap\\040file\tfile\t1048572\t\t0\t\t-3\n';
  deepEqual(swapAreas(`${heading}${device}${file}`), ['/dev/dm-1', '/swap\\040file']);
});

test('swapAreas reads what this kernel writes', () => {
  const text = readFileSync('/proc/swaps', 'utf8');
  equal(swapAreas(text).length, text.trimEnd().split('\n').length - 1);
});
