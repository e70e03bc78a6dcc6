/**
 * Who uses a shared test engine: one file per user, named for its process, so that users which died
 * without saying goodbye are told from those that live.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HeldProcess } from '../linux/process.ts';

/** Ticks from boot to the start of a process, or undefined if there is none. With the pid, an identity. */
export function startTicksOf(pid: number): number | undefined {
  // The name of a file, or a program that did not start.
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  using held = HeldProcess.open(pid);
  return held?.startTicks;
}

/** `PID-TICKS-N`: this process, for the `count`-th time. */
export function holderName(count: number): string {
  return `${process.pid}-${startTicksOf(process.pid)}-${count}`;
}

export function isHolderAlive(name: string): boolean {
  const [pid, ticks] = name.split('-').map(Number);
  return pid !== undefined && ticks !== undefined && startTicksOf(pid) === ticks;
}

export function addHolder(runDirectory: string, name: string): void {
  mkdirSync(join(runDirectory, 'holders'), { recursive: true, mode: 0o700 });
  writeFileSync(join(runDirectory, 'holders', name), '');
}

export function removeHolder(runDirectory: string, name: string): void {
  rmSync(join(runDirectory, 'holders', name), { force: true });
}

/** The living ones; files of dead ones are removed. */
export function livingHolders(runDirectory: string): readonly string[] {
  return holdersIn(runDirectory).filter((name) => {
    if (isHolderAlive(name)) return true;
    removeHolder(runDirectory, name);
    return false;
  });
}

function holdersIn(runDirectory: string): readonly string[] {
  try {
    return readdirSync(join(runDirectory, 'holders'));
  } catch {
    return [];
  }
}

/**
 * An exclusive lock between processes, through flock(1) of util-linux: given back by the kernel if
 * this process dies.
 */
export async function lock(path: string): Promise<AsyncDisposable> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const child = spawn('flock', ['--exclusive', path, 'sh', '-c', 'echo locked; cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  const locked = once(child.stdout, 'data');
  await Promise.race([
    locked,
    ended.then(() => {
      throw new Error(`flock ended without locking ${path}`);
    }),
  ]);
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
