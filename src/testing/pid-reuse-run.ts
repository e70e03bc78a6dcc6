/**
 * A program that is the first process of a PID namespace with few numbers, in a storm of short-lived
 * processes: each of its own children dies, and its number is another's a moment later. It asks for the
 * dead ones and says in JSON whom it got. Its argument is how many processes the storm must have had.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../base/fault.ts';
import { HeldProcess, type ProcessIdentity, signalProcess } from '../linux/process.ts';
import { setOf, TestMounts } from './mount-setup.ts';

export interface PidReuse {
  readonly forks: number;
  /** Numbers of dead children that somebody else had when they were asked for. */
  readonly reused: number;
  /** Somebody else was taken for the dead child. */
  readonly wrong: readonly string[];
  /** Controls: by number alone, and by what the other one is known by, it was reached. */
  readonly signalled: number;
  readonly reached: number;
}

/** Enough for all of them, and so few that they come round several times a second. */
const pidMax = 500;
/** Those up to here the kernel gives once only. */
const pidOnceMax = 300;
const askedAtOnce = 10;
const batch = 50;
const storms = 2;
const storm = `while :; do
  i=0
  while [ $i -lt ${batch} ]; do sleep 0.03 & i=$((i + 1)); done
  wait
  printf .
done`;

const mountNamespace = statSync('/proc/self/ns/mnt').ino;

/** Whoever has the number now; waits until somebody has. */
async function bearerOf(pid: number): Promise<ProcessIdentity> {
  for (;;) {
    using held = HeldProcess.open(pid);
    if (held) return { pid, startTicks: held.startTicks };
    await sleep(1);
  }
}

async function run(forksMin: number): Promise<PidReuse> {
  writeFileSync('/proc/sys/kernel/pid_max', `${pidMax}`);
  await using opened = new TestMounts();
  const placed = (process: ProcessIdentity): Promise<string> => {
    const place = { process: { ...process, mountNamespace }, target: '/run/secrets' };
    return opened.mounts.place('reused', place, setOf(1, { a: 'b' })).then(() => 'placed', codeOf);
  };
  const seen = { forks: 0, reused: 0, signalled: 0, reached: 0 };
  for (let count = 0; count < storms; count += 1) {
    const child = spawn('sh', ['-c', storm], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.on('data', (dots: Buffer) => (seen.forks += dots.length * batch));
  }
  const wrong: string[] = [];
  const ask = async (): Promise<void> => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    using held = HeldProcess.open(child.pid ?? 0);
    if (!held) throw new Error('the child does not live');
    const { pid, startTicks } = held;
    child.kill('SIGKILL');
    await once(child, 'exit');
    if (pid <= pidOnceMax) return;
    const other = await bearerOf(pid);
    seen.reused += 1;
    using same = HeldProcess.openSame({ pid, startTicks });
    if (same) wrong.push('opened');
    if (!held.ended || held.read('status') !== undefined) wrong.push('read');
    if (signalProcess({ pid, startTicks }, 'SIGKILL')) wrong.push('signalled');
    const outcome = await placed({ pid, startTicks });
    if (outcome !== 'mount.process-gone') wrong.push(outcome);
    // It is in this namespace, where nothing is ever mounted: it was found, and refused for that.
    if ((await placed(other)) === 'mount.namespace-own') seen.reached += 1;
    if (signalProcess(await bearerOf(pid), 'SIGCONT')) seen.signalled += 1;
  };
  while (seen.forks < forksMin) await Promise.all(Array.from({ length: askedAtOnce }, ask));
  return { ...seen, wrong };
}

process.stdout.write(JSON.stringify(await run(Number(process.argv[2]))));
process.exit(0);
