/**
 * Putting a backup where there is no store: whole, durable and verified, or not there. It is made under
 * another name, so that what an interruption leaves is never taken for a store.
 */
import { constants, copyFileSync, existsSync } from 'node:fs';
import { Fault, isFault } from '../base/fault.ts';
import { publishFile } from '../base/files.ts';
import { removeStore, storeFiles } from './physical/physical.ts';

/** @returns what `verify` says of the copy. @throws Fault `storage.exists`, `backup.failed`; what `verify` throws */
export async function restoreStore(
  file: string,
  path: string,
  verify: (path: string) => Promise<number>,
): Promise<number> {
  // Also of another store's files: its journal would be played into this one.
  const there = storeFiles(path).find((name) => existsSync(name));
  if (there !== undefined) throw new Fault('storage.exists', { path: there });
  const unfinished = `${path}.restoring`;
  removeStore(unfinished);
  try {
    copyFileSync(file, unfinished, constants.COPYFILE_EXCL);
    const revision = await verify(unfinished);
    if (!publishFile(unfinished, path)) throw new Fault('storage.exists', { path });
    return revision;
  } catch (error) {
    if (isFault(error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new Fault('backup.failed', { path, reason: code }, { cause: error });
  } finally {
    removeStore(unfinished);
  }
}
