/**
 * Putting a backup where there is no store: whole, durable and verified, or not there. It is made under
 * another name, so that what an interruption leaves is never taken for a store.
 */
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  rmSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { Fault, isFault } from '../base/fault.ts';

/** @returns what `verify` says of the copy. @throws Fault `backup.exists`, `backup.failed`; what `verify` throws */
export async function restoreStore(
  file: string,
  path: string,
  verify: (path: string) => Promise<number>,
): Promise<number> {
  // A journal that is left of another store would be played into this one.
  const there = [path, `${path}-wal`, `${path}-journal`].find((name) => existsSync(name));
  if (there !== undefined) throw new Fault('backup.exists', { path: there });
  const unfinished = `${path}.restoring`;
  removeStore(unfinished);
  try {
    copyFileSync(file, unfinished, constants.COPYFILE_EXCL);
    sync(unfinished);
    const revision = await verify(unfinished);
    // Unlike a rename it never takes the place of a store that somebody made meanwhile.
    linkSync(unfinished, path);
    sync(dirname(path));
    return revision;
  } catch (error) {
    if (isFault(error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Fault('backup.exists', { path }, { cause: error });
    if (code === undefined) throw error;
    throw new Fault('backup.failed', { path, reason: code }, { cause: error });
  } finally {
    removeStore(unfinished);
  }
}

function removeStore(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true });
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
