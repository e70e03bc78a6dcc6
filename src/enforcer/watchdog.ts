/**
 * The watchdog: wipes what an enforcer left in containers when nobody has heard the gateway for a
 * lease and nobody else has wiped it.
 *
 * Promises
 *   - Within ten seconds of a lease's end every set on it is wiped, whether the enforcer was killed,
 *     hangs, or is stopped; counted on the boot clock.
 *   - A container in which that fails or never ends keeps it from no other one, but for a moment.
 *   - It ends by itself once there is nothing to watch and no enforcer lives.
 * Does not promise
 *   - Anything when both are dead. Run the enforcer under a supervisor that restarts it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { isFault } from '../base/fault.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { Mounts } from './mount/mount.ts';
import { expired, type Holding } from './reconcile.ts';
import { mountIdOf, type RememberedState } from './remembered.ts';
import { RememberedFile } from './remembered-file.ts';

export interface WatchdogOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly runDirectory: string;
  readonly enforcerLives: () => boolean;
  /** Opened only when there is something to wipe: it costs a thread. */
  readonly openMounts: () => Promise<Mounts>;
  readonly signal: AbortSignal;
}

const lookEveryMs = 1000;
/** A living enforcer wipes first; this is how long it may take. */
const graceMs = 4000;
/** For mounts of which nothing is remembered but the container. */
const leaseMsUnknown = 10 * 60_000;
/** A container takes milliseconds. One that takes longer holds up its thread: the others get a new one. */
const stuckAfterMs = 2000;

export async function runWatchdog(options: WatchdogOptions): Promise<void> {
  const { clock, log, runDirectory, signal } = options;
  // Gone with its installation while we were starting: nothing was left behind.
  if (!existsSync(runDirectory)) return;
  const pidFile = join(runDirectory, 'watchdog.pid');
  // Started too late to be of use: another one watches what our enforcer left.
  if (!options.enforcerLives() && isWatchdog(watchdogIn(pidFile))) return;
  const file = new RememberedFile({ directory: runDirectory, clock, log });
  writeFileSync(pidFile, String(process.pid), { mode: 0o600 });
  /** Per workload: what has been wiped there, and in which silence. */
  const done = new Map<string, string>();
  const wiping: Wiping = { done, stuck: new Set() };
  while (!signal.aborted) {
    await clock.sleep(lookEveryMs, signal).catch(() => {});
    // Two would do no harm, but one is enough: the newest stays.
    if (watchdogIn(pidFile) !== process.pid) return;
    const state = file.load();
    if (state) await wipeDue(options, state, wiping);
    if (!options.enforcerLives() && !(state && mayFallDue(state, done))) {
      log.info('watchdog.done');
      return;
    }
  }
}

interface Wiping {
  readonly done: Map<string, string>;
  /** Workloads whose wipe has begun and does not end. */
  readonly stuck: Set<string>;
}

async function wipeDue(
  options: WatchdogOptions,
  state: RememberedState,
  { done, stuck }: Wiping,
): Promise<void> {
  const due = dueTargets(state, options.clock.bootMs());
  const containers = state.processes.filter(({ workloadId }) => {
    const what = due.get(workloadId);
    if (stuck.has(workloadId)) return false;
    return what !== undefined && done.get(workloadId) !== `${state.heardAtBootMs} ${what}`;
  });
  if (containers.length === 0) return;
  options.log.warn('watchdog.wipes', { containers: containers.length });
  let mounts = await options.openMounts();
  for (const container of containers) {
    const { workloadId } = container;
    const note = (isWiped: boolean): void => {
      if (isWiped) done.set(workloadId, `${state.heardAtBootMs} ${due.get(workloadId)}`);
    };
    const used = mounts;
    const ended = wipe(options, { state, container, mounts });
    if (await isWithin(options.clock, stuckAfterMs, ended)) {
      note(await ended);
      if (await ended) continue;
      // It may have ended its thread.
      await used.close();
    } else {
      options.log.error('watchdog.stuck', { workload: workloadId });
      stuck.add(workloadId);
      void ended.then(async (isWiped) => {
        note(isWiped);
        stuck.delete(workloadId);
        await used.close();
      });
    }
    mounts = await options.openMounts();
  }
  await mounts.close();
}

async function isWithin(clock: Clock, ms: number, ended: Promise<unknown>): Promise<boolean> {
  const waited = new AbortController();
  const late = clock.sleep(ms, waited.signal).then(
    () => false,
    () => false,
  );
  const isIn = await Promise.race([ended.then(() => true), late]);
  waited.abort();
  return isIn;
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

type Found = RememberedState['processes'][number];

/** Of a workload in which no set is remembered, but may have been placed in the last moment. */
const unknown = 'unknown';

/** Containers in which something may have outlived its lease. */
export function dueNow(state: RememberedState, nowMs: number): readonly Found[] {
  const due = dueTargets(state, nowMs);
  return state.processes.filter(({ workloadId }) => due.has(workloadId));
}

/** Per workload: the directories whose lease is over, as one text. */
function dueTargets(state: RememberedState, nowMs: number): ReadonlyMap<string, string> {
  const late = nowMs - graceMs;
  const due = targetsByWorkload(expired(state.holdings, state.heardAtBootMs, late));
  if (late - state.heardAtBootMs < leaseMsUnknown) return due;
  const known = new Set(state.holdings.map(({ workloadId }) => workloadId));
  const others = state.processes.filter(({ workloadId }) => !known.has(workloadId));
  return new Map([...due, ...others.map(({ workloadId }) => [workloadId, unknown] as const)]);
}

/** Whether anything is left to wipe later, if nobody hears the gateway again. */
function mayFallDue(state: RememberedState, done: ReadonlyMap<string, string>): boolean {
  const known = new Set(state.holdings.map(({ workloadId }) => workloadId));
  const leased = targetsByWorkload(state.holdings.filter((holding) => !holding.keepOnLeaseLoss));
  return state.processes.some(({ workloadId }) => {
    const owed = known.has(workloadId) ? leased.get(workloadId) : unknown;
    return owed !== undefined && done.get(workloadId) !== `${state.heardAtBootMs} ${owed}`;
  });
}

function targetsByWorkload(holdings: readonly Holding[]): Map<string, string> {
  const targets = new Map<string, string>();
  for (const { workloadId, target } of holdings) {
    targets.set(workloadId, `${targets.get(workloadId) ?? ''} ${target}`);
  }
  return targets;
}

/** @returns whether nothing is left to do here; else it is tried again. */
async function wipe(
  { log, clock }: WatchdogOptions,
  {
    state,
    container,
    mounts,
  }: { readonly state: RememberedState; readonly container: Found; readonly mounts: Mounts },
): Promise<boolean> {
  const { workloadId, process: where } = container;
  const kept = new Set(
    state.holdings
      .filter(
        ({ keepOnLeaseLoss, leaseMs }) =>
          keepOnLeaseLoss || clock.bootMs() - graceMs < state.heardAtBootMs + leaseMs,
      )
      .map(mountIdOf),
  );
  let isWiped = true;
  const failed = (error: unknown): void => {
    log.error('watchdog.failed', { workload: workloadId, ...errorFields(error) });
    isWiped &&= isFault(error, 'mount.foreign') || isFault(error, 'mount.process-gone');
  };
  for (const found of (await mounts.find(where).catch(failed)) ?? []) {
    // What bears another name is not what we made here.
    if (found.id !== mountIdOf({ workloadId, target: found.target })) continue;
    if (kept.has(found.id)) continue;
    try {
      await mounts.adopt(found.id, { process: where, target: found.target });
      const { outcome } = await mounts.withdraw(found.id);
      log.warn('watchdog.wiped', { workload: workloadId, target: found.target, outcome });
    } catch (error) {
      // Something inside may pretend to be ours: that must not save the others.
      failed(error);
    }
  }
  return isWiped;
}
