/** Pages of what is kept unsorted: the first few after a place, without sorting the rest. */
import { order } from './wanted.ts';

export interface PageOf<T> {
  /** Exclusive. */
  readonly after?: string;
  readonly limit: number;
  readonly where?: (item: T) => boolean;
}

/** One pass; memory for one page. */
export function sortedPage<T>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
  { after, limit, where }: PageOf<T>,
): readonly T[] {
  const keys: string[] = [];
  const page: T[] = [];
  for (const item of items) {
    if (where?.(item) === false) continue;
    const key = keyOf(item);
    if (after !== undefined && order(key, after) <= 0) continue;
    const last = keys.at(-1);
    if (keys.length >= limit && (last === undefined || order(key, last) >= 0)) continue;
    const place = placeOf(keys, key);
    keys.splice(place, 0, key);
    page.splice(place, 0, item);
    if (keys.length > limit) {
      keys.pop();
      page.pop();
    }
  }
  return page;
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
