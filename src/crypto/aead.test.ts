/**
 * Goal: our XAES-256-GCM is the published one, and nothing but the original opens.
 * Method: C2SP's vectors and accumulated hash; our frozen must-fail vectors; every single-bit change
 * of small messages; properties over random messages.
 */
import { deepEqual, equal, notDeepEqual, ok, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Random, systemRandom } from '../base/random.ts';
import { AeadKey, aeadOverheadBytes, openBytes, sealBytes } from './aead.ts';

interface Vector {
  readonly name: string;
  readonly key: string;
  readonly associatedData: string;
  readonly sealed: string;
}

const vectors = JSON.parse(
  readFileSync(new URL('../../vectors/aead.json', import.meta.url), 'utf8'),
) as {
  readonly success: readonly (Vector & { readonly plaintext: string })[];
  readonly mustFail: readonly Vector[];
};

const long = process.env['COFFER_LONG'] === '1';
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

function fixedRandom(nonce: Uint8Array): Random {
  return { ...systemRandom, bytes: () => Buffer.from(nonce) };
}

test('sealBytes and openBytes give the frozen and published vectors', () => {
  ok(vectors.success.length >= 4);
  for (const vector of vectors.success) {
    const key = AeadKey.fromBytes(hex(vector.key));
    const sealed = hex(vector.sealed);
    const plaintext = hex(vector.plaintext);
    const aad = hex(vector.associatedData);
    deepEqual(openBytes(key, sealed, aad), plaintext, vector.name);
    const again = sealBytes(key, plaintext, aad, fixedRandom(sealed.subarray(0, 24)));
    equal(again.toString('hex'), vector.sealed, vector.name);
  }
});

test('sealBytes gives the accumulated hash that C2SP publishes', () => {
  const [rounds, expected] = long
    ? [1_000_000, '2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15']
    : [10_000, 'e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939'];
  const stream = createHash('shake128', { outputLength: rounds * 314 }).digest();
  const ciphertexts = createHash('shake128', { outputLength: 32 });
  let offset = 0;
  const read = (length: number): Buffer => stream.subarray(offset, (offset += length));
  for (let round = 0; round < rounds; round++) {
    const key = AeadKey.fromBytes(read(32));
    const nonce = read(24);
    const plaintext = read(stream.readUInt8(offset++));
    const aad = read(stream.readUInt8(offset++));
    ciphertexts.update(sealBytes(key, plaintext, aad, fixedRandom(nonce)).subarray(24));
  }
  ok(offset <= stream.length, 'the stream was long enough');
  equal(ciphertexts.digest('hex'), expected);
});

test('openBytes refuses every must-fail vector', () => {
  ok(vectors.mustFail.length >= 10);
  for (const vector of vectors.mustFail) {
    const key = AeadKey.fromBytes(hex(vector.key));
    equal(openBytes(key, hex(vector.sealed), hex(vector.associatedData)), undefined, vector.name);
  }
});

test('openBytes refuses every single-bit change and every other length', () => {
  const key = AeadKey.fromBytes(systemRandom.bytes(32));
  const plaintext = Buffer.from('a value of some length');
  const aad = Buffer.from('where it is kept');
  const sealed = sealBytes(key, plaintext, aad, systemRandom);
  deepEqual(openBytes(key, sealed, aad), plaintext, 'control: unchanged, it opens');
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    equal(openBytes(key, flipped(sealed, bit), aad), undefined, `bit ${bit} of the message`);
  }
  for (let bit = 0; bit < aad.length * 8; bit++) {
    equal(openBytes(key, sealed, flipped(aad, bit)), undefined, `bit ${bit} of the data`);
  }
  for (let length = 0; length < sealed.length; length++) {
    equal(openBytes(key, sealed.subarray(0, length), aad), undefined, `${length} bytes`);
  }
  equal(openBytes(key, Buffer.concat([sealed, Buffer.alloc(1)]), aad), undefined);
});

test('openBytes returns what was sealed, for any message', () => {
  const key = AeadKey.fromBytes(systemRandom.bytes(32));
  const other = AeadKey.fromBytes(systemRandom.bytes(32));
  const bytes = fc.uint8Array({ maxLength: 500 });
  fc.assert(
    fc.property(bytes, bytes, (plaintext, aad) => {
      const sealed = sealBytes(key, plaintext, aad, systemRandom);
      equal(sealed.length, plaintext.length + aeadOverheadBytes);
      const opened = openBytes(key, sealed, aad);
      ok(opened !== undefined);
      equal(Buffer.compare(opened, plaintext), 0);
      equal(opened.buffer.byteLength, opened.length, 'in memory of its own');
      equal(openBytes(other, sealed, aad), undefined);
      notDeepEqual(sealBytes(key, plaintext, aad, systemRandom), sealed);
    }),
  );
});

test('AeadKey accepts 32 bytes only, and does not follow its argument', () => {
  for (const length of [0, 16, 31, 33]) throws(() => AeadKey.fromBytes(Buffer.alloc(length)));
  const raw = systemRandom.bytes(32);
  const copy = Buffer.from(raw);
  const key = AeadKey.fromBytes(raw);
  raw.fill(0);
  const sealed = sealBytes(key, copy, Buffer.alloc(0), systemRandom);
  deepEqual(openBytes(AeadKey.fromBytes(copy), sealed, Buffer.alloc(0)), copy);
  equal(JSON.stringify(key), '{}');
});

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = bit >> 3;
  copy[index] = copy.readUInt8(index) ^ (1 << (bit & 7));
  return copy;
}
