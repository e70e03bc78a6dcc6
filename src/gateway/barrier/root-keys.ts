/**
 * The root keys while the store is open: a new one, every row brought under it step by step, and the end
 * of the old ones. Everything here is a proposal; a commit carries it out, and only one change of a
 * keyring can follow it.
 */
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import type { AeadKey } from '../../crypto/aead.ts';
import type { Physical } from '../physical/physical.ts';
import type { SealRecord } from '../seal/seal.ts';
import { makeKeyringRow } from './keyring-row.ts';
import type { Maintenance, Rewrap } from './maintenance.ts';
import { RewrapWalk, rowsToRewrap } from './rewrap.ts';
import type { Store } from './store.ts';

/** Under what the keyring is sealed. */
export interface SealedUnder {
  readonly record: SealRecord;
  readonly key: AeadKey;
}

interface RootKeysOptions {
  readonly store: Store;
  readonly seal: SealedUnder;
  readonly physical: Physical;
  readonly clock: Clock;
  readonly random: Random;
}

export class RootKeys {
  readonly #options: RootKeysOptions;
  #walk: RewrapWalk | undefined;

  constructor(options: RootKeysOptions) {
    this.#options = options;
  }

  /** The one that new rows are under, and how many rows are not under it yet. */
  status(): { readonly keyNumber: number; readonly remaining: number } {
    const { store } = this.#options;
    return { keyNumber: store.keyring.active('root'), remaining: rowsToRewrap(store) };
  }

  /** A new one: in force once the maintenance is committed. */
  rotate(): Maintenance {
    const { store, seal, clock, random } = this.#options;
    const from = store.keyring;
    const to = from.rotate(clock.wallMs(), random);
    this.#walk = undefined;
    const old = from.active('root');
    const rows = rowsToRewrap(store) + store.index.rowsUnder(old);
    const detail = { from: String(old), to: String(to.active('root')), rows: String(rows) };
    const row = makeKeyringRow(to, { ...seal, random });
    return { action: 'system.rotate-root-key', detail, rewraps: [], keyring: { from, to, row } };
  }

  /**
   * The next step towards having everything under the active one: some rows, then the end of the old
   * ones; `undefined` when there is nothing left to do. Resumable at any time.
   *
   * @throws Fault `barrier.corrupt`
   */
  async rewrapStep(): Promise<Maintenance | undefined> {
    const { store, seal, clock, random } = this.#options;
    const old = store.keyring.deactivatedRoots;
    if (old.length === 0) return undefined;
    const { keyNumber, remaining } = this.status();
    const key = String(keyNumber);
    if (remaining > 0) {
      const rewraps = await this.#nextRewraps();
      return { action: 'system.rewrap', detail: { key, rows: String(rewraps.length) }, rewraps };
    }
    const from = store.keyring;
    const to = from.destroy(old, clock.wallMs());
    const row = makeKeyringRow(to, { ...seal, random });
    const detail = { key, destroyed: old.join(' ') };
    return { action: 'system.destroy-root-key', detail, rewraps: [], keyring: { from, to, row } };
  }

  /** @throws Fault `barrier.corrupt` if a whole walk does not find the rows that there must be. */
  async #nextRewraps(): Promise<readonly Rewrap[]> {
    const { store, physical, clock } = this.#options;
    for (const walk of [this.#walk, new RewrapWalk(physical, clock)]) {
      const rewraps = (await walk?.step(store)) ?? [];
      this.#walk = walk;
      // Changed by commits meanwhile, they may all be done.
      if (rewraps.length > 0 || rowsToRewrap(store) === 0) return rewraps;
    }
    this.#walk = undefined;
    throw new Fault('barrier.corrupt', { kind: 'rewrap', id: 'missing' });
  }
}
