/**
 * Files that must be whole and durable: written beside, synced, given their name, and the directory
 * synced; and the directories that they are in.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { getSystemErrorMessage } from 'node:util';

/**
 * Makes a directory, and those above it that are missing, one by one: the recursive way of `node:fs` never
 * ends where a file system refuses with ENOENT to make what is not there, as /proc does.
 *
 * @throws what the file system says
 */
export function makeDirectory(path: string, mode: number): void {
  const whole = resolve(path);
  const missing: string[] = [];
  for (let at = whole; statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at)) {
    missing.unshift(at);
  }
  // Also where nothing is missing: that a file has the name is for `mkdir` to say.
  for (const directory of missing.length === 0 ? [whole] : missing) {
    try {
      mkdirSync(directory, mode);
    } catch (error) {
      const isThere = statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true;
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isThere) throw error;
    }
  }
}

/**
 * Replaces a file, or makes it: readers see the old content or the new, also after a power cut.
 *
 * @throws what the file system says; then the old one is there as it was
 */
export function writeDurably(path: string, content: string | Uint8Array, mode: number): void {
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  createFile(draft, content, mode);
  try {
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  syncPath(dirname(path));
}

/** Also where there is none. Gone for good when it returns. @throws what the file system says */
export function removeDurably(path: string): void {
  rmSync(path, { force: true });
  syncPath(dirname(path));
}

/**
 * Makes a file that is not there yet, whole and durable. Never follows a link.
 *
 * @throws what the file system says, EEXIST among it; then there is no new file
 */
export function createDurably(path: string, content: string | Uint8Array, mode: number): void {
  createFile(path, content, mode);
  try {
    syncPath(dirname(path));
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/**
 * Gives a finished file its name, unless there is one of that name already; its old name is gone.
 *
 * @returns Whether it did. Either way the file that has the name now is durable.
 */
export function publishFile(finished: string, path: string): boolean {
  syncPath(finished);
  // Unlike a rename it never takes the place of what somebody made meanwhile.
  const published = linkUnlessThere(finished, path);
  rmSync(finished);
  syncPath(dirname(path));
  return published;
}

function linkUnlessThere(finished: string, path: string): boolean {
  try {
    linkSync(finished, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function createFile(path: string, content: string | Uint8Array, mode: number): void {
  const file = openSync(path, 'wx', mode);
  try {
    // The umask may have taken bits away.
    fchmodSync(file, mode);
    writeFileSync(file, content);
    fsyncSync(file);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

/** What a file holds, or which names a directory has, is durable after this. */
function syncPath(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** `no such file or directory (ENOENT)` */
export function systemErrorText(error: unknown): string {
  const { code = 'unknown', errno } = error as NodeJS.ErrnoException;
  return errno === undefined ? code : `${getSystemErrorMessage(errno)} (${code})`;
}
