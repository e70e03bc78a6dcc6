/**
 * Seals: what protects the root key while the gateway is down, and how it comes back.
 *
 * A seal wraps the root key once (`createSeal`), giving a record for storage and, for shares, texts
 * that are shown once. Later an `Unsealer` over that record takes what people supply, step by step,
 * until it has the root key. To change the seal, create another over the same root key.
 *
 * Promises
 *   - A record holds nothing from which the root key could be had without the material.
 *   - Every field of a record is authenticated; a changed record never gives a root key.
 *   - Faults name what was wrong with the material and never repeat any of it.
 * Does not promise
 *   - Anything against whoever has record and key file both. `sealWeakenings` says so.
 *   - Freshness: an older record opens with the older material, to the same root key.
 *
 * External seals (key services, hardware) are further rows of `seals`: they ask for nothing, and
 * everything here is asynchronous on their account. Record: docs/FORMATS.md#seal-record.
 */
import type { Random } from '../../base/random.ts';
import { type KeyFileRequest, keyFileSeal } from './key-file-seal.ts';
import { type PassphraseRequest, passphraseSeal } from './passphrase-seal.ts';
import type { SealKind, SealRecord } from './seal-record.ts';
import { type SharesRequest, sharesSeal } from './shares-seal.ts';

export type { KeyFileRequest } from './key-file-seal.ts';
export type { PassphraseRequest } from './passphrase-seal.ts';
export {
  parseSealRecord,
  rootKeyBytes,
  type SealKind,
  type SealRecord,
} from './seal-record.ts';
export type { SharesRequest } from './shares-seal.ts';

/** What a seal may use of the gateway it is in. */
export interface SealContext {
  readonly random: Random;
  /** From the configuration; the key file seal needs it. */
  readonly keyFile?: string;
  /** Where the database is, to tell whether the key lies beside it. */
  readonly dataPath?: string;
}

/** Something that makes the protection weaker than it could be. Listed in `status`. */
export type SealWeakening =
  /** Whoever takes the directory of the database has every secret. */
  | 'key-file-beside-data'
  /** Whoever takes the disk has every secret. */
  | 'key-file-same-device'
  /** Whoever holds it can unseal unseen. */
  | 'single-share';

export interface CreatedSeal {
  readonly record: SealRecord;
  /** One text per keeper, to be shown once and then wiped. Empty unless the kind is `shares`. */
  readonly shares: readonly Buffer[];
}

export type UnsealOutcome =
  /** 32 bytes in memory of its own. The caller wipes it. */
  | { readonly kind: 'unsealed'; readonly rootKey: Buffer }
  | { readonly kind: 'waiting'; readonly given: number; readonly needed: number };

/** What a seal wants at unsealing. `nothing`: it helps itself, and can be tried at start. */
export type SealAsks = 'nothing' | 'passphrase' | 'shares';

/** One attempt to unseal, over as many steps as it needs. */
export interface Unsealer {
  readonly kind: SealKind;
  readonly asks: SealAsks;
  /** How many pieces of material were accepted so far, and how many it takes. */
  progress(): { readonly given: number; readonly needed: number };
  /**
   * Takes one piece of material: a passphrase, a share's text, or nothing. Does not keep or wipe it.
   *
   * @throws Fault `seal.wrong-material` if it does not open the record; shares given so far are dropped.
   * @throws Fault `seal.share-unreadable`, `seal.share-foreign`, `seal.share-repeated`: this piece was
   *   not accepted, what was given before stays.
   * @throws Fault `seal.key-file` if the key file is not as it must be.
   * @throws Fault `seal.corrupt` if the material is right and the record is not.
   * @throws Fault `seal.busy` if a passphrase is being tried already.
   */
  supply(material: Uint8Array): Promise<UnsealOutcome>;
  /** Wipes and forgets what was given. */
  reset(): void;
}

/** A kind of seal: one file, and one row of `seals`. `seal.suite.ts` holds each to its promises. */
export interface Seal<Request> {
  readonly kind: SealKind;
  readonly asks: SealAsks;
  create(rootKey: Uint8Array, request: Request, context: SealContext): Promise<CreatedSeal>;
  /** @throws Fault `seal.corrupt` if the record's parameters are out of their bounds. */
  unsealer(record: SealRecord, context: SealContext): Unsealer;
  weakenings(context: SealContext, record: SealRecord): Promise<readonly SealWeakening[]>;
}

export type SealRequest = KeyFileRequest | PassphraseRequest | SharesRequest;

/** The kinds there are. */
const seals = {
  keyfile: keyFileSeal,
  passphrase: passphraseSeal,
  shares: sharesSeal,
} as const satisfies { readonly [Kind in SealKind]: Seal<Extract<SealRequest, { kind: Kind }>> };

/**
 * Puts the root key under a new seal.
 *
 * @param rootKey - 32 bytes; stays the caller's, to be wiped.
 * @throws Fault `request.invalid` if the passphrase is too short or the numbers of shares are odd.
 * @throws Fault `seal.key-file` if the key file exists already or cannot be written.
 */
export function createSeal(
  request: SealRequest,
  rootKey: Uint8Array,
  context: SealContext,
): Promise<CreatedSeal> {
  switch (request.kind) {
    case 'keyfile':
      return seals.keyfile.create(rootKey, request, context);
    case 'passphrase':
      return seals.passphrase.create(rootKey, request, context);
    case 'shares':
      return seals.shares.create(rootKey, request, context);
  }
}

/** Begins to unseal what `parseSealRecord` read. @throws Fault `seal.corrupt`, `seal.key-file` */
export function createUnsealer(record: SealRecord, context: SealContext): Unsealer {
  return seals[record.kind].unsealer(record, context);
}

/** What weakens the seal of this record as this gateway is set up. */
export function sealWeakenings(
  record: SealRecord,
  context: SealContext,
): Promise<readonly SealWeakening[]> {
  return seals[record.kind].weakenings(context, record);
}
