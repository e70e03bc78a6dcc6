/**
 * The barrier: the one place where plaintext meets storage.
 *
 * Above it every record is plaintext; below it every row is ciphertext, bound to the installation,
 * kind, id and revision it was written with. Nothing else in the gateway may import physical/.
 *
 * Promises
 *   - What is read is what the last commit wrote under that id, or the read throws `barrier.corrupt`.
 *   - A store in which one row was removed, added or put back to an earlier state does not unseal.
 *   - While sealed, every call but `initialise`, `unseal` and the states throws `barrier.sealed`.
 * Does not promise
 *   - Freshness of the whole: whoever controls the disk can put back an older disk. The audit's
 *     witnesses notice that.
 *   - Sizes. Lengths are rounded up, not hidden.
 *
 * Layout: docs/FORMATS.md#envelope. Vectors: vectors/envelope.json.
 */
import { createHmac } from 'node:crypto';
import { assert, AssertionError } from '../../base/assert.ts';
import { joinPrefixed, wipe } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { errorFields, type Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { AeadKey } from '../../crypto/aead.ts';
import type { Physical } from '../physical/physical.ts';
import {
  createUnsealer,
  type SealContext,
  type SealKind,
  type SealRequest,
  type SealWeakening,
  sealWeakenings,
  type Unsealer,
} from '../seal/seal.ts';
import { type Feed, Feeds } from './feed.ts';
import { openKeyringRow, parseKeyringRow } from './keyring-row.ts';
import { type LoadProgress, loadStore } from './load.ts';
import type { Maintenance } from './maintenance.ts';
import { makeStore } from './new-store.ts';
import { type Flight, listRecords, type ReadContext, readRecord } from './reading.ts';
import type { Projection, RecordExpectation, RecordKind, View } from './record.ts';
import { RootKeys, type SealedUnder } from './root-keys.ts';
import {
  type BarrierBatch,
  headKey,
  isIndexed,
  keyringKey,
  type Prepared,
  type Store,
} from './store.ts';

export { isPhysicalKey, rowBytesMax } from '../physical/physical.ts';
export { rowBytesOf } from './envelope.ts';
export type { Feed } from './feed.ts';
export type { LoadProgress } from './load.ts';
export type { Maintenance } from './maintenance.ts';
export type {
  Change,
  Projection,
  RecordExpectation,
  RecordKind,
  RecordWrite,
  StoredRecord,
  View,
} from './record.ts';
export type { BarrierBatch } from './store.ts';

export interface BarrierOptions {
  readonly physical: Physical;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Every projection of every room. Several may follow one kind. */
  readonly projections: readonly Projection[];
  /** What the seal may use: where the key file and the data are. */
  readonly seal: Omit<SealContext, 'random'>;
}

/** empty: no keyring in this storage yet; `initialise` makes one. */
export type BarrierState = 'empty' | 'sealed' | 'loading' | 'ready';

export interface SealStatus {
  readonly sealed: boolean;
  readonly kind: SealKind | undefined;
  readonly asks: Unsealer['asks'];
  readonly sharesGiven: number;
  readonly sharesNeeded: number;
}

/** What stops being true when the gateway is sealed. */
interface Open {
  readonly store: Store;
  readonly seal: SealedUnder;
  readonly rootKeys: RootKeys;
}

export class Barrier {
  readonly #options: BarrierOptions;
  readonly #feeds = new Feeds();
  readonly #leaving: (() => void)[] = [];
  #unsealer: Unsealer | undefined;
  #loading = false;
  #open: Open | undefined;
  /** Grows with every unsealing: whoever derived something from an earlier one derives it again. */
  #generation = 0;
  #flight: Flight = { number: 0, landed: undefined };
  /** What a failed commit may have left in storage; `reopen` finds out. */
  #doubt: { readonly prepared: Prepared; readonly error: unknown } | undefined;
  /** A commit failed since the storage was opened: what it shows may not be what it holds. */
  #mustReopen = false;

  private constructor(options: BarrierOptions) {
    this.#options = options;
  }

  /**
   * Looks at the storage: `empty` or `sealed`.
   *
   * @throws Fault `seal.corrupt`, `seal.key-file`; `barrier.tampered` if there are rows and no keyring
   */
  static async open(options: BarrierOptions): Promise<Barrier> {
    const barrier = new Barrier(options);
    await barrier.#prepareUnsealer();
    return barrier;
  }

  get state(): BarrierState {
    if (this.#open) return 'ready';
    if (this.#loading) return 'loading';
    return this.#unsealer ? 'sealed' : 'empty';
  }

  get generation(): number {
    return this.#generation;
  }

  /** @throws Fault `barrier.sealed` */
  get installation(): string {
    return this.#store().keyring.installation;
  }

  /** @throws Fault `barrier.sealed` */
  get revision(): number {
    return this.#store().revision;
  }

  /** What the last commit gave as its trailer; empty in a new store. @throws Fault `barrier.sealed` */
  get trailer(): Uint8Array {
    return this.#store().trailer;
  }

  /** A failed commit may have left something in storage: nothing can be committed until `reopen`. */
  get isInDoubt(): boolean {
    return this.#doubt !== undefined;
  }

  get sealStatus(): SealStatus {
    const progress = this.#unsealer?.progress() ?? { given: 0, needed: 0 };
    return {
      sealed: this.#open === undefined,
      kind: this.#unsealer?.kind,
      asks: this.#unsealer?.asks ?? 'nothing',
      sharesGiven: this.#open ? 0 : progress.given,
      sharesNeeded: this.#open ? 0 : progress.needed,
    };
  }

  /** @throws Fault `barrier.sealed` */
  get rootKeys(): RootKeys {
    return this.#opened().rootKeys;
  }

  /** @throws Fault `barrier.sealed` */
  sealWeakenings(): Promise<readonly SealWeakening[]> {
    return sealWeakenings(this.#opened().seal.record, this.#sealContext());
  }

  /**
   * Makes a new installation for an empty storage and leaves it unsealed. It is in storage with the
   * first commit, whole; until then there is none.
   *
   * @returns For shares: one text per keeper, to be shown once and wiped.
   * @throws Fault `barrier.initialised` if there is one already; what `createSeal` throws
   */
  async initialise(request: SealRequest): Promise<{ readonly shares: readonly Buffer[] }> {
    if (this.state !== 'empty') throw new Fault('barrier.initialised');
    this.#loading = true;
    try {
      const means = { ...this.#options, seal: this.#sealContext() };
      const { store, seal, shares } = await makeStore(request, means);
      this.#unsealer = createUnsealer(seal.record, means.seal);
      this.#enter(store, seal);
      return { shares };
    } finally {
      this.#loading = false;
    }
  }

  /**
   * Supplies a passphrase, one share, or nothing, and once it is enough loads the store.
   *
   * @throws what `Unsealer.supply` throws; Fault `barrier.tampered`, `barrier.corrupt`, `seal.corrupt`,
   *   `storage.*`: then it stays sealed.
   */
  async unseal(
    material: Uint8Array,
    onProgress?: (progress: LoadProgress) => void,
  ): Promise<SealStatus> {
    if (this.state === 'ready') return this.sealStatus;
    if (this.#loading) throw new Fault('seal.busy');
    const unsealer = this.#unsealer;
    if (unsealer === undefined) throw new Fault('barrier.empty');
    const outcome = await unsealer.supply(material);
    if (outcome.kind === 'waiting') return this.sealStatus;
    const key = AeadKey.fromBytes(outcome.rootKey);
    wipe(outcome.rootKey);
    // While the material was tried, somebody else may have been quicker.
    if (this.#open) return this.sealStatus;
    if (this.#loading) throw new Fault('seal.busy');
    this.#loading = true;
    try {
      await this.#load(key, onProgress);
    } finally {
      this.#loading = false;
    }
    return this.sealStatus;
  }

  /** Forgets every key and everything projected. A commit that is on its way lands first. */
  async seal(): Promise<void> {
    await this.#flight.landed;
    this.#leave();
    await this.#prepareUnsealer();
  }

  /** @throws Fault `barrier.sealed` from its calls, not from here. */
  view(kind: RecordKind): View {
    const context = this.#readContext();
    return {
      kind,
      get: (id) => readRecord(context, kind, id),
      list: (options) => listRecords(context, kind, options),
      put: (id, bytes) => ({ kind, id, bytes }),
      remove: (id) => ({ kind, id, bytes: undefined }),
      expect: (id, revision) => ({ kind, id, revision }),
      nameId: (...parts) =>
        createHmac('sha256', this.#store().keyring.nameKey)
          .update(joinPrefixed([kind, ...parts]))
          .digest('hex')
          .slice(0, 40),
    };
  }

  /** Changes of all kinds but `audit`, from now on. */
  feed(): Feed {
    return this.#feeds.open();
  }

  /** What is done whenever the keys are forgotten: by whoever derived anything from them. */
  onLeave(act: () => void): void {
    this.#leaving.push(act);
  }

  /** Which of these are not so now. @throws Fault `barrier.sealed` */
  failing(expectations: readonly RecordExpectation[]): readonly RecordExpectation[] {
    return this.#store().failing(expectations);
  }

  /** Whether maintenance still fits: only one change of the keyring can follow a keyring. */
  isCurrent(maintenance: Maintenance | undefined): boolean {
    const from = maintenance?.keyring?.from;
    return from === undefined || from === this.#store().keyring;
  }

  /**
   * Seals and writes the batch. It is durable and projected when this resolves. One call at a time.
   *
   * @throws Fault `request.conflict`: an expectation fails; nothing happened.
   * @throws Fault `storage.full`, `storage.failed`: nothing is visible, and `reopen` comes next.
   * @throws Fault `barrier.fenced`: another gateway has written here. This one is sealed.
   * @throws AssertionError for a batch that no caller may make: nothing happened.
   */
  async commit(batch: BarrierBatch): Promise<{ readonly revision: number }> {
    assert(this.#flight.landed === undefined, 'one commit at a time');
    const store = this.#store();
    if (this.#doubt) throw this.#doubt.error;
    const prepared = store.prepare(batch);
    const { promise: landed, resolve: land } = Promise.withResolvers<void>();
    this.#flight = { number: this.#flight.number + 1, landed };
    try {
      const outcome = await this.#options.physical.commit(prepared.physical);
      if (outcome.kind === 'committed') this.#takeOver(store, prepared);
      else this.#leave();
      if (outcome.kind !== 'committed') throw new Fault('barrier.fenced');
      return { revision: prepared.physical.revision };
    } catch (error) {
      const isUnsure = !(error instanceof AssertionError);
      if (isUnsure && this.#open?.store === store && store.revision < prepared.physical.revision) {
        this.#doubt = { prepared, error };
        this.#mustReopen = true;
      }
      throw error;
    } finally {
      this.#flight = { ...this.#flight, landed: undefined };
      land();
    }
  }

  /**
   * After a failed commit: opens the storage anew and finds out what became of the batch.
   *
   * @throws Fault `storage.*` if it still cannot be opened: try again later.
   * @throws Fault `barrier.tampered` if the storage holds a head that nobody here wrote.
   * @throws Fault `barrier.sealed` if that was done meanwhile.
   */
  async reopen(): Promise<'absent' | 'committed'> {
    const { physical } = this.#options;
    const store = this.#store();
    await this.#reopenPhysical();
    const revision = await physical.revision();
    const head = Buffer.from((await physical.get(headKey))?.bytes ?? []);
    if (this.#open?.store !== store) throw new Fault('barrier.sealed');
    const { prepared } = this.#doubt ?? {};
    const committed = revision === prepared?.physical.revision ? prepared : undefined;
    const expected = committed ?? store;
    if ((committed?.physical ?? store).revision !== revision) {
      throw new Fault('barrier.tampered', { what: 'revision' });
    }
    // The same revision may have been another batch's: no two heads are sealed alike.
    if (!head.equals(expected.head)) throw new Fault('barrier.tampered', { what: 'head' });
    this.#doubt = undefined;
    if (committed === undefined) return 'absent';
    this.#takeOver(store, committed);
    return 'committed';
  }

  /** Pushes what was overwritten out of the storage, as far as it can. */
  purge(): Promise<void> {
    return this.#options.physical.purge();
  }

  #readContext(): ReadContext {
    return {
      physical: this.#options.physical,
      store: () => this.#store(),
      flight: () => this.#flight,
    };
  }

  #sealContext(): SealContext {
    return { ...this.#options.seal, random: this.#options.random };
  }

  #opened(): Open {
    if (this.#open === undefined) throw new Fault('barrier.sealed');
    return this.#open;
  }

  #store(): Store {
    return this.#opened().store;
  }

  async #prepareUnsealer(): Promise<void> {
    const { physical } = this.#options;
    this.#unsealer?.reset();
    const row = await physical.get(keyringKey);
    const isEmpty =
      (await physical.revision()) === 0 && !(await physical.list('', { limit: 1 }))[0];
    if (!row && !isEmpty) throw new Fault('barrier.tampered', { what: 'keyring' });
    this.#unsealer = row && createUnsealer(parseKeyringRow(row.bytes).record, this.#sealContext());
  }

  async #reopenPhysical(): Promise<void> {
    await this.#options.physical.reopen();
    this.#mustReopen = false;
  }

  async #load(key: AeadKey, onProgress?: (progress: LoadProgress) => void): Promise<void> {
    const { physical, projections, clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    if (this.#mustReopen) await this.#reopenPhysical();
    const stored = await physical.get(keyringKey);
    if (stored === undefined) throw new Fault('barrier.tampered', { what: 'keyring' });
    const row = parseKeyringRow(stored.bytes);
    for (const projection of projections) projection.reset();
    try {
      const keyring = openKeyringRow(row, key);
      const store = await loadStore(keyring, { ...this.#options, onProgress });
      this.#enter(store, { record: row.record, key });
    } catch (error) {
      for (const projection of projections) projection.reset();
      log.error('barrier.unseal-failed', errorFields(error));
      throw error;
    }
    // What a rewrap that was cut short left in journals; the next one does it as well.
    await physical.purge().catch((error: unknown) => {
      log.warn('barrier.purge-failed', errorFields(error));
    });
    const ms = Math.round(clock.monotonicMs() - startedMs);
    log.info('barrier.unsealed', { revision: this.revision, rows: this.#store().index.size, ms });
  }

  #enter(store: Store, seal: SealedUnder): void {
    this.#open = { store, seal, rootKeys: new RootKeys({ ...this.#options, store, seal }) };
    for (const projection of this.#options.projections) projection.loaded?.();
    this.#generation += 1;
    this.#feeds.lose();
  }

  #leave(): void {
    this.#open?.store[Symbol.dispose]();
    this.#open = undefined;
    this.#doubt = undefined;
    for (const projection of this.#options.projections) projection.reset();
    for (const act of this.#leaving) act();
    this.#feeds.lose();
  }

  /** The batch is durable: what is in memory follows. A projection that fails seals the gateway. */
  #takeOver(store: Store, prepared: Prepared): void {
    store.apply(prepared);
    const { revision } = prepared.physical;
    const writes = prepared.batch.writes.filter((write) => isIndexed(write.kind));
    try {
      for (const { kind, id, bytes } of writes) {
        for (const projection of this.#options.projections) {
          if (projection.kind === kind) projection.apply({ id, revision, bytes });
        }
      }
    } catch (error) {
      this.#options.log.error('barrier.projection-failed', errorFields(error));
      this.#leave();
      throw error;
    }
    this.#feeds.publish(
      writes.map(({ kind, id, bytes }) => ({ kind, id, revision, removed: bytes === undefined })),
    );
  }
}
