/**
 * Keeps what is in this process' memory out of core dumps.
 *
 * Promises: after `keepMemoryPrivate` a core dump of this process, and of what it starts, holds no page
 * of its memory, wherever the machine sends core dumps to: to a file or to a program.
 * Does not promise: anything against root, or against other processes of the same user, who may read it
 * through /proc; nor that there is no core dump, with registers and names of threads.
 */
import { writeFileSync } from 'node:fs';

/** Which kinds of mappings a core dump contains. Unlike the limit of its size, it holds for pipes, too. */
export const coreFilterPath = '/proc/self/coredump_filter';
const noMapping = '0';

export function keepMemoryPrivate(): void {
  try {
    writeFileSync(coreFilterPath, noMapping);
  } catch {
    // A kernel without core dumps has no such file. `machineWeakenings` tells whether there may be any.
  }
}
