/**
 * The one row that is readable while sealed: which installation this is, the seal's record, and the
 * keyring under the key that the seal gives back. Layout: docs/FORMATS.md#keyring.
 */
import { assert } from '../../base/assert.ts';
import { joinPrefixed, splitPrefixed, wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import { type AeadKey, openBytes, sealBytes } from '../../crypto/aead.ts';
import { parseSealRecord, type SealRecord } from '../seal/seal.ts';
import { Keyring } from './keyring.ts';

const formatVersion = 1;

export interface KeyringRow {
  readonly installation: string;
  readonly record: SealRecord;
  /** As it was read: it is associated data. */
  readonly recordText: string;
  readonly sealedKeyring: Buffer;
}

/** @throws Fault `seal.corrupt` if the row cannot be one. */
export function parseKeyringRow(bytes: Uint8Array): KeyringRow {
  const parts = bytes[0] === formatVersion ? splitPrefixed(bytes.subarray(1)) : undefined;
  const [installation, recordText, sealedKeyring] = parts ?? [];
  if (installation === undefined || recordText === undefined || sealedKeyring === undefined) {
    throw new Fault('seal.corrupt', { problem: 'malformed' });
  }
  const text = recordText.toString('utf8');
  return {
    installation: installation.toString('latin1'),
    record: parseSealRecord(parseJson(text)),
    recordText: text,
    sealedKeyring,
  };
}

export function makeKeyringRow(
  keyring: Keyring,
  seal: { readonly record: SealRecord; readonly key: AeadKey; readonly random: Random },
): Buffer {
  const recordText = JSON.stringify(seal.record);
  const { installation } = keyring;
  const plain = keyring.toBytes();
  const sealed = sealBytes(seal.key, plain, bound(installation, recordText), seal.random);
  wipe(plain);
  const joined = joinPrefixed([installation, recordText, sealed]);
  return Buffer.concat([Buffer.of(formatVersion), joined]);
}

/** @throws Fault `seal.corrupt` if the key is right for the record but not for the keyring. */
export function openKeyringRow(row: KeyringRow, key: AeadKey): Keyring {
  const plain = openBytes(key, row.sealedKeyring, bound(row.installation, row.recordText));
  if (plain === undefined) throw new Fault('seal.corrupt', { problem: 'keyring' });
  try {
    const keyring = Keyring.fromBytes(plain);
    if (keyring === undefined) throw new Fault('seal.corrupt', { problem: 'keyring' });
    assert(keyring.installation === row.installation, 'a keyring is of the installation it names');
    return keyring;
  } finally {
    wipe(plain);
  }
}

function bound(installation: string, recordText: string): Buffer {
  return joinPrefixed(['cofferdam/keyring/v1', installation, recordText]);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault('seal.corrupt', { problem: 'malformed' });
  }
}
