/**
 * Goal: nobody is mounted for, read or signalled in the place of a process whose number it has got (V21).
 * Method: a PID namespace with two hundred numbers and a storm of short-lived processes, in which the dead
 * are asked for once somebody else has their number. Controls: by the number alone, and by what it is known
 * by itself, that other one is reached.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { whyNoContainers } from '../../testing/namespace-container.ts';
import type { PidReuse } from '../../testing/pid-reuse-run.ts';

const forks = process.env['COFFER_LONG'] === '1' ? 100_000 : 5000;
const program = fileURLToPath(new URL('../../testing/pid-reuse-run.ts', import.meta.url));
const hostMax = (): string => readFileSync('/proc/sys/kernel/pid_max', 'utf8');

/** Before, the highest number is one for the whole machine, and must not be touched. */
function whyNoOwnPidMax(): string | false {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const isNew = major > 6 || (major === 6 && minor >= 14);
  return isNew ? false : 'needs Linux 6.14, where each PID namespace has its own pid_max';
}

test('a number that was given to another is no way to it, in a storm of them', {
  skip: whyNoContainers() || whyNoOwnPidMax(),
  timeout: 600_000,
}, () => {
  const before = hostMax();
  const words = ['--pid', '--mount', '--fork', '--kill-child', '--mount-proc'];
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    [...words, process.execPath, program, String(forks)],
    { encoding: 'utf8', timeout: 500_000, killSignal: 'SIGKILL' },
  );
  equal(hostMax(), before);
  equal(status, 0, stderr);
  const found = JSON.parse(stdout) as PidReuse;
  deepEqual(found.wrong, []);
  ok(found.forks >= forks && found.reused > 0, stdout);
  ok(found.signalled > 0 && found.reached > 0, `controls: ${stdout}`);
});
