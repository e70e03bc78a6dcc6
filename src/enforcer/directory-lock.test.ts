/**
 * Goal: no two enforcers work in one directory, and none that died keeps the next one out.
 * Method: locks of this process and of others that are killed. Control: without the lock file of the one
 * that lives, as if each had its own, both get in.
 */
import { equal, rejects, throws } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../base/clock.ts';
import type { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { lockDirectories, openRunDirectory } from './directory-lock.ts';
import { runEnforcer } from './enforcer.ts';

const taken = { code: 'enforcer.already-running' };

function setUp(t: TestContext): { readonly state: string; readonly run: string } {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-lock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [state, run] = [join(directory, 'state'), join(directory, 'run')];
  for (const path of [state, run, `${state}-other`, `${run}-other`]) mkdirSync(path, 0o700);
  return { state, run };
}

/** Another process that has the locks until it is killed. */
async function holder(directories: readonly string[]) {
  const module = join(import.meta.dirname, 'directory-lock.ts');
  const program = `import { lockDirectories } from '${module}';
    lockDirectories(${JSON.stringify(directories)});
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

test('a second enforcer is kept out of either directory, and gets in once the first has ended', (t) => {
  const { state, run } = setUp(t);
  const first = lockDirectories([state, run]);
  throws(() => lockDirectories([state, `${run}-other`]), taken);
  throws(() => lockDirectories([`${state}-other`, run]), taken);
  throws(() => lockDirectories([`${state}-other`, join(run, '..', 'run')]), taken);
  first[Symbol.dispose]();
  lockDirectories([state, run])[Symbol.dispose]();
  // What a failed attempt had locked already was let go.
  lockDirectories([`${state}-other`, `${run}-other`])[Symbol.dispose]();
});

test('runEnforcer takes the locks before anything else', async (t) => {
  const { state, run } = setUp(t);
  const config = {
    stateDirectory: state,
    runDirectory: run,
    runtime: { kind: 'process', directory: join(state, 'processes') },
    logLevel: 'info',
    watchdog: false,
  } as const;
  const { signal } = new AbortController();
  const context = { clock: systemClock, random: systemRandom, log: silentLog, version: '', signal };
  {
    using _first = lockDirectories([run]);
    await rejects(runEnforcer(config, context), taken);
  }
  await rejects(runEnforcer(config, context), { code: 'enforcer.not-joined' }, 'control');
});

test('a run directory that cannot be made, or that others may enter, is a fault that names it', (t) => {
  const { state, run } = setUp(t);
  lockDirectories([state])[Symbol.dispose]();
  // In /proc nothing can be made, and it says so with the code for what is missing.
  const below = join(state, 'enforcer.lock', 'below');
  for (const directory of [below, '/proc/coffer/run', '/proc/version']) {
    const names = ({ code, detail }: Fault): boolean =>
      code === 'enforcer.run-unsafe' && detail['directory'] === directory;
    throws(() => openRunDirectory(directory), names);
  }
  openRunDirectory(join(run, 'made', 'below'));
  equal(statSync(join(run, 'made', 'below')).mode & 0o777, 0o700);
  symlinkSync(run, join(state, 'link'));
  openRunDirectory(join(state, 'link'));
  chmodSync(run, 0o750);
  throws(() => openRunDirectory(run), { code: 'enforcer.run-unsafe' });
});

test('one directory may serve both purposes', (t) => {
  const { state } = setUp(t);
  lockDirectories([state, state])[Symbol.dispose]();
});

test('an enforcer that was killed keeps nobody out', async (t) => {
  const { state, run } = setUp(t);
  const child = await holder([state, run]);
  throws(() => lockDirectories([state, run]), taken);
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockDirectories([state, run])[Symbol.dispose]();
});

test('control: without the lock of the one that lives, both get in', async (t) => {
  const { state, run } = setUp(t);
  const child = await holder([state, run]);
  rmSync(join(state, 'enforcer.lock'));
  rmSync(join(run, 'enforcer.lock'));
  lockDirectories([state, run])[Symbol.dispose]();
  child.kill('SIGKILL');
  await once(child, 'exit');
});
