/**
 * Goal: a process that is held or signalled is the one that was meant, never a later bearer of its
 * number (THREAT-MODEL, V21).
 * Method: real children, asked for before and after their end, and under a wrong start time.
 */
import { deepEqual, equal, notEqual, ok, throws } from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { until } from '../testing/until.ts';
import { close } from './libc.ts';
import { HeldProcess, mapOutside, ownerIn, parseIdMap, signalProcess } from './process.ts';

function startSleeper(): ChildProcess & { readonly pid: number } {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  ok(child.pid !== undefined);
  return child as ChildProcess & { readonly pid: number };
}

test('HeldProcess reads the process while it lives and knows when it has ended', async () => {
  const child = startSleeper();
  using held = HeldProcess.open(child.pid);
  ok(held !== undefined);
  equal(held.ended, false);
  const namespace = held.openMountNamespace();
  ok(namespace !== undefined);
  equal(readlinkSync(`/proc/${child.pid}/ns/mnt`), `mnt:[${namespace.inode}]`);
  close(namespace.fd);
  child.kill('SIGKILL');
  await once(child, 'exit');
  equal(held.ended, true);
  equal(held.openRoot(), undefined);
  equal(held.openMountNamespace(), undefined);
  equal(held.read('mountinfo'), undefined);
});

test('ownerIn tells whom files must belong to, of all the ids that a process has', () => {
  const status = 'Name:\tUid:\t9\nState:\tS (sleeping)\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n';
  deepEqual(ownerIn(status), { uid: 2, gid: 6 });
  throws(() => ownerIn('Uid:\t1\n'));
});

test('HeldProcess tells whom a process runs as', async () => {
  const child = startSleeper();
  using held = HeldProcess.open(child.pid);
  deepEqual(held?.owner(), { uid: process.geteuid?.(), gid: process.getegid?.() });
  child.kill('SIGKILL');
  await once(child, 'exit');
  equal(held?.owner(), undefined);
});

const python = spawnSync('python3', ['-c', 'import ctypes']).status === 0;
const withoutPython = python
  ? false
  : 'needs python3, which can end a thread: apt-get install python3';

test('HeldProcess reads a process whose first thread has ended', {
  skip: withoutPython,
}, async () => {
  const exit = process.arch === 'arm64' ? 93 : 60;
  const program = `
import ctypes, os, threading, time
def wait():
  while open('/proc/self/task/%d/stat' % os.getpid()).read().split(') ')[1][0] != 'Z': time.sleep(0.01)
  print('zombie', flush=True)
  time.sleep(60)
threading.Thread(target=wait).start()
ctypes.CDLL(None).syscall(${exit}, 0)
`;
  const child = spawn('python3', ['-c', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    // What a look at the process alone would find.
    throws(() => readlinkSync(`/proc/${child.pid}/ns/mnt`), { code: 'ENOENT' });
    using held = HeldProcess.open(child.pid ?? 0);
    equal(held?.ended, false);
    const { mnt } = held?.namespaces() ?? {};
    equal(readlinkSync('/proc/self/ns/mnt'), `mnt:[${mnt}]`);
    ok(held?.read('mountinfo')?.includes(' / '));
    const rootFd = held?.openRoot();
    ok(rootFd !== undefined);
    close(rootFd);
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    equal(held?.ended, true);
    equal(held?.openRoot(), undefined);
  } finally {
    child.kill('SIGKILL');
  }
});

test('HeldProcess.openSame refuses a process with another start time', () => {
  const child = startSleeper();
  try {
    using held = HeldProcess.open(child.pid);
    ok(held !== undefined);
    const { pid, startTicks } = held;
    using same = HeldProcess.openSame({ pid, startTicks });
    notEqual(same, undefined);
    equal(HeldProcess.openSame({ pid, startTicks: startTicks + 1 }), undefined);
  } finally {
    child.kill('SIGKILL');
  }
});

test('a process cannot choose its start time by its name', () => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-name-'));
  // What follows the last parenthesis counts; after the first, this name tells of another time.
  const path = join(directory, 'a) S 1 2 3 4');
  copyFileSync('/bin/sleep', path);
  const children = [spawn(path, ['60']), spawn('/bin/sleep', ['60'])];
  try {
    const [named, plain] = children.map((child) => HeldProcess.open(child.pid ?? 0));
    ok(named !== undefined && plain !== undefined);
    const apart = Math.abs(named.startTicks - plain.startTicks);
    ok(apart < 1000, `both were started now, ${apart} ticks apart`);
    ok(readFileSync(`/proc/${named.pid}/stat`, 'utf8').includes('(a) S 1 2 3 4)'), 'control');
    for (const held of [named, plain]) held[Symbol.dispose]();
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  }
});

test('a process that has ended and was not waited for has ended', async () => {
  // The shell becomes a sleep, which waits for nobody: its child stays as a zombie.
  const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    const [said] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(said.toString());
    using held = HeldProcess.open(pid);
    ok(held !== undefined && !held.ended, 'control');
    process.kill(pid, 'SIGKILL');
    const isZombie = (): boolean => readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
    await until('it is a zombie', isZombie);
    equal(held.ended, true);
    equal(HeldProcess.open(pid), undefined);
  } finally {
    parent.kill('SIGKILL');
  }
});

test('signalProcess signals the process that is meant and no other', async () => {
  const child = startSleeper();
  using held = HeldProcess.open(child.pid);
  ok(held !== undefined);
  const identity = { pid: held.pid, startTicks: held.startTicks };
  equal(signalProcess({ ...identity, startTicks: identity.startTicks + 1 }, 'SIGKILL'), false);
  equal(child.signalCode, null);
  const exited = once(child, 'exit');
  equal(signalProcess(identity, 'SIGUSR1'), true);
  const [, signal] = await exited;
  equal(signal, 'SIGUSR1');
  equal(signalProcess(identity, 'SIGUSR1'), false);
});

test('HeldProcess leaves no descriptor behind', async () => {
  const count = (): number => readdirSync('/proc/self/fd').length;
  const child = startSleeper();
  const before = count();
  for (let round = 0; round < 200; round += 1) {
    using held = HeldProcess.open(child.pid);
    equal(HeldProcess.openSame({ pid: child.pid, startTicks: 1 }), undefined);
    held?.read('cgroup');
    held?.outsideId('uid', 0);
  }
  equal(count(), before);
  child.kill('SIGKILL');
  await once(child, 'exit');
});

test('mapOutside finds an id in the range that holds it', () => {
  const ranges = parseIdMap('         0       1000          1\n         1     100000      65536\n');
  deepEqual(
    [0, 1, 33, 65536, 65537].map((id) => mapOutside(ranges, id)),
    [1000, 100000, 100032, 165535, undefined],
  );
  fc.assert(
    fc.property(fc.nat(65535), (id) => {
      equal(mapOutside(ranges, id + 1), 100000 + id);
    }),
  );
});
