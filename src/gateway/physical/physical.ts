/**
 * Physical: untrusted durable bytes. What is below the barrier.
 *
 * A small, etcd-like contract: keys in byte order, each with the revision that wrote it, and one
 * atomic `commit`. It knows nothing of secrets; everything it is given is already sealed.
 *
 * Promises
 *   - `commit` resolves `committed` only after the batch is durable; a crash leaves all of it or none.
 *   - Revisions are consecutive: a batch at revision n commits only on top of n − 1.
 *   - After a commit failed, every later commit fails the same way until `reopen` succeeded: a failed
 *     write says nothing about what the disk holds, so nobody may build on it.
 * Does not promise
 *   - Secrecy, integrity or freshness. Whoever controls the disk controls the bytes.
 */
import { openSqlite, type SqliteOptions } from './sqlite.ts';

export { isPhysicalKey, rowBytesMax } from './key-range.ts';
export { removeStore, storeFiles } from './sqlite-file.ts';

/**
 * Sorted by bytes of its ASCII text: kind, slash, server-made id. Never a name that a person chose.
 * Printable ASCII without the space (0x21 … 0x7e), 1 … `keyCharsMax` characters (`key-range.ts`).
 */
export type PhysicalKey = string;

export interface Row {
  readonly key: PhysicalKey;
  /** The revision of the batch that wrote this row. */
  readonly revision: number;
  readonly bytes: Uint8Array;
}

export interface RowWrite {
  readonly key: PhysicalKey;
  /** `undefined` deletes; deleting what is not there is no error. */
  readonly bytes: Uint8Array | undefined;
}

export interface RowExpectation {
  readonly key: PhysicalKey;
  /** The row's revision must be this; 0 means that there must be no such row. */
  readonly revision: number;
}

export interface PhysicalBatch {
  /** Must be the store's revision plus one. */
  readonly revision: number;
  /** At most one write per key. */
  readonly writes: readonly RowWrite[];
  readonly expectations: readonly RowExpectation[];
}

export type CommitOutcome =
  | { readonly kind: 'committed' }
  /** Another writer was first: the store is at `revision`. Nothing was written. */
  | { readonly kind: 'behind'; readonly revision: number }
  /** These keys were not at the revision that was expected. Nothing was written. */
  | { readonly kind: 'conflict'; readonly keys: readonly PhysicalKey[] };

export interface ListOptions {
  /** Only keys strictly after this one (before it, when reversed). */
  readonly after?: PhysicalKey;
  /** 1 … 10,000. */
  readonly limit: number;
  readonly reverse?: boolean;
}

export interface ScanOptions {
  /** Rows whose key starts with this are left out. */
  readonly without: string;
  /** About how many rows there are without those: tells what is cheapest. Any number is right. */
  readonly expected: number;
}

export interface Physical {
  /** The last committed revision; 0 for an empty store. */
  revision(): Promise<number>;
  get(key: PhysicalKey): Promise<Row | undefined>;
  /** Rows whose key starts with `prefix`, in key order. */
  list(prefix: string, options: ListOptions): Promise<readonly Row[]>;
  /**
   * Every other row, each once, in pages and in the order that is cheapest to read. Nothing may be
   * committed meanwhile.
   */
  scan(options: ScanOptions): AsyncIterable<readonly Row[]>;
  /**
   * Writes the batch, whole and durably, or not at all.
   *
   * @throws Fault `storage.full` when there is no space, `storage.failed` on any other I/O error.
   *   After either, nothing of the batch is visible here, and nothing can be committed until
   *   `reopen`. After a reopen or a restart, `storage.full` still means that the batch is not there;
   *   `storage.failed` leaves it in doubt, whole or absent: `revision()` tells which.
   * @throws AssertionError if no caller may make this batch: nothing was written, and others can commit.
   */
  commit(batch: PhysicalBatch): Promise<CommitOutcome>;
  /**
   * Closes and opens the storage anew, to go on after a failed commit. What was derived from reads
   * before must be read again.
   */
  reopen(): Promise<void>;
  /** Pushes deleted content out of journals and free pages, as far as this storage can. */
  purge(): Promise<void>;
  /**
   * Reads everything and proves that its structure is sound. Holds up other calls meanwhile: for an
   * operator who asks, not for every start.
   *
   * @throws Fault `storage.corrupt` if it is not.
   */
  checkIntegrity(): Promise<void>;
  /** Writes a consistent copy to a new file. @throws Fault `backup.exists` if there is a file already. */
  backup(path: string): Promise<{ readonly revision: number; readonly bytes: number }>;
  close(): Promise<void>;
}

/** Every kind of storage there is. Tests have one more, in memory, under the same suite. */
export type PhysicalOptions = { readonly kind: 'sqlite' } & SqliteOptions;

/**
 * Opens the storage that the configuration names.
 *
 * @throws Fault `storage.*` if it cannot be used, with what to do about it.
 */
export async function openPhysical(options: PhysicalOptions): Promise<Physical> {
  switch (options.kind) {
    case 'sqlite':
      return openSqlite(options);
  }
}
