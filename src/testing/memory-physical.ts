/**
 * Physical storage in memory, for tests: the whole contract but durability.
 *
 * Promises
 *   - What it hands out and what it was handed are copies: nobody changes a row but `commit`.
 * Does not promise
 *   - To survive the process. `backup` writes a list for people, not a store that can be opened.
 */
import { writeFileSync } from 'node:fs';
import { Fault } from '../base/fault.ts';
import { assertBatch, keyRange } from '../gateway/physical/key-range.ts';
import type {
  CommitOutcome,
  ListOptions,
  Physical,
  PhysicalBatch,
  PhysicalKey,
  Row,
  ScanOptions,
} from '../gateway/physical/physical.ts';

/** Rows in one page of a scan. */
const scanRows = 1000;

export class MemoryPhysical implements Physical {
  #revision = 0;
  readonly #rows = new Map<PhysicalKey, Row>();
  /** Every key of `#rows`, sorted, so that a listing is a binary search and a slice. */
  readonly #keys: PhysicalKey[] = [];

  async revision(): Promise<number> {
    return this.#revision;
  }

  async get(key: PhysicalKey): Promise<Row | undefined> {
    const row = this.#rows.get(key);
    return row === undefined ? undefined : copy(row);
  }

  async list(prefix: string, options: ListOptions): Promise<readonly Row[]> {
    const { from, to } = keyRange(prefix, options);
    const start = firstAtLeast(this.#keys, from);
    const end = Math.max(start, firstAtLeast(this.#keys, to));
    const keys =
      options.reverse === true
        ? this.#keys.slice(Math.max(start, end - options.limit), end).reverse()
        : this.#keys.slice(start, Math.min(end, start + options.limit));
    return keys.flatMap((key) => {
      const row = this.#rows.get(key);
      return row === undefined ? [] : [copy(row)];
    });
  }

  async *scan({ without }: ScanOptions): AsyncGenerator<readonly Row[]> {
    const rows = [...this.#rows.values()].filter(({ key }) => !key.startsWith(without));
    for (let at = 0; at < rows.length; at += scanRows)
      yield rows.slice(at, at + scanRows).map(copy);
  }

  async commit(batch: PhysicalBatch): Promise<CommitOutcome> {
    assertBatch(batch);
    if (batch.revision !== this.#revision + 1) return { kind: 'behind', revision: this.#revision };
    const keys = batch.expectations
      .filter(({ key, revision }) => (this.#rows.get(key)?.revision ?? 0) !== revision)
      .map(({ key }) => key);
    if (keys.length > 0) return { kind: 'conflict', keys };
    for (const { key, bytes } of batch.writes) {
      if (bytes === undefined) this.#remove(key);
      else this.#put({ key, revision: batch.revision, bytes });
    }
    this.#revision = batch.revision;
    return { kind: 'committed' };
  }

  /** Nothing can fail here, so there is nothing to go on from. */
  async reopen(): Promise<void> {}

  async purge(): Promise<void> {}

  async checkIntegrity(): Promise<void> {}

  async backup(path: string): Promise<{ readonly revision: number; readonly bytes: number }> {
    const rows = this.#keys.map((key) => {
      const row = this.#rows.get(key);
      return [key, row?.revision, Buffer.from(row?.bytes ?? []).toString('base64')];
    });
    const text = JSON.stringify({ revision: this.#revision, rows });
    try {
      writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    } catch (cause) {
      const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
      throw new Fault(exists ? 'backup.exists' : 'backup.failed', { path }, { cause });
    }
    return { revision: this.#revision, bytes: Buffer.byteLength(text) };
  }

  async close(): Promise<void> {}

  #put(row: Row): void {
    if (!this.#rows.has(row.key)) this.#keys.splice(firstAtLeast(this.#keys, row.key), 0, row.key);
    this.#rows.set(row.key, copy(row));
  }

  #remove(key: PhysicalKey): void {
    if (this.#rows.delete(key)) this.#keys.splice(firstAtLeast(this.#keys, key), 1);
  }
}

function copy(row: Row): Row {
  return { ...row, bytes: Uint8Array.from(row.bytes) };
}

/** The index of the first key that does not sort before `bound`. Keys are ASCII, so `<` is byte order. */
function firstAtLeast(keys: readonly PhysicalKey[], bound: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
