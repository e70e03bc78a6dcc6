/**
 * One enforcer per state directory and per run directory: two would overwrite what the other remembers, and
 * wipe what the other has placed.
 *
 * Locks of the kernel, which end with the process in whatever way it ends: nothing is to be cleared away.
 */
import { closeSync, mkdirSync, openSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { lockExclusively } from '../linux/libc.ts';

const name = 'enforcer.lock';

/**
 * Makes the directories if need be. Lets go of all of them when it is disposed of.
 *
 * @throws Fault `enforcer.already-running`, `enforcer.state-unsafe`, naming the directory
 */
export function lockDirectories(directories: readonly string[]): Disposable {
  const locks = new DisposableStack();
  try {
    for (const directory of directories) makeDirectory(directory);
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

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault('enforcer.state-unsafe', { directory, reason: code }, { cause });
  }
}
