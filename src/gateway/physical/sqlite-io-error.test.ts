/**
 * Goal (G3): no failing write or sync, whichever it is, makes a commit acknowledged and lost, seen in
 * half, or the store unusable once the disk is well.
 * Method: a short run of commits with a purge and a backup is repeated, each time with the next call
 * below its directory failing (once, or from then on). After each failure the files are copied as a
 * death of the process would leave them, and compared with the history; then the run goes on.
 */
import { equal, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const isLong = process.env['COFFER_LONG'] === '1';
const testing = join(import.meta.dirname, '../../testing');
/** Of about 170 calls: all of them, or each so-manieth. */
const every = isLong ? 1 : 13;
const runsMin = Math.floor(100 / every);

const directory = mkdtempSync(join(tmpdir(), 'coffer-io-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
const shim = join(directory, 'failing-io.so');
const source = join(testing, 'failing-io.c');
const compiled = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', shim, source, '-ldl'], {
  encoding: 'utf8',
});
const skip =
  compiled.status === 0
    ? false
    : `needs a C compiler, for instance \`apt-get install gcc libc6-dev\`: ${compiled.stderr}`;

describe('I/O errors', { skip }, () => {
  for (const error of ['EIO', 'ENOSPC']) {
    for (const lasting of ['once', 'on']) {
      const scope = every === 1 ? 'each call' : `one in ${every} calls`;
      test(`${scope} to write or sync fails with ${error}, ${lasting}`, () => {
        const program = join(testing, 'failing-io-run.ts');
        const args = [program, shim, String(every), error, lasting];
        const { status, stdout, stderr } = spawnSync(process.execPath, args, {
          encoding: 'utf8',
          env: { ...process.env, LD_PRELOAD: shim, TMPDIR: directory },
        });
        equal(status, 0, stderr);
        const runs = Number(/^(\d+) runs$/m.exec(stdout)?.[1]);
        ok(runs >= runsMin, `only ${runs} runs: the shim does not see what the store writes`);
      });
    }
  }
});
