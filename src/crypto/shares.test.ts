/**
 * Goal: any `threshold` shares give the key, fewer give nothing, and every slip of a keeper is named.
 * Method: all subsets of small sets; another implementation splits and combines; all keys remain
 * possible with a share missing; frozen vectors; mistyping of every character.
 */
import { deepEqual, equal, notDeepEqual, ok, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { combine, split } from 'shamir-secret-sharing';
import { systemRandom as random } from '../base/random.ts';
import {
  combineShares,
  formatShare,
  readShare,
  type Share,
  sharesAllowed,
  splitKey,
  wipeShare,
} from './shares.ts';

const key = random.bytes(32);
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

test('combineShares gives the key for every subset of every small set', () => {
  for (const [count, threshold] of [
    [1, 1],
    [2, 2],
    [3, 2],
    [5, 3],
    [6, 6],
  ] as const) {
    const shares = splitKey(key, { count, threshold, random });
    equal(shares.length, count);
    for (const subset of subsetsOf(shares, threshold)) {
      deepEqual(combineShares(subset), key, `${threshold} of ${count}`);
      deepEqual(combineShares(subset.toReversed()), key);
    }
  }
  const many = splitKey(key, { count: 16, threshold: 16, random });
  deepEqual(combineShares(many), key);
});

test('Shares can be combined and made by the other implementation', async () => {
  const ours = splitKey(key, { count: 5, threshold: 3, random });
  const asTheirs = ours.slice(1, 4).map((share) => Uint8Array.of(...share.bytes, share.index));
  deepEqual(Buffer.from(await combine(asTheirs)), key);

  const theirs = await split(Uint8Array.from(key), 5, 3);
  const { setId } = ours[0]!;
  const asOurs = theirs.slice(0, 3).map((share) => ({
    ...{ setId, count: 5, threshold: 3, index: share[32]! },
    bytes: Buffer.from(share.subarray(0, 32)),
  }));
  deepEqual(combineShares(asOurs), key);
});

test('One share too few leaves every key possible', () => {
  const [first] = splitKey(key, { count: 2, threshold: 2, random });
  const seen = new Set<number>();
  for (let value = 0; value < 256; value++) {
    const guess = { ...first!, index: 2, bytes: Buffer.alloc(32, value) };
    seen.add(combineShares([first!, guess])[0]!);
  }
  equal(seen.size, 256, 'each value of the missing share gives another key');
  throws(() => combineShares([first!]), /right number/);
});

test('each byte of the key has coefficients of its own, and none of them is left', () => {
  for (const threshold of [2, 3, 5]) {
    const drawn: { readonly now: Buffer; readonly before: Buffer }[] = [];
    const watched = {
      ...random,
      bytes: (length: number) => {
        const now = random.bytes(length);
        drawn.push({ now, before: Buffer.from(now) });
        return now;
      },
    };
    // Of a key whose bytes are all alike a share tells it, if coefficients are used twice.
    const shares = splitKey(Buffer.alloc(32, 7), { count: 5, threshold, random: watched });
    for (const { bytes } of shares) ok(new Set(bytes).size > 16, 'bytes that differ');
    const coefficients = drawn.filter(({ now }) => now.length === 32 * (threshold - 1));
    equal(coefficients.length, 1);
    ok(coefficients.every(({ now }) => now.every((byte) => byte === 0)));
    ok(
      coefficients.every(({ before }) => before.some((byte) => byte !== 0)),
      'control',
    );
  }
});

test('combineShares gives a wrong key for a forged share and takes no doubles or strangers', () => {
  const shares = splitKey(key, { count: 3, threshold: 2, random });
  const forged = { ...shares[1]!, bytes: random.bytes(32) };
  notDeepEqual(combineShares([shares[0]!, forged]), key);
  throws(() => combineShares([shares[0]!, shares[0]!]), /different/);
  const others = splitKey(key, { count: 3, threshold: 2, random });
  throws(() => combineShares([shares[0]!, others[1]!]), /one set/);
  throws(() => combineShares([]));
});

test('sharesAllowed bounds the numbers', () => {
  const allowed = [];
  for (let count = -1; count <= 20; count++) {
    for (let threshold = -1; threshold <= 20; threshold++) {
      if (sharesAllowed(count, threshold)) allowed.push([count, threshold]);
    }
  }
  equal(allowed.length, 1 + (15 * 16) / 2);
  ok(sharesAllowed(1, 1) && !sharesAllowed(2, 1) && !sharesAllowed(17, 2));
  ok(!sharesAllowed(2.5, 2) && !sharesAllowed(Number.NaN, 2));
  throws(() => splitKey(key, { count: 3, threshold: 1, random }));
  throws(() => splitKey(Buffer.alloc(31), { count: 3, threshold: 2, random }));
});

test('readShare reads what formatShare wrote, however people copy it', () => {
  for (const share of splitKey(key, { count: 16, threshold: 5, random })) {
    const text = formatShare(share);
    deepEqual(readShare(text), { kind: 'share', share });
    const typed = text.toString('latin1');
    for (const variant of [
      typed.toUpperCase(),
      ` ${typed}\n`,
      typed.replaceAll('-', ' '),
      typed.replaceAll('-', ''),
      typed.replaceAll('0', 'O'),
      `${typed.slice(0, 15)}${typed.slice(15).replaceAll('1', 'l')}`,
    ]) {
      deepEqual(readShare(Buffer.from(variant)), { kind: 'share', share }, variant);
    }
  }
});

test('formatShare writes each of the 32 letters where it belongs', () => {
  const seen = new Set<string>();
  for (let run = 0; run < 40; run++) {
    for (const share of splitKey(random.bytes(32), { count: 2, threshold: 2, random })) {
      const { setId, count, threshold, index, bytes } = share;
      const payload = Buffer.concat([
        Buffer.from(setId, 'hex'),
        Buffer.of(count, threshold, index),
        bytes,
      ]);
      const checksum = createHash('sha256').update('coffer-share-1-').update(payload).digest();
      const whole = BigInt(`0x${payload.toString('hex')}${checksum.toString('hex', 0, 4)}`);
      const digits = whole.toString(32).padStart(72, '0').split('');
      const letters = digits.map((digit) => alphabet[Number.parseInt(digit, 32)]).join('');
      const groups = letters.match(/.{6}/g)?.join('-');
      equal(formatShare(share).toString('latin1'), `coffer-share-1-${groups}`);
      for (const letter of letters) seen.add(letter);
    }
  }
  equal([...seen].toSorted().join(''), alphabet);
});

test('readShare takes each letter in its spellings, and no other byte for it', () => {
  const [share] = splitKey(key, { count: 2, threshold: 2, random });
  const at = 'coffer-share-1-'.length + 7 * 5;
  const spellings = new Map(
    alphabet.split('').map((letter) => [letter, letter + letter.toUpperCase()]),
  );
  spellings.set('0', '0oO').set('1', '1iIlL');
  const taken = new Set<string>();
  for (const [letter, spelled] of spellings) {
    // A share that has this letter there: only the share's own bytes and the checksum change with it.
    let text: Buffer;
    do text = formatShare({ ...share!, bytes: random.bytes(32) });
    while (text[at] !== letter.charCodeAt(0));
    for (let byte = 0; byte < 256; byte++) {
      text[at] = byte;
      if (readShare(text).kind === 'refused') continue;
      ok(spelled.includes(String.fromCharCode(byte)), `${byte} for ${letter}`);
      taken.add(String.fromCharCode(byte));
    }
  }
  deepEqual(taken, new Set([...spellings.values()].join('')));
});

test('readShare names a mistyped character, an exchange and an omission', () => {
  const [share] = splitKey(key, { count: 5, threshold: 3, random });
  const text = formatShare(share!).toString('latin1');
  const reasonOf = (typed: string): string => {
    const read = readShare(Buffer.from(typed));
    return read.kind === 'refused' ? read.reason : read.kind;
  };
  for (let at = 'coffer-share-1-'.length; at < text.length; at++) {
    if (text[at] === '-') continue;
    for (const letter of '05akz!u') {
      if (letter === text[at]) continue;
      equal(reasonOf(text.slice(0, at) + letter + text.slice(at + 1)), 'mistyped');
    }
    equal(reasonOf(text.slice(0, at) + text.slice(at + 1)), 'mistyped');
    const [left, right] = [text[at]!, text[at + 1] ?? '-'];
    if (right !== '-' && left !== right) {
      equal(reasonOf(text.slice(0, at) + right + left + text.slice(at + 2)), 'mistyped');
    }
  }
  equal(reasonOf(`${text}0`), 'mistyped');
  for (const other of ['', 'hunter2', 'coffer-share-2-', 'coffershar', 'x'.repeat(10_000)]) {
    equal(reasonOf(other), 'not-a-share');
  }
});

test('Shares give the frozen vectors', () => {
  const vectors = JSON.parse(
    readFileSync(new URL('../../vectors/shares.json', import.meta.url), 'utf8'),
  ) as {
    readonly key: string;
    readonly setId: string;
    readonly threshold: number;
    readonly shares: readonly string[];
    readonly mustFail: readonly { name: string; text: string; reason: string }[];
  };
  const shares = vectors.shares.map((text) => {
    const read = readShare(Buffer.from(text));
    ok(read.kind === 'share');
    equal(read.share.setId, vectors.setId);
    equal(formatShare(read.share).toString('latin1'), text);
    return read.share;
  });
  for (const subset of subsetsOf(shares, vectors.threshold)) {
    equal(combineShares(subset).toString('hex'), vectors.key);
  }
  for (const { name, text, reason } of vectors.mustFail) {
    deepEqual(readShare(Buffer.from(text)), { kind: 'refused', reason }, name);
  }
});

test('wipeShare leaves nothing of the share', () => {
  const [share] = splitKey(key, { count: 2, threshold: 2, random });
  wipeShare(share!);
  deepEqual(share!.bytes, Buffer.alloc(32));
});

function subsetsOf(shares: readonly Share[], size: number): Share[][] {
  if (size === 0) return [[]];
  return shares.flatMap((share, at) =>
    subsetsOf(shares.slice(at + 1), size - 1).map((rest) => [share, ...rest]),
  );
}
