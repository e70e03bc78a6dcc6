/**
 * Bundles: the entries of one flush, in one audit row that is named for the first of them. Sixteen
 * hexadecimal digits, so that rows sort by sequence.
 */
import { assert } from '../../base/assert.ts';
import { joinPrefixed, splitPrefixed } from '../../base/bytes.ts';

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
  const header = Buffer.alloc(headerBytes);
  header[0] = formatVersion;
  header.writeUInt32BE(entries.length, 1);
  return Buffer.concat([header, joinPrefixed(entries)]);
}

/** Views of the entries' bytes, or `undefined` if they are not a whole bundle. */
export function decodeBundle(bytes: Buffer): Buffer[] | undefined {
  if (bytes.length < headerBytes || bytes[0] !== formatVersion) return undefined;
  const entries = splitPrefixed(bytes.subarray(headerBytes));
  return entries?.length === bytes.readUInt32BE(1) ? entries : undefined;
}
