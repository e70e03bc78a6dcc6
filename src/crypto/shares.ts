/**
 * Shamir's secret sharing over GF(2^8) of one 256-bit key, and shares as text that people keep.
 *
 * Promises
 *   - Fewer than `threshold` shares say nothing about the key.
 *   - No branch and no table look-up depends on secret bytes (V23; table look-ups were CVE-2023-25000).
 *   - A mistyped share, one of another set and one given twice are told apart before any is used.
 * Does not promise to tell a forged share: combining gives a wrong key, which the seal then notices.
 *
 * The arithmetic is that of the npm package shamir-secret-sharing (and of Vault), which the tests
 * cross-check; that package looks bytes up in tables and cannot be given its randomness.
 *
 * Text: `coffer-share-1-` and twelve groups of six base32 characters (Crockford's alphabet) of
 * set id (6) ‖ count (1) ‖ threshold (1) ‖ index (1) ‖ share (32) ‖ checksum (4). Always bytes,
 * never a string, so that it can be wiped. Vectors: vectors/shares.json.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { allocate, wipe } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';

export const sharesMax = 16;
export const shareKeyBytes = 32;
const setIdBytes = 6;
const checksumBytes = 4;
const payloadBytes = setIdBytes + 3 + shareKeyBytes + checksumBytes;

export interface Share {
  /** Hexadecimal, random; the same for all shares of one key. Not secret. */
  readonly setId: string;
  /** How many shares there are, and how many are needed. */
  readonly count: number;
  readonly threshold: number;
  /** 1 … `count`: where the polynomials are evaluated. */
  readonly index: number;
  /** Secret. Whoever holds the share wipes it. */
  readonly bytes: Buffer;
}

export type ReadShare =
  | { readonly kind: 'share'; readonly share: Share }
  | { readonly kind: 'refused'; readonly reason: 'not-a-share' | 'mistyped' };

/** Two of two up to sixteen of sixteen; one of one for those who accept a single keeper. */
export function sharesAllowed(count: number, threshold: number): boolean {
  if (!Number.isSafeInteger(count) || !Number.isSafeInteger(threshold)) return false;
  if (count === 1) return threshold === 1;
  return count >= 2 && count <= sharesMax && threshold >= 2 && threshold <= count;
}

/** Splits a 256-bit key. @throws AssertionError unless `sharesAllowed`. */
export function splitKey(
  key: Uint8Array,
  options: { readonly count: number; readonly threshold: number; readonly random: Random },
): Share[] {
  const { count, threshold, random } = options;
  assert(key.length === shareKeyBytes, 'a key of 256 bits is split');
  assert(sharesAllowed(count, threshold), 'the caller checked the numbers');
  const setId = random.bytes(setIdBytes).toString('hex');
  const coefficients = random.bytes(shareKeyBytes * (threshold - 1));
  const shares: Share[] = [];
  for (let index = 1; index <= count; index++) {
    const bytes = allocate(shareKeyBytes);
    for (let at = 0; at < shareKeyBytes; at++) {
      let value = 0;
      for (let degree = threshold - 1; degree > 0; degree--) {
        value = multiply(value ^ byteAt(coefficients, at * (threshold - 1) + degree - 1), index);
      }
      bytes[at] = value ^ byteAt(key, at);
    }
    shares.push({ setId, count, threshold, index, bytes });
  }
  wipe(coefficients);
  return shares;
}

/**
 * The key, from exactly `threshold` different shares of one set. The caller wipes it. Forged shares
 * give a wrong key.
 */
export function combineShares(shares: readonly Share[]): Buffer {
  const [first] = shares;
  assert(first !== undefined && shares.length === first.threshold, 'the right number of shares');
  assert(
    shares.every((share) => sameSet(share, first) && share.bytes.length === shareKeyBytes),
    'shares of one set',
  );
  const indexes = shares.map((share) => share.index);
  assert(new Set(indexes).size === indexes.length, 'different shares');
  const key = allocate(shareKeyBytes);
  for (const share of shares) {
    const weight = weightAtZero(share.index, indexes);
    for (let at = 0; at < shareKeyBytes; at++) {
      key[at] = byteAt(key, at) ^ multiply(byteAt(share.bytes, at), weight);
    }
  }
  return key;
}

export function sameSet(left: Share, right: Share): boolean {
  return (
    left.setId === right.setId && left.count === right.count && left.threshold === right.threshold
  );
}

/** The share as ASCII text, in memory of its own. Shown once; the caller wipes it. */
export function formatShare(share: Share): Buffer {
  const payload = allocate(payloadBytes);
  payload.set(Buffer.from(share.setId, 'hex'), 0);
  payload.set([share.count, share.threshold, share.index], setIdBytes);
  payload.set(share.bytes, setIdBytes + 3);
  payload.set(checksumOf(payload), payloadBytes - checksumBytes);
  const text = allocate(prefix.length + Math.ceil((payloadBytes * 8) / 5 / groupChars) * 7 - 1);
  text.set(prefix, 0);
  let length = prefix.length;
  for (let digit = 0; digit < (payloadBytes * 8) / 5; digit++) {
    if (digit > 0 && digit % groupChars === 0) text[length++] = dash;
    text[length++] = letterOf(fiveBits(payload, digit));
  }
  assert(length === text.length, 'the text is as long as it should be');
  wipe(payload);
  return text;
}

/** Reads what a person typed: case, dashes and white space do not matter, nor o for 0, i and l for 1. */
export function readShare(text: Uint8Array): ReadShare {
  const letters = withoutSpacing(text);
  try {
    return readLetters(letters);
  } finally {
    wipe(letters);
  }
}

export function wipeShare(share: Share): void {
  wipe(share.bytes);
}

const prefix = Buffer.from('coffer-share-1-', 'latin1');
const prefixLetters = Buffer.from('coffershare1', 'latin1');
const dash = 0x2d;
const groupChars = 6;

function readLetters(letters: Buffer): ReadShare {
  const notAShare = { kind: 'refused', reason: 'not-a-share' } as const;
  const mistyped = { kind: 'refused', reason: 'mistyped' } as const;
  const given = letters.subarray(0, prefixLetters.length);
  if (!given.equals(prefixLetters)) return notAShare;
  const digits = letters.subarray(prefixLetters.length);
  if (digits.length !== (payloadBytes * 8) / 5) return mistyped;
  const payload = allocate(payloadBytes);
  let refused = 0;
  for (const [index, letter] of digits.entries()) {
    const value = digitOf(letter);
    refused |= value >> 31;
    putFiveBits(payload, index, value & 0x1f);
  }
  const checksum = payload.subarray(payloadBytes - checksumBytes);
  const bytes = allocate(shareKeyBytes);
  bytes.set(payload.subarray(setIdBytes + 3, setIdBytes + 3 + shareKeyBytes));
  const share: Share = {
    setId: payload.toString('hex', 0, setIdBytes),
    count: byteAt(payload, setIdBytes),
    threshold: byteAt(payload, setIdBytes + 1),
    index: byteAt(payload, setIdBytes + 2),
    bytes,
  };
  // That a text is refused is told; by which of its letters is not.
  const sound =
    refused === 0 &&
    timingSafeEqual(checksumOf(payload), checksum) &&
    sharesAllowed(share.count, share.threshold) &&
    share.index >= 1 &&
    share.index <= share.count;
  wipe(payload);
  if (sound) return { kind: 'share', share };
  wipeShare(share);
  return mistyped;
}

/** Lower case, without dashes and white space; cut where nothing of ours could be that long. */
function withoutSpacing(text: Uint8Array): Buffer {
  const letters = allocate(Math.min(text.length, 512));
  let length = 0;
  for (const byte of text.subarray(0, letters.length)) {
    letters[length] = byte + (0x20 & -isBetween(byte, 0x41, 0x5a));
    // What is to be skipped is overwritten by what follows it.
    length += 1 ^ (isSame(byte, dash) | isSame(byte, 0x20) | isBetween(byte, 0x09, 0x0d));
  }
  return letters.subarray(0, length);
}

function checksumOf(payload: Buffer): Buffer {
  const covered = Buffer.concat([prefix, payload.subarray(0, payloadBytes - checksumBytes)]);
  const checksum = hash('sha256', covered, 'buffer').subarray(0, checksumBytes);
  wipe(covered);
  return checksum;
}

/** Crockford's 32 characters: digits, then a … z without i, l, o, u. Computed, not looked up. */
function letterOf(value: number): number {
  const skipped = isAtLeast(value, 18) + isAtLeast(value, 20) + isAtLeast(value, 22);
  const fromDigitsToLetters = (0x61 - 0x3a) & -isAtLeast(value, 10);
  return 0x30 + value + fromDigitsToLetters + skipped + isAtLeast(value, 27);
}

/** −1 for what is no letter of ours. Always compares with all of them. */
function digitOf(letter: number): number {
  const zero = isSame(letter, 0x6f); // o
  const one = isSame(letter, 0x69) | isSame(letter, 0x6c); // i, l
  let found = zero | one;
  let digit = one;
  for (let value = 0; value < 32; value++) {
    const same = isSame(letter, letterOf(value));
    digit |= value & -same;
    found |= same;
  }
  return digit | (found - 1);
}

/** These three: 1 or 0 for bytes, without branching. */
function isSame(left: number, right: number): number {
  return ((left ^ right) - 1) >>> 31;
}

function isAtLeast(value: number, bound: number): number {
  return (bound - 1 - value) >>> 31;
}

function isBetween(value: number, low: number, high: number): number {
  return isAtLeast(value, low) & isAtLeast(high, value);
}

function fiveBits(bytes: Buffer, digit: number): number {
  const bit = digit * 5;
  const pair = (byteAt(bytes, bit >> 3) << 8) | (bytes[(bit >> 3) + 1] ?? 0);
  return (pair >> (11 - (bit & 7))) & 0x1f;
}

function putFiveBits(bytes: Buffer, digit: number, value: number): void {
  const bit = digit * 5;
  const pair = value << (11 - (bit & 7));
  bytes[bit >> 3] = byteAt(bytes, bit >> 3) | (pair >> 8);
  const next = (bit >> 3) + 1;
  if (next < bytes.length) bytes[next] = byteAt(bytes, next) | (pair & 0xff);
}

/** Lagrange's weight of the share at `index` for the value at 0. Indexes are not secret. */
function weightAtZero(index: number, indexes: readonly number[]): number {
  let weight = 1;
  for (const other of indexes) {
    if (other !== index) weight = multiply(weight, multiply(other, inverse(other ^ index)));
  }
  return weight;
}

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, always eight steps, without branching. */
function multiply(left: number, right: number): number {
  let product = 0;
  let shifted = left;
  for (let bit = 0; bit < 8; bit++) {
    product ^= shifted & -((right >> bit) & 1);
    shifted = ((shifted << 1) & 0xff) ^ (0x1b & -(shifted >> 7));
  }
  return product;
}

/** a^254, which is 1/a. */
function inverse(value: number): number {
  let result = 1;
  for (let step = 0; step < 254; step++) result = multiply(result, value);
  return result;
}

function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}
