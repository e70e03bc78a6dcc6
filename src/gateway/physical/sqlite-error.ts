/**
 * What SQLite's errors mean to an operator: which `storage.*` fault each one is.
 */
import { Fault, isFault } from '../../base/fault.ts';

const sqliteBusy = 5;
const sqliteLocked = 6;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;

/** A mistake in setting up, not a failing disk: an operator must look elsewhere. */
const notAllowed: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS']);

/** Node puts SQLite's extended result code on its errors as `errcode`. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

/**
 * The fault that an error of SQLite or of the file system is.
 *
 * @returns The error itself if it is neither, and so a bug: it must not be made to look like weather.
 */
export function storageFault(error: unknown, path: string): unknown {
  if (isFault(error)) return error;
  const code = resultCode(error);
  if (code === undefined) return systemFault(error, path);
  switch (code & 0xff) {
    case sqliteBusy:
    case sqliteLocked:
      return new Fault('storage.locked', { path }, { cause: error });
    case sqliteCorrupt:
    case sqliteNotADatabase:
      return new Fault('storage.corrupt', { path, reason: 'damaged', code }, { cause: error });
    case sqliteFull:
      return new Fault('storage.full', { path }, { cause: error });
    default:
      return new Fault('storage.failed', { path, code }, { cause: error });
  }
}

function systemFault(error: unknown, path: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  // A number in a column that no commit of ours wrote.
  if (code === 'ERR_OUT_OF_RANGE') {
    return new Fault('storage.corrupt', { path, reason: 'damaged', code }, { cause: error });
  }
  const isSystem = error instanceof Error && 'syscall' in error && typeof code === 'string';
  if (!isSystem) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new Fault('storage.full', { path }, { cause: error });
  }
  if (notAllowed.has(code)) {
    return new Fault('storage.unsafe', { path, reason: code }, { cause: error });
  }
  return new Fault('storage.failed', { path, code }, { cause: error });
}
