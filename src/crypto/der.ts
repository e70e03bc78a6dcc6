/**
 * DER (X.690), as much as certificates and certificate requests need: a writer, and a reader that
 * accepts the one distinguished encoding only.
 *
 * The reader is for strangers' bytes: whatever is not strict DER of one-byte tags is `undefined`,
 * and it never looks outside what it was given.
 */
import { assert } from '../base/assert.ts';

export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content: what a signature is made over. */
  readonly whole: Buffer;
}

/** One element; its content is the parts in a row. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  assert(tag >= 0 && tag <= 0xff && length <= 0xffff, 'one-byte tags and at most 64 KiB');
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), ...parts]);
}

export function derSequence(...parts: readonly Uint8Array[]): Buffer {
  return der(derTags.sequence, ...parts);
}

/** @param dotted - Such as `2.5.29.17`. */
export function derOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    assert(Number.isSafeInteger(arc) && arc >= 0 && arc < 2 ** 31, 'arcs are small whole numbers');
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(derTags.oid, Buffer.from(bytes));
}

/** A non-negative integer from its big-endian bytes. */
export function derInteger(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.of(0) : bytes.subarray(first);
  const sign = (digits[0] ?? 0) >= 0x80 ? Buffer.of(0) : Buffer.alloc(0);
  return der(derTags.integer, sign, digits);
}

/** Whole bytes; `unusedBits` low bits of the last are not part of the string. */
export function derBitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return der(derTags.bitString, Buffer.of(unusedBits), bytes);
}

/** Milliseconds since the epoch, cut to seconds: UTCTime until 2049, GeneralizedTime after (RFC 5280). */
export function derTime(timeMs: number): Buffer {
  const text = new Date(timeMs).toISOString().replace(/[-:T]|\.\d+/g, '');
  assert(/^\d{14}Z$/.test(text) && text >= '1950', 'a year from 1950 to 9999');
  return text < '2050'
    ? der(derTags.utcTime, Buffer.from(text.slice(2), 'latin1'))
    : der(derTags.generalizedTime, Buffer.from(text, 'latin1'));
}

/** All elements of a row, or `undefined` if `bytes` is anything but whole elements of strict DER. */
export function readDer(bytes: Buffer): DerElement[] | undefined {
  const elements: DerElement[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const element = readElement(bytes, offset);
    if (element === undefined) return undefined;
    elements.push(element);
    offset += element.whole.length;
  }
  return elements;
}

function readElement(bytes: Buffer, start: number): DerElement | undefined {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined;
  let length = first;
  let contentStart = start + 2;
  if (first >= 0x80) {
    const lengthBytes = first & 0x7f;
    if (lengthBytes < 1 || lengthBytes > 2) return undefined;
    if (contentStart + lengthBytes > bytes.length) return undefined;
    length = bytes.readUIntBE(contentStart, lengthBytes);
    if (length < (lengthBytes === 1 ? 0x80 : 0x100)) return undefined;
    contentStart += lengthBytes;
  }
  const end = contentStart + length;
  if (end > bytes.length) return undefined;
  return {
    tag,
    content: bytes.subarray(contentStart, end),
    whole: bytes.subarray(start, end),
  };
}
