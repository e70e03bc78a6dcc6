/**
 * Goal: a bench that is interrupted or fails leaves no directory and no process.
 * Method: a program that makes both is ended in three ways; control: without them they stay.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { becomesSo } from './until.ts';

const program = `
  import { spawn } from 'node:child_process';
  import { mkdtempSync } from 'node:fs';
  import { tmpdir } from 'node:os';
  import { join } from 'node:path';
  const { endsWithUs, exitOnSignals, temporaryDirectory } = await import(process.argv[1]);
  const tidy = process.argv[2] === 'tidy';
  if (tidy) exitOnSignals();
  const path = tidy ? temporaryDirectory('coffer-left-').path : mkdtempSync(join(tmpdir(), 'coffer-left-'));
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  if (tidy) endsWithUs(child);
  process.stdout.write(JSON.stringify({ path, pid: child.pid }) + '\\n');
  process.stdin.once('data', () => { throw new Error('a bug'); });
`;

async function leftBy(mode: 'tidy' | 'untidy', end: NodeJS.Signals | 'error') {
  const module = join(import.meta.dirname, 'left-behind.ts');
  const argv = ['--input-type=module', '--eval', program, module, mode];
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { path, pid } = JSON.parse(line.toString('utf8')) as { path: string; pid: number };
  if (end === 'error') child.stdin.write('go on\n');
  else child.kill(end);
  const [status] = (await exited) as [number | null];
  if (mode === 'tidy') await becomesSo(() => !lives(pid));
  const left = { status, directory: existsSync(path), child: lives(pid) };
  rmSync(path, { recursive: true, force: true });
  if (left.child) process.kill(pid, 'SIGKILL');
  return left;
}

/** One that was killed may wait for somebody to take note of it. */
function lives(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('nothing stays when the process is ended by a signal or an error', async () => {
  deepEqual(await leftBy('tidy', 'SIGTERM'), { status: 143, directory: false, child: false });
  deepEqual(await leftBy('tidy', 'SIGINT'), { status: 130, directory: false, child: false });
  deepEqual(await leftBy('tidy', 'error'), { status: 1, directory: false, child: false });
});

test('control: without, both stay', async () => {
  const { directory, child } = await leftBy('untidy', 'SIGTERM');
  equal(directory && child, true);
});
