/**
 * What must not be left behind when this process ends before it has tidied up: by a signal, an exit, or
 * an error that nobody caught. For benches, and for whatever starts an installation.
 *
 * Does not promise: anything after SIGKILL.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const pending = new Set<() => void>();

/** Called when this process exits, unless it is disposed of before. Must be synchronous. */
export function atExit(act: () => void): Disposable {
  if (pending.size === 0) process.on('exit', runPending);
  pending.add(act);
  return {
    [Symbol.dispose]() {
      pending.delete(act);
      if (pending.size === 0) process.off('exit', runPending);
    },
  };
}

function runPending(): void {
  // The last first, as if disposed of: who writes into a directory ends before the directory.
  for (const act of [...pending].toReversed()) {
    try {
      act();
    } catch {
      // One that fails must not keep the others.
    }
  }
}

/** By themselves these signals end a process without any farewell. */
export function exitOnSignals(): void {
  for (const [signal, number] of [
    ['SIGHUP', 1],
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    process.on(signal, () => process.exit(128 + number));
  }
}

export interface TemporaryDirectory extends Disposable {
  readonly path: string;
}

export function temporaryDirectory(prefix: string, parent = tmpdir()): TemporaryDirectory {
  const path = mkdtempSync(join(parent, prefix));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  const left = atExit(remove);
  return {
    path,
    [Symbol.dispose]() {
      left[Symbol.dispose]();
      remove();
    },
  };
}

/** A child that does not outlive this process. */
export function endsWithUs<Child extends ChildProcess>(child: Child): Child {
  const left = atExit(() => child.kill('SIGKILL'));
  child.once('exit', () => left[Symbol.dispose]());
  return child;
}
