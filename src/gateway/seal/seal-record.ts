/**
 * The record of a seal: the root key under a wrapping key, as JSON for storage, every field of it
 * authenticated. The kinds of seal differ only in where the wrapping key comes from.
 */
import { createSecretKey, timingSafeEqual } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import { joinPrefixed, wipe } from '../../base/bytes.ts';
import { Fault, isFault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import * as schema from '../../base/schema.ts';
import { aeadOverheadBytes, openBytes, sealBytes } from '../../crypto/aead.ts';
import { deriveAeadKey, deriveBytes } from '../../crypto/kdf.ts';

export const sealKinds = ['keyfile', 'passphrase', 'shares'] as const;
export type SealKind = (typeof sealKinds)[number];

export const rootKeyBytes = 32;
const commitmentBytes = 32;

/** What a kind needs to know again at unsealing. Nothing secret. */
export type SealParameters = Readonly<Record<string, string | number>>;

export interface SealRecord {
  readonly format: 1;
  readonly kind: SealKind;
  readonly parameters: SealParameters;
  /**
   * Derived from the wrapping key: tells wrong material from a changed record, and commits to one
   * key, which the cipher alone does not. Hexadecimal.
   */
  readonly commitment: string;
  /** Hexadecimal. */
  readonly wrappedRootKey: string;
}

const hexOf = (bytes: number): schema.Schema<string> =>
  schema.string({ min: 2 * bytes, max: 2 * bytes, pattern: /^[0-9a-f]*$/ });

const parameterName = schema.string({ min: 1, max: 32, pattern: /^[a-z][A-Za-z]*$/ });
const parameterValue: schema.Schema<string | number> = {
  json: { type: ['string', 'integer'] },
  read(value, pointer, errors) {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    if (typeof value === 'string' && value.length <= 256) return value;
    errors.push({ pointer, detail: 'must be a whole number or a short string' });
    return '';
  },
};

const sealRecordSchema = schema.object({
  format: schema.integer({ min: 1, max: 1 }),
  kind: schema.oneOf(sealKinds),
  parameters: schema.record(parameterName, parameterValue, { max: 16 }),
  commitment: hexOf(commitmentBytes),
  wrappedRootKey: hexOf(rootKeyBytes + aeadOverheadBytes),
});

/** A record out of storage. @throws Fault `seal.corrupt` */
export function parseSealRecord(value: unknown): SealRecord {
  try {
    const parsed = schema.parse(sealRecordSchema, value, 'seal record');
    return { ...parsed, format: 1 };
  } catch (error) {
    if (!isFault(error)) throw error;
    throw new Fault('seal.corrupt', { problem: 'malformed' }, { cause: error });
  }
}

/** Wraps the root key. Neither key is kept or wiped. */
export function wrapRootKey(
  rootKey: Uint8Array,
  wrappingKey: Uint8Array,
  options: {
    readonly kind: SealKind;
    readonly parameters: SealParameters;
    readonly random: Random;
  },
): SealRecord {
  assert(rootKey.length === rootKeyBytes, 'a root key has 256 bits');
  const { kind, parameters, random } = options;
  const { commitment, key } = keysOf(wrappingKey);
  const header = { format: 1, kind, parameters, commitment: commitment.toString('hex') } as const;
  const wrapped = sealBytes(key, rootKey, associatedData(header), random);
  return { ...header, wrappedRootKey: wrapped.toString('hex') };
}

/**
 * The root key, in memory of its own that the caller wipes.
 *
 * @throws Fault `seal.wrong-material` if the wrapping key is not the record's.
 * @throws Fault `seal.corrupt` if it is, but the record is not what was written.
 */
export function unwrapRootKey(record: SealRecord, wrappingKey: Uint8Array): Buffer {
  const { commitment, key } = keysOf(wrappingKey);
  if (!timingSafeEqual(commitment, Buffer.from(record.commitment, 'hex'))) {
    throw new Fault('seal.wrong-material', { kind: record.kind });
  }
  const rootKey = openBytes(key, Buffer.from(record.wrappedRootKey, 'hex'), associatedData(record));
  if (rootKey === undefined) throw new Fault('seal.corrupt', { problem: 'changed' });
  assert(rootKey.length === rootKeyBytes, 'a root key has 256 bits');
  return rootKey;
}

function keysOf(wrappingKey: Uint8Array): {
  readonly commitment: Buffer;
  readonly key: ReturnType<typeof deriveAeadKey>;
} {
  assert(wrappingKey.length === 32, 'a wrapping key has 256 bits');
  const root = createSecretKey(wrappingKey);
  return {
    commitment: deriveBytes(root, 'cofferdam/seal-commitment/v1', [], commitmentBytes),
    key: deriveAeadKey(root, 'cofferdam/seal-wrapping/v1', []),
  };
}

function associatedData(header: Omit<SealRecord, 'wrappedRootKey'>): Buffer {
  const parameters = Object.entries(header.parameters)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .flatMap(([name, value]) => [name, typeof value, String(value)]);
  return joinPrefixed([
    'cofferdam/seal/v1',
    String(header.format),
    header.kind,
    header.commitment,
    ...parameters,
  ]);
}

/** A kind's own parameter out of a record. @throws Fault `seal.corrupt` */
export function hexParameter(record: SealRecord, name: string): Buffer {
  const value = record.parameters[name];
  if (typeof value !== 'string' || !/^(?:[0-9a-f]{2})+$/.test(value)) {
    throw new Fault('seal.corrupt', { problem: 'malformed', parameter: name });
  }
  return Buffer.from(value, 'hex');
}

/** A kind's own parameter out of a record. @throws Fault `seal.corrupt` */
export function numberParameter(record: SealRecord, name: string): number {
  const value = record.parameters[name];
  if (typeof value !== 'number') {
    throw new Fault('seal.corrupt', { problem: 'malformed', parameter: name });
  }
  return value;
}

/** A fresh wrapping key for `use`, wiped when that has settled. */
export function withWrappingKey<T>(wrappingKey: Buffer, use: (wrappingKey: Buffer) => T): T {
  try {
    return use(wrappingKey);
  } finally {
    wipe(wrappingKey);
  }
}
