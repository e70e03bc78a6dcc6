/**
 * Goal: the watchdog looks where a lease is over, and nowhere else (G27).
 * Method: remembered states and mounts in memory, of which some fail; what it does to real ones is in
 * scenarios/enforcer-life.
 */
import { deepEqual } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog } from '../base/log.ts';
import type { WorkloadProcess } from '../model/workload.ts';
import { FakeKernel, FakeMounts } from '../testing/fake-mounts.ts';
import { SimTime } from '../testing/sim-clock.ts';
import { SeededRandom } from '../testing/sim-random.ts';
import type { Mounts } from './mount/mount.ts';
import type { Holding } from './reconcile.ts';
import { mountIdOf, stateFromText, stateToText } from './remembered.ts';
import { placeIn, RememberedFile } from './remembered-file.ts';
import { runWatchdog } from './run-watchdog.ts';
import { Watchdog } from './watchdog.ts';

const graceMs = 4000;
const heardAtBootMs = 1_000_000;
const where: WorkloadProcess = {
  pid: 1,
  startTicks: 1,
  mountNamespace: 1,
  userNamespace: 1,
  cgroup: '/c',
  uid: 0,
  gid: 0,
  userNamespaced: false,
};

function holding(workloadId: string, leaseMs: number, keepOnLeaseLoss = false): Holding {
  const target = `/run/secrets/${leaseMs}`;
  return { workloadId, target, setRevision: 1, files: [], terms: '', leaseMs, keepOnLeaseLoss };
}

test('Watchdog.look wipes the sets whose lease is over by the time that a living enforcer may take', async () => {
  const time = new SimTime(new SeededRandom(1));
  const kernel = new FakeKernel();
  const names = ['short', 'long', 'both', 'kept', 'unknown'];
  const holdings = [
    holding('short', 5000),
    holding('long', 300_000),
    holding('both', 5000),
    holding('both', 300_000),
    holding('both', 7000, true),
    holding('kept', 5000, true),
  ];
  const processes = names.map((workloadId, pid) => ({ workloadId, process: { ...where, pid } }));
  for (const set of [...holdings, holding('unknown', 0)]) {
    const { target } = set;
    const process = processes.find(({ workloadId }) => workloadId === set.workloadId)!.process;
    const [id, files] = [mountIdOf(set), new Map([['db', { content: 'x', mode: 0o400 }]])];
    kernel.mounts.set(id, { id, target, process, revision: 1, files });
  }
  const state = stateFromText(stateToText({ heardAtBootMs, processes, holdings, newest: [] }));
  const watchdog = new Watchdog({
    clock: time.clock(),
    log: silentLog,
    load: () => state,
    enforcerLives: () => true,
    isInCharge: () => true,
    openMounts: async () => new FakeMounts(kernel),
    signal: new AbortController().signal,
  });
  const leftAfter = async (silentMs: number): Promise<readonly string[]> => {
    time.jump(heardAtBootMs + silentMs - time.nowMs);
    await watchdog.look(state);
    return [...kernel.mounts.values()].map(
      ({ process: { pid }, target }) => `${names[pid]} ${target.split('/').at(-1)}`,
    );
  };
  const keep = ['both 7000', 'kept 5000'];
  const all = ['short 5000', 'long 300000', 'both 5000', 'both 300000', ...keep, 'unknown 0'];
  deepEqual(await leftAfter(5000 + graceMs - 1), all);
  const long = ['long 300000', 'both 300000', ...keep, 'unknown 0'];
  deepEqual(await leftAfter(5000 + graceMs), long);
  deepEqual(await leftAfter(300_000 + graceMs), [...keep, 'unknown 0']);
  // Of a container in which nothing is remembered, something may have been placed in the last moment.
  deepEqual(await leftAfter(600_000 + graceMs - 1), [...keep, 'unknown 0']);
  deepEqual(await leftAfter(600_000 + graceMs), keep);
});

test('a container in which the wipe never ends, or ends its thread, keeps it from no other one', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-watchdog-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const time = new SimTime(new SeededRandom(1));
  const clock = time.clock();
  const names = ['stuck', 'deadly', 'forged', 'good'];
  const file = new RememberedFile({ place: placeIn(directory), clock, log: silentLog });
  file.soon(() => ({
    heardAtBootMs: 0,
    processes: names.map((workloadId, pid) => ({ workloadId, process: { ...where, pid } })),
    holdings: names.map((name) => holding(name, 5000)),
    newest: [],
  }));
  file.flush();
  const asked: string[] = [];
  const wiped: string[] = [];
  const openMounts = async (): Promise<Mounts> => {
    let isDead = false;
    const target = '/run/secrets/5000';
    const nameOf = (id: string): string => names.find((name) => id.startsWith(name)) ?? '';
    const mounts: Partial<Mounts> = {
      find: async ({ pid }) => {
        if (isDead) throw new Error('ended');
        const id = mountIdOf({ workloadId: names[pid] ?? '', target });
        return names[pid] === 'forged' ? [{ id: `${id}0`, target }] : [{ id, target }];
      },
      adopt: (id) => {
        asked.push(nameOf(id));
        if (nameOf(id) === 'stuck') return new Promise(() => {});
        isDead = nameOf(id) === 'deadly';
        return isDead ? Promise.reject(new Error('a defect')) : Promise.resolve(undefined);
      },
      withdraw: async (id) => {
        wiped.push(nameOf(id));
        return { outcome: 'withdrawn' };
      },
      close: () => Promise.resolve(),
    };
    return mounts as Mounts;
  };
  const ending = new AbortController();
  const watching = runWatchdog({
    clock,
    log: silentLog,
    runDirectory: directory,
    enforcerLives: () => true,
    openMounts,
    signal: ending.signal,
  });
  await time.pass(20_000);
  deepEqual(wiped, ['good']);
  deepEqual(asked.slice(0, 3), ['stuck', 'deadly', 'good']);
  deepEqual(new Set(asked.slice(3)), new Set(['deadly']), 'and what failed is tried again');
  ending.abort();
  await time.pass(2000);
  await watching;
});

test('each set is wiped when its own lease is over, and then there is nothing to watch', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-watchdog-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const time = new SimTime(new SeededRandom(1));
  const clock = time.clock();
  const kernel = new FakeKernel();
  const holdings = [holding('app', 5000), holding('app', 60_000), holding('app', 7000, true)];
  for (const held of holdings) {
    const { workloadId, target } = held;
    const files = new Map([['db', { content: 'x', mode: 0o400 }]]);
    const id = mountIdOf({ workloadId, target });
    kernel.mounts.set(id, { id, target, process: where, revision: 1, files });
  }
  const file = new RememberedFile({ place: placeIn(directory), clock, log: silentLog });
  file.soon(() => ({
    heardAtBootMs: 0,
    processes: [{ workloadId: 'app', process: where }],
    holdings,
    newest: [],
  }));
  file.flush();
  let hasEnded = false;
  const watching = runWatchdog({
    clock,
    log: silentLog,
    runDirectory: directory,
    enforcerLives: () => false,
    openMounts: async () => new FakeMounts(kernel),
    signal: new AbortController().signal,
  }).then(() => (hasEnded = true));
  const left = (): string[] => [...kernel.mounts.values()].map(({ target }) => target);
  const [short, long, kept] = holdings.map(({ target }) => target);
  await time.pass(5000 + graceMs - 1);
  deepEqual(left(), [short, long, kept]);
  await time.pass(1001);
  deepEqual([left(), hasEnded], [[long, kept], false], 'it watches on');
  await time.pass(55_000);
  deepEqual([left(), hasEnded], [[kept], true]);
  await watching;
});
