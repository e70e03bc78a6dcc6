/**
 * Goal: a watchdog runs as long as the enforcer does, and while none runs the node says so.
 * Method: real watchdogs over a directory of the test's own, ended in each way that looks like a good end.
 */
import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLog } from '../base/log.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { until } from '../testing/until.ts';
import { livingWatchdog } from './run-watchdog.ts';
import { WatchdogProcess } from './watchdog-process.ts';

function setUp(t: TestContext, failures: readonly (() => ChildProcess)[] = []) {
  const runDirectory = mkdtempSync(join(tmpdir(), 'coffer-watchdog-'));
  const pidFile = join(runDirectory, 'watchdog.pid');
  const clock = new ManualClock();
  const logged: { event: string; reason?: string }[] = [];
  const write = (line: string): void => void logged.push(JSON.parse(line));
  const failing = [...failures];
  const children: ChildProcess[] = [];
  const start = (): ChildProcess => {
    const child = failing.shift()?.() ?? spawnReal(runDirectory);
    children.push(child);
    return child;
  };
  const log = createLog({ clock, level: 'debug', write });
  const watchdog = new WatchdogProcess({ runDirectory, logLevel: 'error' }, { clock, log }, start);
  t.after(() => {
    watchdog[Symbol.dispose]();
    for (const child of children) child.kill('SIGKILL');
    rmSync(runDirectory, { recursive: true });
  });
  return {
    runDirectory,
    pidFile,
    clock,
    children,
    watchdog,
    events: () => logged.map(({ event, reason }) => `${event} ${reason ?? ''}`.trim()),
    inCharge: (): number | undefined => livingWatchdog(runDirectory),
  };
}

function spawnReal(runDirectory: string): ChildProcess {
  const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
  const argv = ['watchdog', '--run-directory', runDirectory, '--enforcer', String(process.pid)];
  return spawn(process.execPath, [coffer, ...argv, '--log-level', 'error'], { stdio: 'ignore' });
}

/** A watchdog it is, but of an enforcer with another directory. */
function numberOfAnother(_pid: number, pidFile: string, t: TestContext): void {
  const elsewhere = mkdtempSync(join(tmpdir(), 'coffer-watchdog-'));
  const other = spawnReal(elsewhere);
  t.after(() => {
    other.kill('SIGKILL');
    rmSync(elsewhere, { recursive: true });
  });
  writeFileSync(pidFile, String(other.pid));
}

type End = (pid: number, pidFile: string, t: TestContext) => void;
const ends: readonly (readonly [what: string, reason: string, end: End])[] = [
  ['was sent SIGTERM', 'exit 0', (pid) => process.kill(pid, 'SIGTERM')],
  ['was killed', 'SIGKILL', (pid) => process.kill(pid, 'SIGKILL')],
  ['lost its pid file', 'exit 0', (_pid, pidFile) => rmSync(pidFile)],
  ['finds another one’s number in its pid file', 'exit 0', numberOfAnother],
  ['finds a dead one in its pid file', 'exit 0', (_pid, pidFile) => writeFileSync(pidFile, '1')],
];
for (const [what, reason, end] of ends) {
  test(`WatchdogProcess starts the watchdog again that ${what}, and says so until then`, async (t) => {
    const { watchdog, pidFile, clock, events, inCharge } = setUp(t);
    await until('it is in charge', () => inCharge() !== undefined);
    const first = inCharge();
    equal(watchdog.pid, first);
    end(first!, pidFile, t);
    await until('it is missed', () => !watchdog.isAlive);
    deepEqual(events(), [`watchdog.ended ${reason}`]);
    clock.advance(1000);
    await until('another is in charge', () => inCharge() !== undefined);
    notEqual(inCharge(), first);
    equal(watchdog.isAlive, true);
  });
}

test('WatchdogProcess leaves a watchdog alone that another one replaced, until that one ends', async (t) => {
  const { watchdog, runDirectory, clock, children, events, inCharge } = setUp(t);
  await until('it is in charge', () => inCharge() !== undefined);
  const successor = spawnReal(runDirectory);
  t.after(() => successor.kill('SIGKILL'));
  await until('ours has left', () => events().length > 0);
  deepEqual(events(), ['watchdog.replaced']);
  for (let look = 0; look < 5; look += 1) clock.advance(30_000);
  equal(children.length, 1);
  equal(watchdog.isAlive, true);
  equal(inCharge(), successor.pid);
  successor.kill('SIGKILL');
  await until('it is missed', () => !watchdog.isAlive);
  clock.advance(30_000);
  equal(children.length, 2);
  await until('ours is in charge', () => inCharge() === watchdog.pid);
});

test('WatchdogProcess tries again, with longer pauses, when the watchdog cannot be started', async (t) => {
  const emits = (): ChildProcess => spawn('/nowhere/node', { stdio: 'ignore' });
  const throws = (): ChildProcess => {
    throw Object.assign(new Error('no memory'), { code: 'ENOMEM' });
  };
  const { watchdog, clock, events, inCharge } = setUp(t, [emits, throws]);
  await until('it is noticed', () => events().length === 1);
  equal(watchdog.isAlive, false);
  deepEqual(clock.waits, [1000]);
  clock.advance(1000);
  deepEqual(events(), ['watchdog.not-started ENOENT', 'watchdog.not-started ENOMEM']);
  equal(watchdog.isAlive, false);
  deepEqual(clock.waits, [2000]);
  clock.advance(2000);
  await until('it is in charge', () => inCharge() !== undefined);
  equal(watchdog.isAlive, true);
});

test('WatchdogProcess starts none any more once the enforcer ends', async (t) => {
  const { watchdog, clock, children, inCharge } = setUp(t);
  await until('it is in charge', () => inCharge() !== undefined);
  watchdog[Symbol.dispose]();
  ok(watchdog.isAlive, 'it stays');
  const [child] = children;
  const ended = new Promise((resolve) => child?.once('exit', resolve));
  child?.kill('SIGTERM');
  await ended;
  deepEqual(clock.waits, []);
  equal(children.length, 1);
});
