/**
 * Byte buffers: allocation outside the shared pool, wiping, comparison in constant time, and parts with
 * their lengths before them, for inputs to cryptography and for records that can be read in one way only.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { assert } from './assert.ts';

/** Before each part: its length, big-endian. */
const lengthBytes = 4;

/** Zeroed memory of its own. `Buffer.alloc` may share a pool with strangers; this never does. */
export function allocate(length: number): Buffer {
  return Buffer.allocUnsafeSlow(length).fill(0);
}

/** Overwrites with zeros. Best effort: JavaScript cannot promise that no copy was made (THREAT-MODEL). */
export function wipe(bytes: Uint8Array): void {
  bytes.fill(0);
}

/** Equal or not, in time that depends on the lengths only. */
export function equalSecretly(left: Uint8Array, right: Uint8Array): boolean {
  const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
  return timingSafeEqual(digest(left), digest(right));
}

/**
 * Joins parts so that no two different lists give the same bytes: each part is preceded by its
 * length. Strings are UTF-8.
 */
export function joinPrefixed(parts: readonly (string | Uint8Array)[]): Buffer {
  const buffers = parts.map((part) =>
    typeof part === 'string' ? Buffer.from(part, 'utf8') : part,
  );
  const joined = Buffer.allocUnsafe(
    buffers.reduce((sum, part) => sum + lengthBytes + part.length, 0),
  );
  let offset = 0;
  for (const part of buffers) {
    assert(part.length <= 0xffff_ffff, 'a part fits its length prefix');
    offset = joined.writeUInt32BE(part.length, offset);
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/**
 * The parts that `joinPrefixed` joined, as views; `undefined` if the bytes are not whole parts and
 * nothing else. What splits is what its parts join to.
 */
export function splitPrefixed(bytes: Uint8Array): Buffer[] | undefined {
  const parts: Buffer[] = [];
  for (let rest = bytes; rest.length > 0; ) {
    const taken = takePrefixed(rest);
    if (taken === undefined) return undefined;
    parts.push(taken.part);
    rest = taken.rest;
  }
  return parts;
}

/** The first part and what follows it, as views; `undefined` if there is no whole part first. */
export function takePrefixed(
  bytes: Uint8Array,
): { readonly part: Buffer; readonly rest: Buffer } | undefined {
  if (bytes.length < lengthBytes) return undefined;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = lengthBytes + buffer.readUInt32BE(0);
  if (end > buffer.length) return undefined;
  return { part: buffer.subarray(lengthBytes, end), rest: buffer.subarray(end) };
}
