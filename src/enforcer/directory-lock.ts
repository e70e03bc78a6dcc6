/**
 * One enforcer per state directory and per run directory: two would overwrite what the other remembers, and
 * wipe what the other has placed.
 *
 * Locks of the kernel, which end with the process in whatever way it ends: nothing is to be cleared away.
 */
import { closeSync, openSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { makeDirectory } from '../base/files.ts';
import { lockExclusively } from '../linux/libc.ts';

const name = 'enforcer.lock';

/**
 * Makes it if need be. The watchdog wipes where a file in it says: nobody else may write one.
 *
 * @throws Fault `enforcer.run-unsafe`
 */
export function openRunDirectory(directory: string): void {
  try {
    makeDirectory(directory, 0o700);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault('enforcer.run-unsafe', { directory, reason: code }, { cause });
  }
  // It may be a link: where /run is not a tmpfs, say.
  const { uid, mode } = statSync(directory);
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0)
    throw new Fault('enforcer.run-unsafe', { directory });
}

/**
 * Lets go of all of them when it is disposed of. They must be there.
 *
 * @throws Fault `enforcer.already-running`, naming the directory
 */
export function lockDirectories(directories: readonly string[]): Disposable {
  const locks = new DisposableStack();
  try {
    // One directory for both purposes has one lock: a second would wait for the first.
    for (const directory of new Set(directories.map((path) => realpathSync(path)))) {
      const fd = openSync(join(directory, name), 'a', 0o600);
      locks.defer(() => closeSync(fd));
      if (!lockExclusively(fd)) throw new Fault('enforcer.already-running', { directory });
    }
    return locks;
  } catch (error) {
    locks.dispose();
    throw error;
  }
}
