/**
 * Small files that must be whole and durable: written beside, synced, renamed, and the directory
 * synced; and the directories that they are in.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';

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

export function writeDurably(path: string, content: string, mode: number): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, 'w', mode);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
