/**
 * Envelopes: how one row is sealed. Layout: docs/FORMATS.md#envelope. Vectors: vectors/envelope.json.
 *
 * Promises
 *   - Nothing opens anywhere but in the place it was sealed for: format, installation, purpose, key,
 *     kind, id and revision are associated data, joined without ambiguity. No caller passes any of
 *     them to the cipher, nor a nonce.
 *   - A value has a data key of its own, wrapped in the same row: removing the row destroys the key,
 *     and rewrapping never touches the value.
 * Does not promise
 *   - To hide sizes: they are rounded up as `paddedBytes` says.
 */
import { assert, defined } from '../../base/assert.ts';
import { allocate, joinPrefixed, wipe } from '../../base/bytes.ts';
import type { Random } from '../../base/random.ts';
import {
  AeadKey,
  aeadKeyBytes,
  aeadOverheadBytes,
  openBytes,
  sealBytes,
} from '../../crypto/aead.ts';
import { DrawPool } from './draw-pool.ts';
import type { Keyring, KeyPurpose } from './keyring.ts';

const formatTag = 'cofferdam/envelope/v1';
const formatVersion = 1;
/** What follows the header. */
const forms = { direct: 1, ownKey: 2 } as const;
const headerBytes = 1 + 1 + 4 + 8;
const wrappedKeyBytes = aeadKeyBytes + aeadOverheadBytes;
const lengthBytes = 4;
/** The key number in the associated data of what a data key seals: it outlives root keys. */
const noKey = 0;

/** Where a row is: what its envelope is bound to. */
export interface Place {
  readonly purpose: Exclude<KeyPurpose, 'wrap'>;
  readonly kind: string;
  readonly id: string;
  readonly revision: number;
}

/** What a row says of itself: true only once it opened. */
export interface EnvelopeHeader {
  readonly keyNumber: number;
  readonly revision: number;
}

export class Envelope {
  readonly #keyring: Keyring;
  readonly #random: DrawPool;
  /** Associated data up to the kind; there are few of them, and many rows. */
  readonly #prefixes = new Map<string, Buffer>();

  constructor(keyring: Keyring, random: Random) {
    this.#keyring = keyring;
    this.#random = new DrawPool(random);
  }

  seal(place: Place, bytes: Uint8Array): Buffer {
    const ownKey = hasOwnKey(place);
    const keyNumber = this.#keyring.active(place.purpose === 'journal' ? 'journal' : 'root');
    const header = makeHeader(ownKey ? forms.ownKey : forms.direct, keyNumber, place.revision);
    const padded = pad(bytes, ownKey);
    try {
      const body = ownKey
        ? this.#sealWithOwnKey(place, keyNumber, padded)
        : [
            sealBytes(
              this.#key(keyNumber, place.purpose),
              padded,
              this.#bound(place, keyNumber),
              this.#random,
            ),
          ];
      return Buffer.concat([header, ...body]);
    } finally {
      wipe(padded);
    }
  }

  /** The plaintext, in memory of its own that the caller may wipe; `undefined` if anything is wrong. */
  open(place: Place, row: Uint8Array): Buffer | undefined {
    const header = readHeader(row);
    const ownKey = hasOwnKey(place);
    if (header?.revision !== place.revision) return undefined;
    if (row[1] !== (ownKey ? forms.ownKey : forms.direct)) return undefined;
    const body = row.subarray(headerBytes);
    if (ownKey) return this.#openWithOwnKey(place, header.keyNumber, body);
    const key = this.#keyring.derive(header.keyNumber, place.purpose);
    const padded = key && openBytes(key, body, this.#bound(place, header.keyNumber));
    return padded && unpad(padded);
  }

  /** The same record under the active root key; `undefined` if the row does not open. */
  rewrap(place: Place, row: Uint8Array): Buffer | undefined {
    if (!hasOwnKey(place)) {
      const bytes = this.open(place, row);
      if (bytes === undefined) return undefined;
      const sealed = this.seal(place, bytes);
      wipe(bytes);
      return sealed;
    }
    const header = readHeader(row);
    if (header?.revision !== place.revision || row[1] !== forms.ownKey) return undefined;
    const dataKey = this.#unwrap(place, header.keyNumber, row.subarray(headerBytes));
    if (dataKey === undefined) return undefined;
    const keyNumber = this.#keyring.active('root');
    const wrapped = this.#wrap(place, keyNumber, dataKey);
    wipe(dataKey);
    return Buffer.concat([
      makeHeader(forms.ownKey, keyNumber, place.revision),
      wrapped,
      row.subarray(headerBytes + wrappedKeyBytes),
    ]);
  }

  #sealWithOwnKey(place: Place, keyNumber: number, padded: Buffer): Buffer[] {
    const dataKey = this.#random.bytes(aeadKeyBytes);
    try {
      const wrapped = this.#wrap(place, keyNumber, dataKey);
      const key = AeadKey.fromBytes(dataKey);
      return [wrapped, sealBytes(key, padded, this.#bound(place, noKey), this.#random)];
    } finally {
      wipe(dataKey);
    }
  }

  #openWithOwnKey(place: Place, keyNumber: number, body: Uint8Array): Buffer | undefined {
    const dataKey = this.#unwrap(place, keyNumber, body);
    if (dataKey === undefined) return undefined;
    const key = AeadKey.fromBytes(dataKey);
    wipe(dataKey);
    const padded = openBytes(key, body.subarray(wrappedKeyBytes), this.#bound(place, noKey));
    return padded && unpad(padded);
  }

  #wrap(place: Place, keyNumber: number, dataKey: Buffer): Buffer {
    const associatedData = this.#bound({ ...place, purpose: 'wrap' }, keyNumber);
    return sealBytes(this.#key(keyNumber, 'wrap'), dataKey, associatedData, this.#random);
  }

  #unwrap(place: Place, keyNumber: number, body: Uint8Array): Buffer | undefined {
    const key = this.#keyring.derive(keyNumber, 'wrap');
    if (key === undefined || body.length < wrappedKeyBytes) return undefined;
    const associatedData = this.#bound({ ...place, purpose: 'wrap' }, keyNumber);
    const dataKey = openBytes(key, body.subarray(0, wrappedKeyBytes), associatedData);
    return dataKey?.length === aeadKeyBytes ? dataKey : undefined;
  }

  #key(keyNumber: number, purpose: KeyPurpose): AeadKey {
    return defined(this.#keyring.derive(keyNumber, purpose), 'an active key derives');
  }

  /** tag, installation, purpose, key number, kind, id, revision: each with its length before it. */
  #bound(
    place: { readonly purpose: KeyPurpose } & Omit<Place, 'purpose'>,
    keyNumber: number,
  ): Buffer {
    const { purpose, kind, id, revision } = place;
    const name = `${purpose}/${keyNumber}/${kind}`;
    let prefix = this.#prefixes.get(name);
    if (prefix === undefined) {
      const number = Buffer.alloc(4);
      number.writeUInt32BE(keyNumber);
      prefix = joinPrefixed([formatTag, this.#keyring.installation, purpose, number, kind]);
      this.#prefixes.set(name, prefix);
    }
    const bound = Buffer.allocUnsafe(prefix.length + 4 + id.length + 4 + 8);
    bound.set(prefix, 0);
    let at = bound.writeUInt32BE(id.length, prefix.length);
    at += bound.write(id, at, 'latin1');
    at = bound.writeUInt32BE(8, at);
    writeRevision(bound, revision, at);
    return bound;
  }
}

/** @returns `undefined` if the bytes cannot be a row. */
export function readHeader(row: Uint8Array): EnvelopeHeader | undefined {
  if (row.length < headerBytes || row[0] !== formatVersion) return undefined;
  const header = Buffer.from(row.buffer, row.byteOffset, headerBytes);
  const revision = header.readUInt32BE(6) * 2 ** 32 + header.readUInt32BE(10);
  if (!Number.isSafeInteger(revision) || revision === 0) return undefined;
  return { keyNumber: header.readUInt32BE(2), revision };
}

/**
 * How long a plaintext is inside its envelope, its length included. Values: the next power of two,
 * at least 64. Everything else: at most an eighth more, in steps of at least 32.
 */
export function paddedBytes(length: number, isValue: boolean): number {
  const whole = lengthBytes + length;
  const power = 2 ** Math.ceil(Math.log2(Math.max(64, whole)));
  if (isValue) return power;
  const step = Math.max(32, power / 16);
  return Math.ceil(whole / step) * step;
}

/** How long a row is that holds this many bytes of plaintext. */
export function rowBytesOf(kind: string, length: number): number {
  const ownKey = hasOwnKey({ kind });
  const body = paddedBytes(length, ownKey) + aeadOverheadBytes;
  return headerBytes + (ownKey ? wrappedKeyBytes : 0) + body;
}

function pad(bytes: Uint8Array, isValue: boolean): Buffer {
  const padded = allocate(paddedBytes(bytes.length, isValue));
  padded.writeUInt32BE(bytes.length, 0);
  padded.set(bytes, lengthBytes);
  return padded;
}

function unpad(padded: Buffer): Buffer | undefined {
  const length = padded.length < lengthBytes ? Infinity : padded.readUInt32BE(0);
  if (lengthBytes + length > padded.length) return undefined;
  return padded.subarray(lengthBytes, lengthBytes + length);
}

function hasOwnKey(place: { readonly kind: string }): boolean {
  return place.kind === 'value';
}

function makeHeader(form: number, keyNumber: number, revision: number): Buffer {
  const header = Buffer.allocUnsafe(headerBytes);
  header[0] = formatVersion;
  header[1] = form;
  header.writeUInt32BE(keyNumber, 2);
  writeRevision(header, revision, 6);
  return header;
}

function writeRevision(bytes: Buffer, revision: number, at: number): void {
  assert(Number.isSafeInteger(revision) && revision > 0, 'a revision is a positive whole number');
  bytes.writeUInt32BE(Math.floor(revision / 2 ** 32), at);
  bytes.writeUInt32BE(revision % 2 ** 32, at + 4);
}
