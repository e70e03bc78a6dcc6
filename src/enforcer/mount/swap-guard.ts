/**
 * Keeps secrets off the disk: a tmpfs is either made `noswap`, or there is no swap to go to.
 *
 * Whether the kernel can, is found out once. Where it cannot, swap is looked for before each new
 * mount, because it can be turned on at any time; what is mounted by then is not protected.
 */
import { readFileSync } from 'node:fs';
import { Fault } from '../../base/fault.ts';
import { swapAreas } from '../../base/swap-areas.ts';

export interface SwapFacts {
  readonly kernelHasNoswap: () => boolean;
  /** The text of /proc/swaps. */
  readonly swaps: () => string;
}

/** @returns what tells, for each new mount, whether to ask for `noswap`, or throws `mount.swappable` */
export function createSwapGuard(facts: SwapFacts): () => boolean {
  const noswap = facts.kernelHasNoswap();
  return () => {
    if (!noswap && swapAreas(facts.swaps()).length > 0) throw new Fault('mount.swappable');
    return noswap;
  };
}

export function readSwaps(): string {
  return readFileSync('/proc/swaps', 'utf8');
}
