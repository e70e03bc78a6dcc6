/** G44: no signal makes a program of ours write its memory down, or open a door to it. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock as clock } from '../../src/base/clock.ts';
import { type Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import type { MarkedValues } from './residue.ts';

/** Node opens its inspector on the first; none of them ends a program of ours. */
const harmless = ['SIGUSR1', 'SIGWINCH', 'SIGURG', 'SIGCHLD', 'SIGCONT', 'SIGPIPE'] as const;
/** The kernel dumps core on most of them. */
const fatalAlways = ['SIGQUIT', 'SIGSEGV', 'SIGUSR2'] as const;
const fatalMore = [
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGTRAP',
  'SIGSYS',
  'SIGXCPU',
  'SIGHUP',
] as const;
const fatal = [...fatalAlways, ...fatalMore].slice(0, times(fatalAlways.length, 99));
const programs = ['gateway', 'enforcer'] as const;

/** Whoever starts this process' children may have core dumps of any size; they lie in `directory`. */
export function allowCoreDumps(directory: string): void {
  process.chdir(directory);
  spawnSync('prlimit', ['--pid', String(process.pid), '--core=unlimited']);
}

export async function harmlessSignals(story: Story): Promise<void> {
  for (const name of programs) {
    const pid = pidOf(story, name);
    const before = listenersOf(pid);
    const files = readdirSync('.');
    ok(before.length === (name === 'gateway' ? 2 : 0), 'its own ports');
    for (const signal of harmless) process.kill(pid, signal);
    await clock.sleep(500);
    deepEqual(listenersOf(pid), before, `${name} opens no port`);
    deepEqual(readdirSync('.'), files, `${name} writes no file`);
    equal(readFileSync(`/proc/${pid}/coredump_filter`, 'utf8').trim(), '00000000', name);
  }
}

export async function fatalSignals(story: Story, values: MarkedValues): Promise<void> {
  const { installation } = story;
  for (const signal of fatal) {
    for (const name of programs) {
      await installation[name]?.stop(signal);
      const left = readdirSync('.');
      const snapshots = left.filter((file) => !file.startsWith('core'));
      deepEqual(snapshots, [], `${signal} to ${name}: no snapshot, no report`);
      // One of the gateway names its threads and registers, and has no page of memory.
      if (name === 'enforcer') deepEqual(left, [], `${signal} to ${name}: no core dump`);
      for (const file of left) {
        equal(values.countInBytes(readFileSync(file)).ends, 0, `${signal} to ${name}: ${file}`);
        rmSync(file);
      }
    }
    await installation.startGateway();
    await installation.startEnforcer();
  }
}

/** Control: Node as it is usually started opens its inspector, and this search finds it. */
export async function inspectorIsFound(): Promise<void> {
  const argv = [
    '--inspect-port=0',
    '-e',
    'setInterval(() => {}, 1000); process.stdout.write("up")',
  ];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    await once(child.stdout, 'data');
    const pid = child.pid ?? 0;
    deepEqual(listenersOf(pid), []);
    child.kill('SIGUSR1');
    await until('a port is found', () => listenersOf(pid).length > 0);
  } finally {
    child.kill('SIGKILL');
  }
}

/** Control: an ordinary program's core dump shows what it held. */
export async function coreDumpIsFound(t: TestContext, values: MarkedValues): Promise<void> {
  if (/^[|/]/.test(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'))) {
    t.skip('core dumps lie elsewhere: sysctl kernel.core_pattern=core');
    return;
  }
  const child = spawn('sh', ['-c', 'read kept; echo kept; read more'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  child.stdin.write(`${values.value(1)}\n`);
  await once(child.stdout, 'data');
  child.kill('SIGABRT');
  await ended;
  const [core = ''] = readdirSync('.').filter((file) => file.startsWith('core'));
  ok(values.countInBytes(readFileSync(core)).ends > 0);
  rmSync(core);
}

export function pidOf(story: Story, name: (typeof programs)[number]): number {
  return story.installation[name]?.child.pid ?? 0;
}

/** Inodes of the TCP sockets on which a process listens. */
function listenersOf(pid: number): readonly string[] {
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(join(`/proc/${pid}/fd`, fd));
      } catch {
        return '';
      }
    }),
  );
  const isListening = '0A';
  return ['tcp', 'tcp6']
    .flatMap((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, , , state, , , , , , inode]) => state === isListening && own.has(`socket:[${inode}]`),
    )
    .map((fields) => fields[9] ?? '')
    .toSorted();
}
