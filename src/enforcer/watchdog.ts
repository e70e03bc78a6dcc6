/**
 * The watchdog: wipes what an enforcer left in containers when nobody has heard the gateway for a
 * lease and nobody else has wiped it.
 *
 * Promises
 *   - Within ten seconds of a lease's end every set on it is wiped, whether the enforcer was killed,
 *     hangs, or is stopped; counted on the boot clock.
 *   - It ends by itself once there is nothing to watch and no enforcer lives.
 * Does not promise
 *   - Anything when both are dead. Run the enforcer under a supervisor that restarts it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { FoundMount, Mounts } from './mount/mount.ts';
import { expired, type Holding } from './reconcile.ts';
import { mountIdOf, type RememberedState } from './remembered.ts';
import { RememberedFile } from './remembered-file.ts';

export interface WatchdogOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly runDirectory: string;
  /** Opened only when there is something to wipe: it costs a thread. */
  readonly openMounts: () => Promise<Mounts>;
  readonly signal: AbortSignal;
}

const lookEveryMs = 1000;
/** A living enforcer wipes first; this is how long it may take. */
const graceMs = 4000;
/** For mounts of which nothing is remembered but the container. */
const leaseMsUnknown = 10 * 60_000;

export async function runWatchdog(options: WatchdogOptions): Promise<void> {
  const { clock, log, runDirectory, signal } = options;
  const file = new RememberedFile({ directory: runDirectory, clock, log });
  const pidFile = join(runDirectory, 'watchdog.pid');
  writeFileSync(pidFile, String(process.pid), { mode: 0o600 });
  let wipedAtMs = -1;
  while (!signal.aborted) {
    await clock.sleep(lookEveryMs, signal).catch(() => {});
    // Two would do no harm, but one is enough: the newest stays.
    if (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') !== String(process.pid)) return;
    const state = file.load();
    if (!state) continue;
    const due = dueNow(state, clock.bootMs());
    // Nothing new was heard or placed since the last wipe: it is done.
    if (due.length === 0 || wipedAtMs === state.heardAtBootMs) continue;
    log.warn('watchdog.wipes', { containers: due.length });
    await wipe(options, state, due);
    wipedAtMs = state.heardAtBootMs;
  }
}

type Found = RememberedState['processes'][number];

/** Containers in which something may have outlived its lease. */
export function dueNow(state: RememberedState, nowMs: number): readonly Found[] {
  const late = nowMs - graceMs;
  const over = new Set(
    expired(state.holdings, state.heardAtBootMs, late).map(({ workloadId }) => workloadId),
  );
  const known = new Set(state.holdings.map(({ workloadId }) => workloadId));
  const longSilent = late - state.heardAtBootMs >= leaseMsUnknown;
  return state.processes.filter(
    ({ workloadId }) => over.has(workloadId) || (longSilent && !known.has(workloadId)),
  );
}

async function wipe(
  options: WatchdogOptions,
  state: RememberedState,
  due: readonly Found[],
): Promise<void> {
  const { log, clock } = options;
  const mounts = await options.openMounts();
  const kept = new Set(
    state.holdings
      .filter(
        (holding: Holding) =>
          holding.keepOnLeaseLoss ||
          clock.bootMs() - graceMs < state.heardAtBootMs + holding.leaseMs,
      )
      .map(mountIdOf),
  );
  try {
    for (const { workloadId, process: container } of due) {
      for (const found of await findIn(mounts, container)) {
        if (kept.has(found.id)) continue;
        try {
          await mounts.adopt(found.id, { process: container, target: found.target });
          const { outcome } = await mounts.withdraw(found.id);
          log.warn('watchdog.wiped', { workload: workloadId, target: found.target, outcome });
        } catch (error) {
          // Something inside may pretend to be ours: that must not save the others.
          log.error('watchdog.failed', { workload: workloadId, ...errorFields(error) });
        }
      }
    }
  } finally {
    await mounts.close();
  }
}

/** A container that has ended holds nothing. */
async function findIn(mounts: Mounts, container: Found['process']): Promise<readonly FoundMount[]> {
  try {
    return await mounts.find(container);
  } catch {
    return [];
  }
}
