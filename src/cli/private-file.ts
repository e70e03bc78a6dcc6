/**
 * Files that belong to one person: mode 0600 in a directory with mode 0700, replaced whole.
 *
 * Promises: a reader sees the old content or the new, never a part, also after a power cut; what
 * others may read or write is refused and named, not used.
 */
import { existsSync } from 'node:fs';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Fault } from '../base/fault.ts';
import { makeDirectory, publishFile, systemErrorText, writeDurably } from '../base/files.ts';

/** @throws Fault `cli.file` if it cannot be written. */
export async function writePrivateFile(path: string, content: string | Buffer): Promise<void> {
  try {
    makeDirectory(dirname(path), 0o700);
    writeDurably(path, content, 0o600);
  } catch (error) {
    throw fileFault(path, error);
  }
}

/**
 * Writes a file that is not there yet, piece by piece. It has its name only when it is whole.
 *
 * @throws Fault `backup.exists`, `cli.file`; what `write` throws. Then nothing is left of it.
 */
export async function writeNewFile<T>(
  path: string,
  write: (append: (piece: string | Buffer) => Promise<void>) => Promise<T>,
): Promise<T> {
  // Before anybody waits for what is not going to be written; it is looked at again in the end.
  if (existsSync(path)) throw new Fault('backup.exists', { path });
  const partial = `${path}.partial`;
  const failed = (error: unknown): never => {
    throw fileFault(partial, error);
  };
  const file = await open(partial, 'wx', 0o600).catch(failed);
  try {
    const result = await write(async (piece) => {
      await file.writeFile(piece).catch(failed);
    });
    if (!published(partial, path)) throw new Fault('backup.exists', { path });
    return result;
  } finally {
    await file.close();
    await rm(partial, { force: true });
  }
}

function published(partial: string, path: string): boolean {
  try {
    return publishFile(partial, path);
  } catch (error) {
    throw fileFault(path, error);
  }
}

/**
 * @param options.secret - Whether it must be unreadable for others, too.
 * @param options.isNeeded - Whether it is a fault if there is none.
 * @returns undefined if there is none.
 * @throws Fault `cli.file`, `cli.file-unsafe`
 */
export async function readPrivateFile(
  path: string,
  options: { readonly secret: boolean; readonly isNeeded?: boolean },
): Promise<Buffer | undefined> {
  try {
    const { mode, uid } = await stat(path);
    const forbidden = options.secret ? 0o077 : 0o022;
    const owner = process.geteuid?.() ?? uid;
    if ((mode & forbidden) !== 0 || (uid !== owner && uid !== 0)) {
      throw new Fault('cli.file-unsafe', { path, mode: (mode & 0o777).toString(8) });
    }
    return await readFile(path);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (isMissing && options.isNeeded !== true) return undefined;
    throw fileFault(path, error);
  }
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error: unknown) => {
    throw fileFault(path, error);
  });
}

/** @throws Fault `cli.file` */
export async function readUserFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileFault(path, error);
  }
}

export function fileFault(path: string, error: unknown): Fault {
  if (error instanceof Fault) return error;
  return new Fault('cli.file', { path, problem: systemErrorText(error) }, { cause: error });
}
