/** The watchdog as a program of its own: what it reads, and which of several is in charge. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { placeIn, RememberedFile } from './remembered-file.ts';
import { Watchdog, type WatchdogOptions } from './watchdog.ts';

export interface RunWatchdogOptions extends Omit<WatchdogOptions, 'load' | 'isInCharge'> {
  readonly runDirectory: string;
}

export async function runWatchdog(options: RunWatchdogOptions): Promise<void> {
  const { runDirectory, enforcerLives } = options;
  // Gone with its installation while we were starting: nothing was left behind.
  if (!existsSync(runDirectory)) return;
  // Started too late to be of use: another one watches what our enforcer left.
  if (!enforcerLives() && livingWatchdog(runDirectory) !== undefined) return;
  const file = new RememberedFile({ ...options, place: placeIn(runDirectory) });
  writeFileSync(pidFileIn(runDirectory), String(process.pid), { mode: 0o600 });
  const isInCharge = (): boolean => watchdogIn(runDirectory) === process.pid;
  await new Watchdog({ ...options, load: () => file.load(), isInCharge }).run();
}

/** The process id of the watchdog in charge, if it runs. */
export function livingWatchdog(runDirectory: string): number | undefined {
  const pid = watchdogIn(runDirectory);
  return isWatchdog(pid, runDirectory) ? pid : undefined;
}

function pidFileIn(runDirectory: string): string {
  return join(runDirectory, 'watchdog.pid');
}

/** Of the watchdog in charge; 0 where there is none. */
function watchdogIn(runDirectory: string): number {
  try {
    return Number(readFileSync(pidFileIn(runDirectory), 'utf8'));
  } catch {
    return 0;
  }
}

/** Numbers are used again, also by watchdogs of other directories, so its arguments are looked at too. */
function isWatchdog(pid: number, runDirectory: string): boolean {
  const words = ['', ...watchdogArguments(runDirectory), ''].join('\0');
  try {
    return pid > 1 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(words);
  } catch {
    return false;
  }
}

/** What a watchdog is started with, and known by. */
export function watchdogArguments(runDirectory: string): readonly string[] {
  return ['watchdog', '--run-directory', runDirectory];
}
