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
  const pidFile = join(runDirectory, 'watchdog.pid');
  // Started too late to be of use: another one watches what our enforcer left.
  if (!enforcerLives() && isWatchdog(watchdogIn(pidFile))) return;
  const file = new RememberedFile({ ...options, place: placeIn(runDirectory) });
  writeFileSync(pidFile, String(process.pid), { mode: 0o600 });
  const isInCharge = (): boolean => watchdogIn(pidFile) === process.pid;
  await new Watchdog({ ...options, load: () => file.load(), isInCharge }).run();
}

/** The process id of the watchdog in charge, if it runs. */
export function livingWatchdog(runDirectory: string): number | undefined {
  const pid = watchdogIn(join(runDirectory, 'watchdog.pid'));
  return isWatchdog(pid) ? pid : undefined;
}

/** Of the watchdog in charge; 0 where there is none. */
function watchdogIn(pidFile: string): number {
  try {
    return Number(readFileSync(pidFile, 'utf8'));
  } catch {
    return 0;
  }
}

/** Numbers are used again, so its arguments are looked at too. */
function isWatchdog(pid: number): boolean {
  try {
    return pid > 1 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0watchdog\0');
  } catch {
    return false;
  }
}
