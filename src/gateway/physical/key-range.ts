/**
 * Keys and batches as every physical storage must take them: what a key may look like, which span of
 * keys a listing means, and the checks that only a bug of a caller can fail.
 */
import { assert } from '../../base/assert.ts';
import type { ListOptions, PhysicalBatch, PhysicalKey } from './physical.ts';

/** Kind, slash and a few ids; well below what every database can index. */
export const keyCharsMax = 200;
/** Above the largest value plus its envelope, and above a sealed set; far below what SQLite can hold. */
export const rowBytesMax = 4 * 1024 * 1024;
export const listItemsMax = 10_000;

const keyPattern = /^[\x21-\x7e]+$/;
/** Sorts before every character a key may have, and after every one, so that spans are plain comparisons. */
const beforeKeyChars = '\x20';
const afterKeyChars = '\x7f';

export function isPhysicalKey(key: string): boolean {
  return key.length <= keyCharsMax && keyPattern.test(key);
}

/** Keys from `from` (included) to `to` (not included), in byte order. */
export interface KeyRange {
  readonly from: string;
  readonly to: string;
}

/** The span of keys that `list(prefix, options)` means, before its limit. */
export function keyRange(prefix: string, options: ListOptions): KeyRange {
  assert(prefix === '' || isPhysicalKey(prefix), 'a prefix is empty or the beginning of a key');
  assert(
    Number.isSafeInteger(options.limit) && options.limit >= 1 && options.limit <= listItemsMax,
    'a list limit is within bounds',
  );
  const from = prefix;
  const to = prefix + afterKeyChars;
  const { after } = options;
  if (after === undefined) return { from, to };
  assert(isPhysicalKey(after), 'a list continues after a key');
  if (options.reverse === true) return { from, to: after < to ? after : to };
  const next = after + beforeKeyChars;
  return { from: next > from ? next : from, to };
}

/** @throws AssertionError if the batch is not one that a caller may make. */
export function assertBatch(batch: PhysicalBatch): void {
  assert(Number.isSafeInteger(batch.revision) && batch.revision > 0, 'a revision is positive');
  const written = new Set<PhysicalKey>();
  for (const { key, bytes } of batch.writes) {
    assert(isPhysicalKey(key), 'a written key is well formed');
    assert(!written.has(key), 'a batch writes a key once');
    assert(bytes === undefined || bytes.length <= rowBytesMax, 'a row is within bounds');
    written.add(key);
  }
  for (const { key, revision } of batch.expectations) {
    assert(isPhysicalKey(key), 'an expected key is well formed');
    assert(Number.isSafeInteger(revision) && revision >= 0, 'an expected revision is not negative');
  }
}
