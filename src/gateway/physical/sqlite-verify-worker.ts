/**
 * The thread that reads a backup from beginning to end before it is trusted. Answers with the
 * revision it holds, or with nothing if it is not sound.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { isFault } from '../../base/fault.ts';
import { checkSqliteCopy } from './sqlite.ts';

function verify(path: string): number | undefined {
  try {
    return checkSqliteCopy(path);
  } catch (error) {
    if (isFault(error)) return undefined;
    throw error;
  }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(verify(String(workerData)));
