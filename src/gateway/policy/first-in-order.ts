/** The first so many of what is kept unsorted: one pass, memory for those, and the rest is not sorted. */
import { order } from './wanted.ts';

export function firstInOrder<T>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
  limit: number,
): readonly T[] {
  const keys: string[] = [];
  const first: T[] = [];
  for (const item of items) {
    const key = keyOf(item);
    const last = keys.at(-1);
    if (keys.length >= limit && (last === undefined || order(key, last) >= 0)) continue;
    const place = placeOf(keys, key);
    keys.splice(place, 0, key);
    first.splice(place, 0, item);
    if (keys.length > limit) {
      keys.pop();
      first.pop();
    }
  }
  return first;
}

function placeOf(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (order(keys[middle] ?? '', key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
