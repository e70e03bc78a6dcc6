/**
 * Goal: an envelope opens only in its own place and under its own key; no (key, nonce) pair is used
 * twice (G10); sizes are rounded as FORMATS.md says.
 * Method: change one component of the place at a time; take every nonce and, unwrapped, every data key
 * of a run and compare them. Control: a source that repeats itself. Frozen vectors hold the layout.
 */
import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { joinPrefixed } from '../../base/bytes.ts';
import { type Random, systemRandom } from '../../base/random.ts';
import { AeadKey, openBytes } from '../../crypto/aead.ts';
import { Envelope, paddedBytes, type Place, readHeader } from './envelope.ts';
import { Keyring } from './keyring.ts';

const keyring = Keyring.create('ins_1', 1, systemRandom);
const envelope = new Envelope(keyring, systemRandom);
const place: Place = { purpose: 'record', kind: 'secret', id: 'a/b', revision: 7 };

test('Envelope opens what it sealed, for every size around a step', () => {
  for (const kind of ['secret', 'value', 'audit']) {
    const at: Place = { ...place, kind, purpose: kind === 'audit' ? 'journal' : 'record' };
    for (const size of [0, 1, 27, 28, 29, 59, 60, 61, 252, 253, 4092, 4093, 65_536]) {
      const bytes = systemRandom.bytes(size);
      const row = envelope.seal(at, bytes);
      const opened = envelope.open(at, row);
      equal(opened?.compare(bytes), 0);
      ok(opened.buffer.byteLength >= size && opened.buffer !== row.buffer, 'memory of its own');
    }
  }
});

test('Envelope does not open when any component of the place differs', () => {
  const places: Place[] = [
    { ...place, purpose: 'head' },
    { ...place, kind: 'secre', id: 'ta/b' },
    { ...place, id: 'a' },
    { ...place, revision: 8 },
    { ...place, kind: 'value' },
  ];
  for (const kind of ['secret', 'value']) {
    const row = envelope.seal({ ...place, kind }, Buffer.from('x'));
    ok(envelope.open({ ...place, kind }, row), 'control');
    for (const other of places.filter(
      (candidate) => candidate.kind !== kind || kind === 'secret',
    )) {
      equal(envelope.open(other, row), undefined);
      equal(envelope.rewrap(other, row), undefined);
    }
    const elsewhere = new Envelope(Keyring.create('ins_2', 1, systemRandom), systemRandom);
    equal(elsewhere.open({ ...place, kind }, row), undefined, 'another installation');
  }
});

test('Envelope.rewrap moves a value to the new key without touching its ciphertext', () => {
  const at: Place = { ...place, kind: 'value' };
  const row = envelope.seal(at, Buffer.from('secret'));
  const rotated = keyring.rotate(2, systemRandom);
  const next = new Envelope(rotated, systemRandom).rewrap(at, row);
  ok(next);
  equal(readHeader(next)?.keyNumber, rotated.active('root'));
  deepEqual(next.subarray(14 + 72), row.subarray(14 + 72));
  notEqual(next.subarray(0, 14 + 72).compare(row.subarray(0, 14 + 72)), 0);
  equal(envelope.open(at, next), undefined, 'the old keyring does not open it');
  const without = rotated.destroy([keyring.active('root')], 3);
  equal(new Envelope(without, systemRandom).open(at, next)?.toString(), 'secret');
  equal(
    new Envelope(without, systemRandom).open(at, row),
    undefined,
    'the old row is lost for good',
  );
});

/** The data key of a value's row, by FORMATS.md and the keyring alone. */
function dataKeyOf(row: Buffer, at: Place): Buffer {
  const [number, revision] = [Buffer.alloc(4), Buffer.alloc(8)];
  number.writeUInt32BE(keyring.active('root'));
  revision.writeBigUInt64BE(BigInt(at.revision));
  const boundTo = (purpose: string, key: Buffer): Buffer =>
    joinPrefixed(['cofferdam/envelope/v1', 'ins_1', purpose, key, at.kind, at.id, revision]);
  const wrapping = keyring.derive(keyring.active('root'), 'wrap');
  ok(wrapping);
  const dataKey = openBytes(wrapping, row.subarray(14, 14 + 72), boundTo('wrap', number));
  ok(dataKey);
  const opened = openBytes(
    AeadKey.fromBytes(dataKey),
    row.subarray(14 + 72),
    boundTo('record', Buffer.alloc(4)),
  );
  ok(opened, 'it is the key of this value');
  return dataKey;
}

test('Envelope: no nonce and no data key comes twice over a run (G10)', () => {
  const own = new Envelope(keyring, systemRandom);
  const nonces = new Set<string>();
  const dataKeys = new Set<string>();
  const runs = process.env['COFFER_LONG'] === '1' ? 1_000_000 : 20_000;
  for (let run = 0; run < runs; run++) {
    const at: Place = { ...place, kind: run % 2 === 1 ? 'value' : 'node' };
    const row = own.seal(at, none);
    nonces.add(row.toString('latin1', 14, 14 + 24));
    if (at.kind !== 'value') continue;
    nonces.add(row.toString('latin1', 14 + 72, 14 + 72 + 24));
    dataKeys.add(dataKeyOf(row, at).toString('latin1'));
  }
  equal(nonces.size, runs + runs / 2, 'one nonce per record, two per value');
  equal(dataKeys.size, runs / 2);
});

test('control: a source that repeats itself is seen in nonces and data keys', () => {
  const stuck: Random = { ...systemRandom, bytes: (length) => Buffer.alloc(length, 1) };
  const broken = new Envelope(keyring, stuck);
  const at: Place = { ...place, kind: 'value' };
  const [one, two] = [broken.seal(at, none), broken.seal(at, none)];
  deepEqual(one.subarray(14, 38), two.subarray(14, 38));
  deepEqual(dataKeyOf(one, at), dataKeyOf(two, at));
});

const none = Buffer.alloc(0);

test('paddedBytes rounds up, never down, and by no more than it says', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000 }), (length) => {
      const record = paddedBytes(length, false);
      ok(record >= length + 4 && record <= Math.max(32, (length + 4) * 1.125 + 32));
      const value = paddedBytes(length, true);
      ok(value >= length + 4 && value >= 64 && Number.isInteger(Math.log2(value)));
    }),
  );
});

test('Keyring survives its bytes, and a changed one is refused or differs', () => {
  const rotated = keyring.rotate(5, systemRandom).destroy([keyring.active('root')], 6);
  const bytes = rotated.toBytes();
  const read = Keyring.fromBytes(bytes);
  ok(read);
  equal(read.toBytes().compare(bytes), 0);
  equal(Keyring.fromBytes(bytes.subarray(0, -1)), undefined);
  equal(Keyring.fromBytes(none), undefined);
  for (const one of [rotated, read]) {
    deepEqual([one.active('root'), one.active('journal'), one.deactivatedRoots], [3, 4, []]);
    equal(one.derive(1, 'record'), undefined, 'destroyed');
    ok(one.derive(2, 'journal') && one.derive(3, 'record') && one.derive(4, 'journal'));
    deepEqual([one.derive(2, 'record'), one.derive(3, 'journal')], [undefined, undefined]);
  }
});

interface Vectors {
  readonly keyring: string;
  readonly opens: readonly (Place & { readonly plain: string; readonly row: string })[];
  readonly refused: readonly (Place & { readonly why: string; readonly row: string })[];
}

test('Envelope reads the frozen vectors, and refuses those that must fail', () => {
  const path = join(import.meta.dirname, '../../../vectors/envelope.json');
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
  const frozen = Keyring.fromBytes(Buffer.from(vectors.keyring, 'hex'));
  ok(frozen);
  const reader = new Envelope(frozen, systemRandom);
  for (const { plain, row, ...at } of vectors.opens) {
    equal(reader.open(at, Buffer.from(row, 'hex'))?.toString('hex'), plain);
  }
  for (const { why, row, ...at } of vectors.refused) {
    equal(reader.open(at, Buffer.from(row, 'hex')), undefined, why);
  }
  ok(vectors.opens.length >= 4 && vectors.refused.length >= 6);
});
