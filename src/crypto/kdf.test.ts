/**
 * Goal: derived keys are separate by label and context, and passphrase costs are bounded.
 * Method: HKDF written out with HMAC; an argon2id result from another implementation's binding; a
 * property over pairs of contexts; a table of hostile costs.
 */
import { deepEqual, equal, notDeepEqual, throws } from 'node:assert/strict';
import { createHmac, createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { joinPrefixed } from '../base/bytes.ts';
import {
  deriveBytes,
  derivePassphraseKey,
  type PassphraseCost,
  passphraseCostAllowed,
  passphraseCostDefault,
} from './kdf.ts';

const root = createSecretKey(Buffer.alloc(32, 7));
const salt = Buffer.alloc(16, 9);

test('deriveBytes is HKDF-SHA256 with label and context as info', () => {
  const info = joinPrefixed(['cofferdam/test/v1', 'id', Buffer.from([1, 2])]);
  const extracted = createHmac('sha256', Buffer.alloc(32)).update(root.export()).digest();
  const expected = createHmac('sha256', extracted)
    .update(info)
    .update(Buffer.from([1]))
    .digest();
  deepEqual(deriveBytes(root, 'cofferdam/test/v1', ['id', Buffer.from([1, 2])], 32), expected);
});

test('deriveBytes gives different keys for different labels, contexts and lengths', () => {
  const lists = fc.array(fc.string({ maxLength: 6 }), { maxLength: 3 });
  fc.assert(
    fc.property(lists, lists, (left, right) => {
      const same = JSON.stringify(left) === JSON.stringify(right);
      const keys = [left, right].map((context) =>
        deriveBytes(root, 'cofferdam/test/v1', context, 32).toString('hex'),
      );
      equal(keys[0] === keys[1], same);
    }),
  );
  const key = deriveBytes(root, 'cofferdam/test/v1', [], 32);
  notDeepEqual(deriveBytes(root, 'cofferdam/test/v2', [], 32), key);
  equal(key.buffer.byteLength, 32, 'in memory of its own');
  throws(() => deriveBytes(createSecretKey(Buffer.alloc(16)), 'cofferdam/test/v1', [], 32));
});

test('derivePassphraseKey is argon2id and depends on every parameter', async () => {
  const cost: PassphraseCost = { memoryKib: 19 * 1024, passes: 2, lanes: 1 };
  const passphrase = Buffer.from('correct horse');
  const key = await derivePassphraseKey(passphrase, salt, cost, 32);
  // Computed with pyca/cryptography 48: another binding, the same parameters.
  equal(key.toString('hex'), 'c5ddcc8506428944319bd9efd13cab76e4f46bd5d76e09a4aa7aa710a8002aaf');
  notDeepEqual(await derivePassphraseKey(passphrase, salt, { ...cost, passes: 3 }, 32), key);
  notDeepEqual(await derivePassphraseKey(passphrase, Buffer.alloc(16), cost, 32), key);
  notDeepEqual(await derivePassphraseKey(Buffer.from('correct hors'), salt, cost, 32), key);
});

test('passphraseCostAllowed refuses costs that are too cheap, too dear, or no numbers', () => {
  equal(passphraseCostAllowed(passphraseCostDefault, salt), true, 'control');
  const hostile: Partial<PassphraseCost>[] = [
    { memoryKib: 8 },
    { memoryKib: 2 ** 31 },
    { memoryKib: Number.NaN },
    { memoryKib: 65536.5 },
    { passes: 0 },
    { passes: 1e9 },
    { passes: '3' as unknown as number },
    { lanes: 0 },
    { lanes: 1000 },
  ];
  for (const change of hostile) {
    equal(passphraseCostAllowed({ ...passphraseCostDefault, ...change }, salt), false);
  }
  equal(passphraseCostAllowed(passphraseCostDefault, Buffer.alloc(8)), false);
});
