/**
 * Goal: no mount whose pages could be written to a disk (G32).
 * Method: the four combinations of kernel and swap.
 */
import { equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { createSwapGuard } from './swap-guard.ts';

const heading = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n';
const withSwap = `${heading}/swapfile                               file\t\t1048572\t\t0\t\t-2\n`;

test('createSwapGuard asks for noswap where the kernel has it, swap or not', () => {
  for (const swaps of [heading, withSwap]) {
    equal(createSwapGuard({ kernelHasNoswap: () => true, swaps: () => swaps })(), true);
  }
});

test('createSwapGuard refuses where the kernel lacks it and swap is on, also if it came on later', () => {
  let swaps = heading;
  const guard = createSwapGuard({ kernelHasNoswap: () => false, swaps: () => swaps });
  equal(guard(), false);
  swaps = withSwap;
  throws(guard, { code: 'mount.swappable' });
});
