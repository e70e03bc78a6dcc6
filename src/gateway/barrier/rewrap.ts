/**
 * Rewrapping: walking every row that is still under an old root key, in bounded steps. Nothing is
 * remembered between steps but a place in the walk, so that it resumes after a crash by starting over
 * and skipping what is done.
 */
import { Fault } from '../../base/fault.ts';
import type { Clock } from '../../base/clock.ts';
import type { Physical } from '../physical/physical.ts';
import { readHeader } from './envelope.ts';
import type { Rewrap } from './maintenance.ts';
import { recordKinds } from './record.ts';
import { isIndexed, purposeOf, type Store } from './store.ts';

const rowsPerStep = 256;
/** Rows looked at per read, and the bytes after which a step is full. */
const rowsPerPage = 128;
const stepBytesMax = 2 * 1024 * 1024;

const kinds = recordKinds.filter(isIndexed);

/** Rows that are not under the active root key. */
export function rowsToRewrap(store: Store): number {
  return store.keyring.deactivatedRoots.reduce(
    (sum, number) => sum + store.index.rowsUnder(number),
    0,
  );
}

export class RewrapWalk {
  readonly #physical: Physical;
  readonly #clock: Clock;
  #kind = 0;
  #after: string | undefined;

  constructor(physical: Physical, clock: Clock) {
    this.#physical = physical;
    this.#clock = clock;
  }

  /**
   * The next rows, sealed anew; empty once the walk has seen every row there was.
   *
   * @throws Fault `barrier.corrupt`
   */
  async step(store: Store): Promise<readonly Rewrap[]> {
    const rewraps: Rewrap[] = [];
    let bytes = 0;
    while (this.#kind < kinds.length && rewraps.length < rowsPerStep && bytes < stepBytesMax) {
      const kind = kinds[this.#kind] ?? 'installation';
      const limit = Math.min(rowsPerPage, rowsPerStep - rewraps.length);
      const rows = await this.#physical.list(
        `${kind}/`,
        this.#after === undefined ? { limit } : { limit, after: this.#after },
      );
      const activeKey = store.keyring.active('root');
      for (const row of rows) {
        const header = readHeader(row.bytes);
        const id = row.key.slice(kind.length + 1);
        const known = store.index.get(row.key);
        if (known === undefined || known.keyNumber === activeKey) continue;
        const { revision } = known;
        const place = { purpose: purposeOf(kind), kind, id, revision };
        const sealed = header?.revision === revision && store.envelope.rewrap(place, row.bytes);
        // A row that a commit replaced meanwhile is no longer under the old key.
        if (sealed) rewraps.push({ key: row.key, revision, keyNumber: activeKey, bytes: sealed });
        else if (store.index.get(row.key)?.revision === revision) {
          throw new Fault('barrier.corrupt', { kind, id });
        }
        bytes += row.bytes.length;
      }
      this.#after = rows.at(-1)?.key;
      if (rows.length < limit) {
        this.#kind += 1;
        this.#after = undefined;
      }
      await this.#clock.nextTurn();
    }
    return rewraps;
  }
}
