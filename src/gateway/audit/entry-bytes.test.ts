/**
 * Goal: one entry has one encoding, every field is in it, and what decodes is what was encoded.
 * Method: properties over arbitrary entries; frozen vectors, with bytes that must be refused.
 */
import { deepEqual, equal, notEqual, ok, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { leafHashOf } from '../../crypto/merkle-verify.ts';
import { testEntry } from '../../testing/audited-store.ts';
import type { AuditEntry } from './entry.ts';
import { decodeEntry, encodeEntry } from './entry-bytes.ts';

const text = fc
  .string({ unit: 'binary', maxLength: 40 })
  .filter((candidate) => candidate.isWellFormed());
const plain = { noNullPrototype: true } as const;
const arbitraryEntry: fc.Arbitrary<AuditEntry> = fc.record(
  {
    principal: fc.record(
      {
        kind: fc.constantFrom('user', 'machine', 'node', 'gateway', 'anonymous'),
        id: text,
        name: text,
        method: fc.constantFrom('token', 'mtls', 'none', 'self'),
        source: text,
      },
      plain,
    ),
    action: text,
    resource: text,
    outcome: text,
    rule: text,
    requestId: text,
    detail: fc.dictionary(text, text, { maxKeys: 5, ...plain }),
  },
  plain,
);
const place = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

test('decodeEntry gives back what encodeEntry was given', () => {
  fc.assert(
    fc.property(arbitraryEntry, place, place, (entry, sequence, timeMs) => {
      const decoded = decodeEntry(encodeEntry(entry, sequence, timeMs));
      ok(decoded);
      const { detail, ...rest } = decoded;
      deepEqual({ ...rest, detail: { ...detail } }, { ...entry, sequence, timeMs });
    }),
  );
});

test('encodeEntry gives different bytes for different entries, and the same for the same', () => {
  fc.assert(
    fc.property(arbitraryEntry, arbitraryEntry, (one, other) => {
      const same = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
      const [left, right] = [encodeEntry(one, 1, 1), encodeEntry(other, 1, 1)];
      (same ? equal : notEqual)(left.compare(right), 0);
    }),
  );
  const shifted = { ...testEntry('ab'), resource: 'c' };
  const moved = { ...testEntry('a'), resource: 'bc' };
  notEqual(encodeEntry(shifted, 0, 0).compare(encodeEntry(moved, 0, 0)), 0);
  const order = encodeEntry(testEntry('x', { b: '1', a: '2' }), 0, 0);
  equal(order.compare(encodeEntry(testEntry('x', { a: '2', b: '1' }), 0, 0)), 0);
});

test('encodeEntry refuses what is too long to be an entry', () => {
  throws(() => encodeEntry({ ...testEntry('x'), resource: 'r'.repeat(70_000) }, 0, 0), /short/);
  throws(() => encodeEntry(testEntry('x'), -1, 0), /whole number/);
});

interface Vectors {
  readonly entries: readonly {
    readonly sequence: number;
    readonly timeMs: number;
    readonly entry: AuditEntry;
    readonly bytes: string;
    readonly leaf: string;
  }[];
  readonly refused: readonly { readonly why: string; readonly bytes: string }[];
}

test('entries have their frozen bytes and leaves, and what is no entry is refused', () => {
  const path = join(import.meta.dirname, '../../../vectors/audit-entry.json');
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
  for (const { sequence, timeMs, entry, bytes, leaf } of vectors.entries) {
    equal(encodeEntry(entry, sequence, timeMs).toString('hex'), bytes);
    equal(leafHashOf(Buffer.from(bytes, 'hex')).toString('hex'), leaf);
    equal(decodeEntry(Buffer.from(bytes, 'hex'))?.sequence, sequence);
  }
  for (const { why, bytes } of vectors.refused) {
    equal(decodeEntry(Buffer.from(bytes, 'hex')), undefined, why);
  }
  ok(vectors.entries.length >= 3 && vectors.refused.length >= 9);
});

function sorted(entry: AuditEntry): unknown {
  const { detail, ...rest } = entry;
  return [rest, Object.entries(detail).toSorted(([a], [b]) => (a < b ? -1 : 1))];
}
