/**
 * Bundles: the entries of one flush, in one audit row that is named for the first of them. Sixteen
 * hexadecimal digits, so that rows sort by sequence.
 */
import { assert } from '../../base/assert.ts';

const formatVersion = 1;
const headerBytes = 1 + 4;

export function bundleId(firstSequence: number): string {
  assert(Number.isSafeInteger(firstSequence) && firstSequence >= 0, 'a sequence is a whole number');
  return firstSequence.toString(16).padStart(16, '0');
}

/** The first sequence, or `undefined` if the id is of another kind of audit row. */
export function parseBundleId(id: string): number | undefined {
  return /^[0-9a-f]{16}$/.test(id) ? Number.parseInt(id, 16) : undefined;
}

export function encodeBundle(entries: readonly Buffer[]): Buffer {
  let size = headerBytes;
  for (const entry of entries) size += 4 + entry.length;
  const bytes = Buffer.allocUnsafe(size);
  bytes[0] = formatVersion;
  let at = bytes.writeUInt32BE(entries.length, 1);
  for (const entry of entries) {
    at = bytes.writeUInt32BE(entry.length, at);
    bytes.set(entry, at);
    at += entry.length;
  }
  return bytes;
}

/** Views of the entries' bytes, or `undefined` if they are not a whole bundle. */
export function decodeBundle(bytes: Buffer): Buffer[] | undefined {
  if (bytes.length < headerBytes || bytes[0] !== formatVersion) return undefined;
  const entries: Buffer[] = [];
  let at = headerBytes;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) return undefined;
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) return undefined;
    entries.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return entries.length === bytes.readUInt32BE(1) ? entries : undefined;
}
