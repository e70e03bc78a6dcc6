/**
 * Byte buffers: allocation outside the shared pool, wiping, comparison in constant time, and the
 * length-prefixed joining that makes composite inputs to cryptography unambiguous.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { assert } from './assert.ts';

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
 * length as 4 bytes, big-endian. Strings are UTF-8.
 */
export function joinPrefixed(parts: readonly (string | Uint8Array)[]): Buffer {
  const buffers = parts.map((part) =>
    typeof part === 'string' ? Buffer.from(part, 'utf8') : part,
  );
  const joined = Buffer.allocUnsafe(buffers.reduce((sum, part) => sum + 4 + part.length, 0));
  let offset = 0;
  for (const part of buffers) {
    assert(part.length <= 0xffff_ffff, 'a part fits its length prefix');
    offset = joined.writeUInt32BE(part.length, offset);
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
