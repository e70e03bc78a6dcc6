/**
 * Goal: a term is the HMAC that docs/FORMATS.md says, and sums do not depend on order.
 * Method: OpenSSL's HMAC of the same bytes; random additions taken away in another order.
 */
import { deepEqual, equal, throws } from 'node:assert/strict';
import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../base/assert.ts';
import { joinPrefixed, splitPrefixed } from '../../base/bytes.ts';
import { StateDigest, Terms } from './digest.ts';

const rowKey = fc.string({ unit: fc.constantFrom('a', 'z', '/', '-', '0'), maxLength: 200 });
const row = fc.record({ key: rowKey, revision: fc.integer({ min: 1, max: 2 ** 53 - 1 }) });

test('a term is HMAC-SHA256 of row key and revision', () => {
  const key = createSecretKey(randomBytes(32));
  const terms = new Terms(key);
  fc.assert(
    fc.property(row, ({ key: at, revision }) => {
      const number = Buffer.alloc(8);
      number.writeBigUInt64BE(BigInt(revision));
      const expected = createHmac('sha256', key).update(at, 'latin1').update(number).digest();
      deepEqual(Buffer.from(terms.of(at, revision)), expected);
    }),
  );
});

test('what is added and taken away in any order leaves what there was', () => {
  const terms = new Terms(createSecretKey(randomBytes(32)));
  fc.assert(
    fc.property(fc.array(row, { maxLength: 40 }), row, (rows, kept) => {
      const digest = new StateDigest();
      digest.add('kind', terms.of(kept.key, kept.revision));
      const before = digest.toBytes();
      for (const { key, revision } of rows) digest.add('kind', terms.of(key, revision));
      equal(digest.rows('kind'), rows.length + 1);
      const read = StateDigest.fromParts(splitPrefixed(digest.toBytes()) ?? []);
      deepEqual(read?.differences(digest), []);
      for (const { key, revision } of rows.toReversed()) {
        digest.subtract('kind', terms.of(key, revision));
      }
      deepEqual(digest.toBytes(), before);
      digest.subtract('kind', terms.of(kept.key, kept.revision + 1));
      const nothing = joinPrefixed(['kind', Buffer.alloc(40)]);
      equal(digest.toBytes().equals(nothing), false);
    }),
  );
});

test('terms forget their key when they are disposed of, and make nothing after that', () => {
  const terms = new Terms(createSecretKey(randomBytes(32)));
  terms.of('secret/one', 1);
  terms[Symbol.dispose]();
  throws(() => terms.of('secret/one', 1), AssertionError);
});
