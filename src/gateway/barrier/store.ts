/**
 * The store while it is unsealed: turns batches into sealed rows, and keeps what is known of every
 * row (index, digest, revision) in step with what was committed.
 *
 * `prepare` changes nothing; `apply` takes over what `prepare` computed, once it is durable. A batch
 * that failed is dropped, and nothing of it is left.
 */
import { assert } from '../../base/assert.ts';
import { joinPrefixed, splitPrefixed } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import type { PhysicalBatch, RowWrite } from '../physical/physical.ts';
import { StateDigest, Terms } from './digest.ts';
import { Envelope } from './envelope.ts';
import type { Keyring } from './keyring.ts';
import type { Maintenance } from './maintenance.ts';
import type { RecordExpectation, RecordKind, RecordWrite } from './record.ts';
import type { RowIndex } from './row-index.ts';

export const keyringKey = 'barrier/keyring';
export const headKey = 'barrier/head';
const headVersion = 1;

/** What goes into one revision. Only `audit` makes these. */
export interface BarrierBatch {
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
  /** Sealed into the head of this revision; read back as `trailer`. */
  readonly trailer: Uint8Array;
  readonly maintenance?: Maintenance;
}

interface IndexChange {
  readonly key: string;
  readonly revision: number;
  /** 0 removes. */
  readonly keyNumber: number;
}

/** A batch that is ready to be committed, and what will be true once it is. */
export interface Prepared {
  readonly physical: PhysicalBatch;
  readonly batch: BarrierBatch;
  readonly digest: StateDigest;
  readonly index: readonly IndexChange[];
  /** The head's row, which no other batch has. */
  readonly head: Buffer;
}

export interface Head {
  readonly digest: StateDigest;
  readonly trailer: Buffer;
  /** Its row. */
  readonly head: Buffer;
}

interface StoreParts {
  readonly keyring: Keyring;
  readonly random: Random;
  readonly index: RowIndex;
  readonly digest: StateDigest;
  readonly revision: number;
  readonly trailer: Buffer;
  /** Its row; empty before the first commit. */
  readonly head: Buffer;
  /** Of a store that nothing was committed to: goes with the first commit. */
  readonly keyringRow?: Buffer;
}

export class Store implements Disposable {
  readonly index: RowIndex;
  readonly #random: Random;
  /** Of a key that lives as long as the installation. */
  readonly #terms: Terms;
  #keyring: Keyring;
  #envelope: Envelope;
  #digest: StateDigest;
  #revision: number;
  #trailer: Buffer;
  #head: Buffer;
  #keyringRow: Buffer | undefined;

  constructor(parts: StoreParts) {
    this.index = parts.index;
    this.#random = parts.random;
    this.#terms = new Terms(parts.keyring.digestKey);
    this.#keyring = parts.keyring;
    this.#envelope = new Envelope(parts.keyring, parts.random);
    this.#digest = parts.digest;
    this.#revision = parts.revision;
    this.#trailer = parts.trailer;
    this.#head = parts.head;
    this.#keyringRow = parts.keyringRow;
  }

  /** Nothing can be prepared after this. */
  [Symbol.dispose](): void {
    this.#terms[Symbol.dispose]();
  }

  get keyring(): Keyring {
    return this.#keyring;
  }

  get envelope(): Envelope {
    return this.#envelope;
  }

  get revision(): number {
    return this.#revision;
  }

  get trailer(): Buffer {
    return this.#trailer;
  }

  /** The head's row as it stands in storage. */
  get head(): Buffer {
    return this.#head;
  }

  /** Which of these are not so. */
  failing(expectations: readonly RecordExpectation[]): RecordExpectation[] {
    return expectations.filter(
      ({ kind, id, revision }) => (this.index.get(`${kind}/${id}`)?.revision ?? 0) !== revision,
    );
  }

  /** @throws Fault `request.conflict` if an expectation fails, or the keyring has changed meanwhile. */
  prepare(batch: BarrierBatch): Prepared {
    const [failed] = this.failing(batch.expectations);
    if (failed) throw new Fault('request.conflict', { kind: failed.kind });
    const revision = this.#revision + 1;
    // A batch that changes the keyring is sealed under the new one already: both come, or neither.
    const keyring = batch.maintenance?.keyring?.to ?? this.#keyring;
    const envelope =
      keyring === this.#keyring ? this.#envelope : new Envelope(keyring, this.#random);
    const digest = this.#digest.copy();
    const index: IndexChange[] = [];
    const rows: RowWrite[] = [];
    if (this.#keyringRow) rows.push({ key: keyringKey, bytes: this.#keyringRow });
    for (const write of batch.writes) {
      rows.push(sealWrite(envelope, write, revision));
      if (!isIndexed(write.kind)) continue;
      const key = `${write.kind}/${write.id}`;
      const old = this.index.get(key);
      if (old) digest.subtract(write.kind, this.#terms.of(key, old.revision));
      if (write.bytes) digest.add(write.kind, this.#terms.of(key, revision));
      index.push({ key, revision, keyNumber: write.bytes ? keyring.active('root') : 0 });
    }
    this.#addMaintenance(batch, rows, index);
    const head = sealHead(envelope, { digest, ...batch }, revision);
    rows.push({ key: headKey, bytes: head });
    return { physical: { revision, writes: rows, expectations: [] }, batch, digest, index, head };
  }

  /** To be called once the batch is durable. */
  apply(prepared: Prepared): void {
    const { physical, batch, digest, index, head } = prepared;
    assert(physical.revision === this.#revision + 1, 'batches are applied in order');
    this.#revision = physical.revision;
    this.#digest = digest;
    this.#trailer = Buffer.from(batch.trailer);
    this.#head = head;
    this.#keyringRow = undefined;
    for (const { key, revision, keyNumber } of index) {
      if (keyNumber === 0) this.index.delete(key);
      else this.index.set(key, { revision, keyNumber });
    }
    const change = batch.maintenance?.keyring;
    if (change === undefined) return;
    this.#keyring = change.to;
    this.#envelope = new Envelope(change.to, this.#random);
  }

  #addMaintenance(batch: BarrierBatch, rows: RowWrite[], index: IndexChange[]): void {
    const { maintenance } = batch;
    if (maintenance === undefined) return;
    const written = new Set(rows.map((row) => row.key));
    for (const { key, revision, keyNumber, bytes } of maintenance.rewraps) {
      if (written.has(key) || this.index.get(key)?.revision !== revision) continue;
      rows.push({ key, bytes });
      index.push({ key, revision, keyNumber });
    }
    if (maintenance.keyring === undefined) return;
    if (maintenance.keyring.from !== this.#keyring) {
      throw new Fault('request.conflict', { kind: 'keyring' });
    }
    rows.push({ key: keyringKey, bytes: maintenance.keyring.row });
  }
}

function sealWrite(envelope: Envelope, write: RecordWrite, revision: number): RowWrite {
  const { kind, id, bytes } = write;
  const key = `${kind}/${id}`;
  if (bytes === undefined) return { key, bytes };
  return { key, bytes: envelope.seal({ purpose: purposeOf(kind), kind, id, revision }, bytes) };
}

function sealHead(
  envelope: Envelope,
  head: { readonly digest: StateDigest; readonly trailer: Uint8Array },
  revision: number,
): Buffer {
  const { digest, trailer } = head;
  const bytes = Buffer.concat([Buffer.of(headVersion), joinPrefixed([trailer]), digest.toBytes()]);
  return envelope.seal(headPlace(revision), bytes);
}

/** Audit rows are covered by the audit tree, and there are many of them. */
export function isIndexed(kind: RecordKind): boolean {
  return kind !== 'audit';
}

export function purposeOf(kind: RecordKind): 'record' | 'journal' {
  return kind === 'audit' ? 'journal' : 'record';
}

/** @returns `undefined` if the row does not open as the head of this revision. */
export function openHead(envelope: Envelope, row: Uint8Array, revision: number): Head | undefined {
  const bytes = envelope.open(headPlace(revision), row);
  if (bytes?.[0] !== headVersion) return undefined;
  const [trailer, ...parts] = splitPrefixed(bytes.subarray(1)) ?? [];
  const digest = StateDigest.fromParts(parts);
  return trailer && digest && { digest, trailer, head: Buffer.from(row) };
}

function headPlace(revision: number): {
  readonly purpose: 'head';
  readonly kind: string;
  readonly id: string;
  readonly revision: number;
} {
  return { purpose: 'head', kind: 'barrier', id: 'head', revision };
}
