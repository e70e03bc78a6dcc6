/**
 * SQLite as physical storage: one file, one gateway, one writer. The only file that reaches SQLite.
 *
 * Promises (physical.ts, and)
 *   - Settings that durability rests on are read back at every open; otherwise it does not open.
 *   - A second gateway on the same file is refused at once; `kill -9` of the first frees it.
 *   - A file that is refused is left as it was.
 * Does not promise
 *   - That an older copy put in its place is noticed, or a journal whose end was cut off. The audit
 *     tree above notices.
 *   - That a journal of another copy of the file does no harm: never put a copy beside an old `-wal`.
 *   - Erasure from the medium: `purge` clears what the file system shows.
 *
 * Calls run on the calling thread: a commit is one fsync of the journal.
 */
import { constants, closeSync, existsSync, openSync, rmSync, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { backup, DatabaseSync, type StatementSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { assert, defined } from '../../base/assert.ts';
import { Fault, isFault, repeatFault } from '../../base/fault.ts';
import type { FaultCode } from '../../base/fault-table.ts';
import { publishFile } from '../../base/files.ts';
import { assertBatch, isPhysicalKey, keyRange } from './key-range.ts';
import type {
  CommitOutcome,
  ListOptions,
  Physical,
  PhysicalBatch,
  PhysicalKey,
  Row,
  ScanOptions,
} from './physical.ts';
import { storageFault } from './sqlite-error.ts';
import { readRow, readRows, readStoreRevision } from './sqlite-row.ts';
import { type ScanStatements, scanPages, scanQueries } from './sqlite-scan.ts';
import {
  applicationId,
  checkHeader,
  formatVersion,
  journalOf,
  makeWorkshop,
  safeFile,
  safePlace,
  sweepWorkshops,
} from './sqlite-file.ts';
import { applySettings, requireSafeVersion } from './sqlite-settings.ts';

export interface SqliteOptions {
  readonly path: string;
  /** What to do when there is no file: a path mistyped or a volume not mounted must not look like a new store. */
  readonly missing: 'create' | 'refuse';
}

/** Bytes per page: what the file system writes at once. */
const pageBytes = 4096;
/** Of a frame of the journal, before its page. */
const frameHeaderBytes = 24;
/** Pages copied per turn of a backup; each turn holds commits up for well under a millisecond. */
const backupPagesPerStep = 128;
/** Pages of a backup (32 MiB) after which they are sent to the disk, while copying goes on. */
const backupPagesPerSync = 8192;

/** For a failure that SQLite does not tell (`isUntold`); it was seen once in some hundred backups. */
const backupAttemptsMax = 5;

/** A table with rowid: batches of small rows commit about twice as fast as without (bench). */
const schema = `
  CREATE TABLE rows(
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    bytes BLOB NOT NULL
  ) STRICT;
  CREATE TABLE store(id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
  INSERT INTO store(id, revision) VALUES (1, 0);
`;

/** Files that this thread has open, by device and inode: opening one again would drop its lock. */
const openFiles = new Set<string>();

interface Statements extends ScanStatements {
  readonly begin: StatementSync;
  readonly commit: StatementSync;
  readonly rollback: StatementSync;
  readonly revision: StatementSync;
  readonly advance: StatementSync;
  readonly get: StatementSync;
  readonly revisionOf: StatementSync;
  readonly put: StatementSync;
  readonly remove: StatementSync;
  readonly list: StatementSync;
  readonly listReverse: StatementSync;
}

interface Connection {
  readonly database: DatabaseSync;
  readonly statements: Statements;
  readonly identity: string;
}

/**
 * Opens the store in the file, making it if it is missing and that is allowed.
 *
 * @throws Fault `storage.missing`, `.unsafe`, `.foreign`, `.newer`, `.corrupt`, `.locked`, or `.full`
 *   and `.failed` if a new file could not be made.
 */
export function openSqlite(options: SqliteOptions): SqlitePhysical {
  requireSafeVersion(process.versions['sqlite'] ?? '0');
  const place = inPlaceOf(options.path, () => safePlace(options.path));
  return new SqlitePhysical(place, connect(place, options.missing));
}

export class SqlitePhysical implements Physical {
  readonly #place: string;
  #connection: Connection | undefined;
  /** Why nothing can be committed any more; `reopen` takes it away. */
  #poison: Fault | undefined;
  #backups: Promise<unknown> = Promise.resolve();

  /** Use `openSqlite`. */
  constructor(place: string, connection: Connection) {
    this.#place = place;
    this.#connection = connection;
  }

  async revision(): Promise<number> {
    return this.#reading((statements) => readRevision(statements, this.#place));
  }

  async get(key: PhysicalKey): Promise<Row | undefined> {
    assert(isPhysicalKey(key), 'a key is well formed');
    return this.#reading((statements) => {
      const found = statements.get.get(key);
      return found === undefined ? undefined : readRow(found, this.#place);
    });
  }

  async list(prefix: string, options: ListOptions): Promise<readonly Row[]> {
    const { from, to } = keyRange(prefix, options);
    const { reverse = false, limit } = options;
    return this.#reading((statements) => {
      const found = (reverse ? statements.listReverse : statements.list).all(from, to, limit);
      return readRows(found, { place: this.#place, reverse });
    });
  }

  async *scan(options: ScanOptions): AsyncGenerator<readonly Row[]> {
    const place = this.#place;
    for (const found of scanPages((read) => this.#reading(read), { ...options, place })) {
      yield found.map((row) => readRow(row, place));
    }
  }

  async commit(batch: PhysicalBatch): Promise<CommitOutcome> {
    assertBatch(batch);
    const { database, statements } = this.#open();
    if (this.#poison !== undefined) throw repeatFault(this.#poison);
    try {
      statements.begin.run();
      const outcome = apply(statements, batch, this.#place);
      (outcome.kind === 'committed' ? statements.commit : statements.rollback).run();
      return outcome;
    } catch (error) {
      if (database.isTransaction) rollbackAnyway(statements);
      const fault = storageFault(error, this.#place);
      if (isFault(fault)) this.#poison = fault;
      throw fault;
    }
  }

  /** @throws Fault as `openSqlite`; then nothing but another `reopen` or `close` is possible. */
  async reopen(): Promise<void> {
    await this.#backups;
    const cause = this.#poison;
    this.#poison = cause ?? new Fault('storage.failed', { path: this.#place });
    this.#disconnect();
    this.#connection = connect(this.#place, 'refuse');
    this.#poison = undefined;
  }

  async purge(): Promise<void> {
    const { database } = this.#open();
    const done = inPlaceOf(this.#place, () =>
      database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get(),
    );
    if (done?.['busy'] !== 0) throw new Fault('storage.failed', { path: this.#place });
  }

  /** Takes about a second per few hundred megabytes; a backup is checked as well, off the thread. */
  async checkIntegrity(): Promise<void> {
    const { database } = this.#open();
    inPlaceOf(this.#place, () => requireIntegrity(database, this.#place));
  }

  /** Backups run one after the other, beside commits; the copy is the store as it was at its end. */
  async backup(path: string): Promise<{ readonly revision: number; readonly bytes: number }> {
    const made = this.#backups.then(() => this.#backup(path));
    this.#backups = made.catch(() => undefined);
    return made;
  }

  async close(): Promise<void> {
    await this.#backups;
    this.#disconnect();
  }

  async #backup(path: string): Promise<{ readonly revision: number; readonly bytes: number }> {
    const { database } = this.#open();
    try {
      const place = safePlace(path);
      for (let attempt = 1; ; attempt += 1) {
        if (existsSync(place)) throw new Fault('backup.exists', { path });
        try {
          return await makeBackup(database, place);
        } catch (error) {
          if (!isUntold(error) || attempt === backupAttemptsMax) throw error;
        }
      }
    } catch (error) {
      throw backupFault(error, path);
    }
  }

  #open(): Connection {
    if (this.#connection !== undefined) return this.#connection;
    throw this.#poison === undefined
      ? new Error('the storage is closed')
      : repeatFault(this.#poison);
  }

  #reading<T>(read: (statements: Statements) => T): T {
    const { statements } = this.#open();
    return inPlaceOf(this.#place, () => read(statements));
  }

  #disconnect(): void {
    if (this.#connection === undefined) return;
    const { database, identity } = this.#connection;
    this.#connection = undefined;
    openFiles.delete(identity);
    database.close();
  }
}

/**
 * Reads a finished file from beginning to end without touching it: for backups, before they are
 * trusted. Blocks its thread.
 *
 * @returns The revision it holds.
 * @throws Fault `storage.corrupt`, `.foreign`, `.newer`
 */
export function checkSqliteCopy(path: string): number {
  return inPlaceOf(path, () => {
    checkHeader(path);
    const url = pathToFileURL(path);
    url.search = '?immutable=1';
    using database = new DatabaseSync(url, { readOnly: true, defensive: true });
    database.exec('PRAGMA trusted_schema=OFF');
    requireIntegrity(database, path);
    return readStoreRevision(database.prepare('SELECT revision FROM store').get(), path);
  });
}

function connect(place: string, missing: SqliteOptions['missing']): Connection {
  return inPlaceOf(place, () => {
    const stats = safeFile(place) ?? create(place, missing);
    const identity = `${stats.dev}:${stats.ino}`;
    if (openFiles.has(identity)) throw new Fault('storage.locked', { path: place });
    checkHeader(place);
    // No waiting: whoever has the file keeps it for as long as it lives.
    const database = new DatabaseSync(place, { timeout: 0, defensive: true });
    try {
      const connection = { database, identity, statements: prepareStore(database, place) };
      sweepWorkshops(place);
      openFiles.add(identity);
      return connection;
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

function prepareStore(database: DatabaseSync, place: string): Statements {
  applySettings({
    exec: (sql) => database.exec(sql),
    value: (sql) => Object.values(database.prepare(sql).get() ?? {})[0],
  });
  // Takes the lock, and reads the journal that a crash may have left.
  database.exec('BEGIN EXCLUSIVE; COMMIT');
  requireWholeFile(database, place);
  const statements = prepareStatements(database);
  readRevision(statements, place);
  return statements;
}

/** A cheap look for a file that was cut: pages must be in the file, or in the journal. */
function requireWholeFile(database: DatabaseSync, place: string): void {
  const pages = Number(database.prepare('PRAGMA page_count').get()?.['page_count']);
  const { size } = statSync(place);
  const journal = statSync(journalOf(place), { throwIfNoEntry: false })?.size ?? 0;
  const journalPages = Math.floor(journal / (pageBytes + frameHeaderBytes));
  if (size < (pages - journalPages) * pageBytes) {
    throw new Fault('storage.corrupt', { path: place, reason: 'cut' });
  }
}

/** Builds an empty store to the side and gives it its name when it is whole and durable. */
function create(place: string, missing: SqliteOptions['missing']): Stats {
  if (missing === 'refuse') throw new Fault('storage.missing', { path: place });
  if (existsSync(journalOf(place))) {
    throw new Fault('storage.corrupt', { path: place, reason: 'journal-without-store' });
  }
  const workshop = makeWorkshop(place);
  try {
    const draft = makeEmptyFile(workshop);
    using database = new DatabaseSync(draft);
    database.exec(`PRAGMA page_size=${pageBytes}; PRAGMA application_id=${applicationId}`);
    database.exec(`BEGIN; ${schema} PRAGMA user_version=${formatVersion}; COMMIT`);
    database.exec('PRAGMA journal_mode=WAL');
    database.close();
    publishFile(draft, place);
  } finally {
    rmSync(workshop, { recursive: true, force: true });
  }
  return defined(safeFile(place), 'a published file is there');
}

function makeEmptyFile(workshop: string): string {
  const path = join(workshop, 'store');
  closeSync(openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600));
  return path;
}

function prepareStatements(database: DatabaseSync): Statements {
  const span = 'SELECT key, revision, bytes FROM rows WHERE key >= ? AND key < ? ORDER BY key';
  return {
    begin: database.prepare('BEGIN IMMEDIATE'),
    commit: database.prepare('COMMIT'),
    rollback: database.prepare('ROLLBACK'),
    revision: database.prepare('SELECT revision FROM store'),
    advance: database.prepare('UPDATE store SET revision = ? WHERE revision = ?'),
    get: database.prepare('SELECT key, revision, bytes FROM rows WHERE key = ?'),
    revisionOf: database.prepare('SELECT revision FROM rows WHERE key = ?'),
    put: database.prepare(
      `INSERT INTO rows(key, revision, bytes) VALUES (?, ?, ?)
       ON CONFLICT(key) DO UPDATE SET revision = excluded.revision, bytes = excluded.bytes`,
    ),
    remove: database.prepare('DELETE FROM rows WHERE key = ?'),
    list: database.prepare(`${span} LIMIT ?`),
    listReverse: database.prepare(`${span} DESC LIMIT ?`),
    lastPlace: database.prepare(scanQueries.lastPlace),
    placeAfter: database.prepare(scanQueries.placeAfter),
    between: database.prepare(scanQueries.between),
  };
}

function apply(statements: Statements, batch: PhysicalBatch, place: string): CommitOutcome {
  if (statements.advance.run(batch.revision, batch.revision - 1).changes !== 1) {
    return { kind: 'behind', revision: readRevision(statements, place) };
  }
  const keys = batch.expectations
    .filter(({ key, revision }) => (statements.revisionOf.get(key)?.['revision'] ?? 0) !== revision)
    .map(({ key }) => key);
  if (keys.length > 0) return { kind: 'conflict', keys };
  for (const { key, bytes } of batch.writes) {
    if (bytes === undefined) statements.remove.run(key);
    else statements.put.run(key, batch.revision, bytes);
  }
  return { kind: 'committed' };
}

function readRevision(statements: Statements, place: string): number {
  return readStoreRevision(statements.revision.get(), place);
}

function requireIntegrity(database: DatabaseSync, path: string): void {
  const found = database.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check'];
  if (found !== 'ok') throw new Fault('storage.corrupt', { path, reason: 'damaged' });
}

/** A transaction whose commit failed is mostly gone already; what is left of it must not stay open. */
function rollbackAnyway(statements: Statements): void {
  try {
    statements.rollback.run();
  } catch {
    // The instance is poisoned: the connection is closed before anything else is written.
  }
}

function inPlaceOf<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw storageFault(error, path);
  }
}

const speakForThemselves: ReadonlySet<FaultCode> = new Set([
  'backup.exists',
  'storage.full',
  'storage.unsafe',
]);

function backupFault(error: unknown, path: string): unknown {
  const fault = storageFault(error, path);
  if (!isFault(fault) || speakForThemselves.has(fault.code)) return fault;
  return new Fault('backup.failed', { path, reason: fault.code }, { cause: error });
}

async function makeBackup(
  database: DatabaseSync,
  place: string,
): Promise<{ readonly revision: number; readonly bytes: number }> {
  const workshop = makeWorkshop(place);
  try {
    const copy = makeEmptyFile(workshop);
    await copyDatabase(database, copy);
    const revision = await verifyElsewhere(copy);
    const { size: bytes } = statSync(copy);
    if (!publishFile(copy, place)) throw new Fault('backup.exists', { path: place });
    return { revision, bytes };
  } finally {
    rmSync(workshop, { recursive: true, force: true });
  }
}

/**
 * Whether SQLite failed without saying how: the backup steps in another thread, and a commit on the same
 * connection can clear the error before it is read. Such a backup is begun anew.
 */
function isUntold(error: unknown): boolean {
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  return code === 'ERR_SQLITE_ERROR' && errcode === 0;
}

/**
 * Copies a database beside commits. SQLite holds commits up while it syncs the finished copy; sending
 * most of it to the disk on the way keeps that short.
 */
async function copyDatabase(database: DatabaseSync, copy: string): Promise<void> {
  const file = await open(copy, 'r+');
  let syncing: Promise<void> | undefined;
  let syncedAt = 0;
  try {
    await backup(database, copy, {
      rate: backupPagesPerStep,
      progress({ totalPages, remainingPages }) {
        const copied = totalPages - remainingPages;
        if (syncing !== undefined || copied - syncedAt < backupPagesPerSync) return;
        syncedAt = copied;
        // Only to be early: whether the copy is durable is decided by SQLite's own sync at its end.
        const ended = (): void => {
          syncing = undefined;
        };
        syncing = file.datasync().then(ended, ended);
      },
    });
  } finally {
    await syncing;
    await file.close();
  }
}

/** Verifies a copy in another thread, because reading all of it would hold up requests. */
function verifyElsewhere(path: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const worker = new Worker(new URL('./sqlite-verify-worker.ts', import.meta.url), {
    workerData: path,
  });
  worker.once('message', (revision: unknown) => {
    if (typeof revision === 'number') resolve(revision);
    else reject(new Fault('storage.corrupt', { path, reason: 'damaged' }));
  });
  worker.once('error', reject);
  worker.once('exit', () => reject(new Fault('storage.failed', { path, code: 'verifier' })));
  return promise;
}
