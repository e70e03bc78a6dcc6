/**
 * How SQLite must be set for our promises to hold, and the proof that it is: every setting is read
 * back, because SQLite ignores what it does not know or cannot do.
 */
import { Fault } from '../../base/fault.ts';

/** In this order: exclusive locking before the first access in WAL mode needs no shared memory file. */
export const settings = [
  /** One gateway per file; the kernel drops the lock with the process, however it dies. */
  { pragma: 'locking_mode', set: 'EXCLUSIVE', reads: 'exclusive' },
  { pragma: 'journal_mode', set: 'WAL', reads: 'wal' },
  /** FULL: NORMAL loses acknowledged commits when the power fails (durability tests show it). */
  { pragma: 'synchronous', set: 'FULL', reads: 2 },
  { pragma: 'foreign_keys', set: 'ON', reads: 1 },
  /** A doctored schema must not run functions of ours. */
  { pragma: 'trusted_schema', set: 'OFF', reads: 0 },
  { pragma: 'cell_size_check', set: 'ON', reads: 1 },
  /** Deleted content is overwritten with zeros. */
  { pragma: 'secure_delete', set: 'ON', reads: 1 },
  /** No temporary files beside the store or in /tmp. */
  { pragma: 'temp_store', set: 'MEMORY', reads: 2 },
  /** An I/O error in a mapping is a SIGBUS instead of an error. */
  { pragma: 'mmap_size', set: '0', reads: 0 },
  /** KiB, negative by SQLite's convention: 16 MiB hold the upper levels of a store of a million rows. */
  { pragma: 'cache_size', set: '-16384', reads: -16_384 },
  /** Pages: checkpoints of 4 MiB take a few milliseconds; larger ones would be felt by requests. */
  { pragma: 'wal_autocheckpoint', set: '1000', reads: 1000 },
  /** Bytes: a journal that a burst made long is cut back at the next checkpoint. */
  { pragma: 'journal_size_limit', set: '8388608', reads: 8_388_608 },
  /** Defensive mode has no pragma; that this one cannot be switched on shows that it is on. */
  { pragma: 'writable_schema', set: 'ON', reads: 0 },
] as const;

/** 3.51.3 mended a race of checkpoint and commit that could corrupt the file; 3.52.0 was withdrawn. */
const safeVersion = [3, 51, 3] as const;
const withdrawnVersion = '3.52.0';

/** @throws Fault `storage.unsafe` if this SQLite has a known way to lose data. */
export function requireSafeVersion(version: string): void {
  const parts = version.split('.').map(Number);
  const firstOther = safeVersion.findIndex((part, index) => parts[index] !== part);
  const newEnough =
    firstOther === -1 || (parts[firstOther] ?? Number.NaN) > (safeVersion[firstOther] ?? 0);
  if (!newEnough || version === withdrawnVersion) {
    throw new Fault('storage.unsafe', { reason: 'sqlite-version', version });
  }
}

/** What `applySettings` needs of a database: to run a statement, and to read one value. */
export interface SettingsTarget {
  exec(sql: string): void;
  value(sql: string): unknown;
}

/** @throws Fault `storage.unsafe` if a setting does not read back as it was set. */
export function applySettings(target: SettingsTarget): void {
  for (const { pragma, set, reads } of settings) {
    target.exec(`PRAGMA ${pragma}=${set}`);
    const value = target.value(`PRAGMA ${pragma}`);
    if (value !== reads) {
      throw new Fault('storage.unsafe', { reason: 'setting', setting: pragma, wanted: set });
    }
  }
}
