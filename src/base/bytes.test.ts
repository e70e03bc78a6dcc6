/**
 * Goal: bytes with lengths before their parts can be read in one way only, however they were cut or
 * lengthened; memory is alone and empty, and what is wiped is gone.
 * Method: properties over lists of parts, over bytes that nobody joined, and over joined ones that were
 * altered. Control: joining without lengths, or reading without bounds, is told apart.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  allocate,
  equalSecretly,
  joinPrefixed,
  splitPrefixed,
  takePrefixed,
  wipe,
} from './bytes.ts';

const numRuns = process.env['COFFER_LONG'] === '1' ? 50_000 : 2_000;
const lists = fc.array(fc.uint8Array({ maxLength: 12 }), { maxLength: 6 });
/** Few bytes, most of them small: what looks like lengths. */
const soup = fc.array(fc.oneof(fc.constant(0), fc.nat(6), fc.nat(255)), { maxLength: 24 });

const hex = (parts: readonly Uint8Array[]): readonly string[] =>
  parts.map((part) => Buffer.from(part).toString('hex'));

test('splitPrefixed gives what joinPrefixed joined, as views', () => {
  fc.assert(
    fc.property(lists, fc.nat(7), (parts, before) => {
      const joined = joinPrefixed(parts);
      const within = Buffer.concat([Buffer.alloc(before, 0xff), joined]).subarray(before);
      const split = splitPrefixed(within) ?? [];
      deepEqual(hex(split), hex(parts));
      for (const part of split) equal(part.buffer, within.buffer);
    }),
    { numRuns },
  );
  deepEqual(joinPrefixed(['ä', '']), Buffer.from('00000002c3a400000000', 'hex'));
});

test('no two lists join to the same bytes', () => {
  const seen = new Map<string, string>();
  const without = new Map<string, string>();
  let met = 0;
  fc.assert(
    fc.property(lists, (parts) => {
      const list = hex(parts).join();
      const joined = joinPrefixed(parts).toString('hex');
      equal(seen.get(joined) ?? list, list);
      seen.set(joined, list);
      const unprefixed = Buffer.concat(parts).toString('hex');
      if ((without.get(unprefixed) ?? list) !== list) met += 1;
      without.set(unprefixed, list);
    }),
    { numRuns },
  );
  ok(met > 0, 'control: joined without lengths some are the same');
});

test('splitPrefixed takes whole parts and nothing else: what splits is what its parts join to', () => {
  fc.assert(
    fc.property(soup, (bytes) => {
      const given = Buffer.from(bytes);
      const split = splitPrefixed(given);
      if (split !== undefined) deepEqual(joinPrefixed(split), given);
    }),
    { numRuns: 4 * numRuns },
  );
});

test('splitPrefixed refuses bytes that were cut within a part, and bytes that follow the last', () => {
  fc.assert(
    fc.property(lists, fc.integer({ min: 1, max: 3 }), (parts, more) => {
      const joined = joinPrefixed(parts);
      const ends = parts.map((_, index) => joinPrefixed(parts.slice(0, index)).length);
      for (let length = 0; length < joined.length; length++) {
        equal(splitPrefixed(joined.subarray(0, length)) !== undefined, ends.includes(length));
      }
      for (const fill of [0, 1, 0xff]) {
        equal(splitPrefixed(Buffer.concat([joined, Buffer.alloc(more, fill)])), undefined);
      }
    }),
    { numRuns: numRuns / 10 },
  );
  const unbounded = joinPrefixed(['abcd']).subarray(0, 6);
  deepEqual(unbounded.subarray(4, 4 + unbounded.readUInt32BE(0)).toString(), 'ab', 'control');
});

test('takePrefixed takes the first part and leaves the rest, whatever that is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), soup, (part, rest) => {
      const taken = takePrefixed(Buffer.concat([joinPrefixed([part]), Buffer.from(rest)]));
      deepEqual(taken?.part, Buffer.from(part));
      deepEqual(taken?.rest, Buffer.from(rest));
      equal(takePrefixed(joinPrefixed([part]).subarray(0, -1)), undefined);
    }),
    { numRuns },
  );
});

test('allocate gives empty memory that nobody shares, and wipe empties it again', () => {
  const [one, two] = [allocate(40), allocate(40)];
  deepEqual(one, Buffer.alloc(40));
  equal(one.buffer.byteLength, 40);
  ok(one.buffer !== two.buffer);
  ok(Buffer.from('control').buffer.byteLength > 40);
  one.fill(7);
  wipe(one.subarray(0, 20));
  deepEqual(one, Buffer.concat([Buffer.alloc(20), Buffer.alloc(20, 7)]));
});

test('equalSecretly tells equal from unequal, also of other lengths', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4 }), fc.uint8Array({ maxLength: 4 }), (left, right) => {
      equal(equalSecretly(left, right), Buffer.compare(left, right) === 0);
      ok(equalSecretly(left, Uint8Array.from(left)));
    }),
    { numRuns },
  );
});
