/**
 * /proc/swaps as data: the devices and files that memory is swapped to.
 */

/** @param swaps - The text of /proc/swaps: one heading, then one line per device or file in use. */
export function swapAreas(swaps: string): readonly string[] {
  return swaps
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s/, 1)[0] ?? '')
    .filter((path) => path !== '');
}
