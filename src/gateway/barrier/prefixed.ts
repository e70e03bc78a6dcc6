/** Taking apart what `joinPrefixed` joined. */

/** The parts, or `undefined` if the bytes are not whole parts and nothing else. Views, not copies. */
export function splitPrefixed(bytes: Uint8Array): Buffer[] | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const parts: Buffer[] = [];
  let offset = 0;
  while (offset < buffer.length) {
    if (offset + 4 > buffer.length) return undefined;
    const end = offset + 4 + buffer.readUInt32BE(offset);
    if (end > buffer.length) return undefined;
    parts.push(buffer.subarray(offset + 4, end));
    offset = end;
  }
  return parts;
}
