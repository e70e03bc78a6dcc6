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
import type { Clock } from '../base/clock.ts';
import { isFault } from '../base/fault.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { Mounts } from './mount/mount.ts';
import { type Holding, leaseBeganMs, leaseEndsMs } from './reconcile.ts';
import { mountIdOf, type RememberedState } from './remembered.ts';

export interface WatchdogOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** What the enforcer remembers. */
  readonly load: () => RememberedState | undefined;
  readonly enforcerLives: () => boolean;
  /** Two would do no harm, but one is enough: the newest stays. */
  readonly isInCharge: () => boolean;
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

type Found = RememberedState['processes'][number];

export class Watchdog {
  readonly #options: WatchdogOptions;
  /** Per workload: what has been wiped there. */
  readonly #done = new Map<string, string>();
  /** Workloads whose wipe has begun and does not end. */
  readonly #stuck = new Set<string>();

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** Until there is nothing to watch, another one is in charge, or the signal aborts. */
  async run(): Promise<void> {
    const { clock, log, load, enforcerLives, isInCharge, signal } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs, signal).catch(() => {});
      if (signal.aborted || !isInCharge()) return;
      const state = load();
      if (state) await this.look(state);
      if (!enforcerLives() && !(state && this.#mayFallDue(state))) {
        log.info('watchdog.done');
        return;
      }
    }
  }

  /** What `run` does each time: wipes what is due. */
  async look(state: RememberedState): Promise<void> {
    const { clock, log, openMounts } = this.#options;
    const due = dueTargets(state, clock.bootMs());
    const containers = state.processes.filter(({ workloadId }) => {
      const targets = due.get(workloadId);
      return (
        targets !== undefined &&
        !this.#stuck.has(workloadId) &&
        this.#done.get(workloadId) !== targets
      );
    });
    if (containers.length === 0) return;
    log.warn('watchdog.wipes', { containers: containers.length });
    let mounts = await openMounts();
    for (const container of containers) {
      const { workloadId } = container;
      const note = (isWiped: boolean): void => {
        if (isWiped) this.#done.set(workloadId, due.get(workloadId) ?? '');
      };
      const used = mounts;
      const ended = this.#wipe(state, container, mounts);
      if (await isWithin(clock, stuckAfterMs, ended)) {
        note(await ended);
        if (await ended) continue;
        // It may have ended its thread.
        await used.close();
      } else {
        log.error('watchdog.stuck', { workload: workloadId });
        this.#stuck.add(workloadId);
        void ended.then(async (isWiped) => {
          note(isWiped);
          this.#stuck.delete(workloadId);
          await used.close();
        });
      }
      mounts = await openMounts();
    }
    await mounts.close();
  }

  /** Whether anything is left to wipe later, if nobody hears the gateway again. */
  #mayFallDue(state: RememberedState): boolean {
    const known = new Set(state.holdings.map(({ workloadId }) => workloadId));
    const leased = targetsByWorkload(state, (holding) => !holding.keepOnLeaseLoss);
    return state.processes.some(({ workloadId }) => {
      const owed = known.has(workloadId) ? leased.get(workloadId) : unknownTargets(state);
      return owed !== undefined && this.#done.get(workloadId) !== owed;
    });
  }

  /** @returns whether nothing is left to do here; else it is tried again. */
  async #wipe(state: RememberedState, container: Found, mounts: Mounts): Promise<boolean> {
    const { clock, log } = this.#options;
    const { workloadId, process: where } = container;
    const lateMs = clock.bootMs() - graceMs;
    const kept = new Set(
      state.holdings
        .filter((holding) => leaseEndsMs(holding, state.heardAtBootMs) > lateMs)
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

/** Per workload: what is to be wiped there. */
function dueTargets(state: RememberedState, nowMs: number): ReadonlyMap<string, string> {
  const lateMs = nowMs - graceMs;
  const { heardAtBootMs } = state;
  const due = targetsByWorkload(state, (holding) => leaseEndsMs(holding, heardAtBootMs) <= lateMs);
  if (lateMs - heardAtBootMs < leaseMsUnknown) return due;
  const known = new Set(state.holdings.map(({ workloadId }) => workloadId));
  const others = state.processes.filter(({ workloadId }) => !known.has(workloadId));
  return new Map([
    ...due,
    ...others.map(({ workloadId }) => [workloadId, unknownTargets(state)] as const),
  ]);
}

/** As one text: the directories, and the silence in which they are wiped. In the next one they are again. */
function targetsByWorkload(
  { holdings, heardAtBootMs }: RememberedState,
  isMeant: (holding: Holding) => boolean,
): ReadonlyMap<string, string> {
  const targets = new Map<string, string>();
  for (const holding of holdings) {
    if (!isMeant(holding)) continue;
    const { workloadId, target } = holding;
    const text = `${target} ${leaseBeganMs(holding, heardAtBootMs)}`;
    targets.set(workloadId, `${targets.get(workloadId) ?? ''} ${text}`);
  }
  return targets;
}

/** Of a workload in which no set is remembered, but may have been placed in the last moment. */
function unknownTargets({ heardAtBootMs }: RememberedState): string {
  return `unknown ${heardAtBootMs}`;
}
