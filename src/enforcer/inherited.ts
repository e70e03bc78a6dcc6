/**
 * Inherited sets: what an earlier enforcer left in containers into which nobody has looked since, or not in
 * full. All that is known of them is what it remembered.
 *
 * Promises
 *   - Each stays on the lease that it had, though the gateway is heard: it does not know of them.
 *   - They can be wiped without the engine: the process that was remembered leads to them.
 *   - A set is gone only if its container was looked into and it was not there. What cannot be looked at
 *     stays inherited.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, isFault } from '../base/fault.ts';
import { errorFields, type Log } from '../base/log.ts';
import { type SetKey, setKeyText, unknownTerms } from '../model/assignment.ts';
import type { WorkloadProcess } from '../model/workload.ts';
import type { FoundMount, Mounts } from './mount/mount.ts';
import type { PlaceRevision } from './newest.ts';
import type { Holding } from './reconcile.ts';
import { adoptedHolding, mountIdOf, type Remains, type RememberedState } from './remembered.ts';

export interface InheritedOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly mounts: Pick<Mounts, 'find' | 'adopt' | 'withdraw'>;
}

/** What came of looking into one container. */
export interface TakenUp {
  readonly holdings: readonly Holding[];
  /** What had been placed there and is not there any more. */
  readonly gone: readonly Holding[];
  /** Else what is left must be looked at again. */
  readonly isWhole: boolean;
}

interface Place {
  readonly id: string;
  readonly process: WorkloadProcess;
}

export class Inherited {
  readonly #options: InheritedOptions;
  readonly #processes = new Map<string, WorkloadProcess>();
  readonly #holdings = new Map<string, Holding>();
  #newest: readonly PlaceRevision[] = [];

  constructor(options: InheritedOptions) {
    this.#options = options;
  }

  resume(state: RememberedState): void {
    for (const { workloadId, process } of state.processes) this.#processes.set(workloadId, process);
    for (const holding of state.holdings) {
      if (!this.#processes.has(holding.workloadId)) continue;
      const heardAtBootMs = holding.heardAtBootMs ?? state.heardAtBootMs;
      this.#holdings.set(setKeyText(holding), { ...holding, heardAtBootMs });
    }
    this.#newest = state.newest;
  }

  get holdings(): Iterable<Holding> {
    return this.#holdings.values();
  }

  get remains(): Remains {
    const processes = [...this.#processes].map(([workloadId, process]) => ({
      workloadId,
      process,
    }));
    return { processes, holdings: [...this.#holdings.values()], newest: this.#newest };
  }

  get(key: SetKey): Holding | undefined {
    return this.#holdings.get(setKeyText(key));
  }

  /** It is held, or gone. */
  forget(key: SetKey): void {
    this.#holdings.delete(setKeyText(key));
  }

  /** Nothing is left there that is not known otherwise. */
  forgetWorkload(workloadId: string): void {
    if (!this.#processes.delete(workloadId)) return;
    for (const holding of this.#holdings.values()) {
      if (holding.workloadId === workloadId) this.forget(holding);
    }
    this.#newest = this.#newest.filter((place) => place.workloadId !== workloadId);
  }

  /**
   * Takes up every set of ours that is found in a container. What was found is to be held, or forgotten.
   *
   * @param isHeld - Whether it need not be taken up.
   */
  async takeUp(workload: Place, isHeld: (key: SetKey) => boolean): Promise<TakenUp> {
    const { mounts, log } = this.#options;
    const holdings: Holding[] = [];
    const left: SetKey[] = [];
    try {
      for (const { id, target } of await mounts.find(workload.process)) {
        const key = { workloadId: workload.id, target };
        if (id !== mountIdOf(key) || isHeld(key)) continue;
        try {
          const holding = await this.#takeUpOne(workload, key);
          if (holding) holdings.push(holding);
        } catch (error) {
          // Something inside may pretend to be ours: that must not hide what is.
          left.push(key);
          log.warn('set.adopt-failed', { workload: workload.id, target, ...errorFields(error) });
        }
      }
    } catch (error) {
      log.warn('workload.adopt-failed', { workload: workload.id, ...errorFields(error) });
      if (isFault(error, 'mount.process-gone')) this.forgetWorkload(workload.id);
      return { holdings, gone: [], isWhole: isFault(error, 'mount.process-gone') };
    }
    const found = new Set([...holdings, ...left].map(setKeyText));
    const missing = [...this.#holdings.values()].filter(
      (holding) => holding.workloadId === workload.id && !found.has(setKeyText(holding)),
    );
    for (const holding of missing) this.forget(holding);
    if (left.length === 0) this.forgetWorkload(workload.id);
    return { holdings, gone: missing.filter(wasPlaced), isWhole: left.length === 0 };
  }

  /**
   * Takes a set away without having taken it up before.
   *
   * @returns whether there is something to tell: a container that has ended took its own along, and a set
   *   without files may never have been placed.
   * @throws Fault as `Mounts.adopt` and `Mounts.withdraw`, and `mount.covered`
   */
  async wipe(holding: Holding): Promise<boolean> {
    const { workloadId } = holding;
    const process = this.#processes.get(workloadId);
    assert(process !== undefined, 'a set is inherited with its process');
    try {
      const taken = await this.#takeUpOne({ id: workloadId, process }, holding);
      if (taken) await this.#options.mounts.withdraw(mountIdOf(holding));
      this.forget(holding);
      return taken !== undefined || wasPlaced(holding);
    } catch (error) {
      if (!isFault(error, 'mount.process-gone')) throw error;
      this.forgetWorkload(workloadId);
      return false;
    }
  }

  /** @returns undefined if it is not there. */
  async #takeUpOne(workload: Place, key: SetKey): Promise<Holding | undefined> {
    const { mounts, clock } = this.#options;
    const { process } = workload;
    const adopted = await mounts.adopt(mountIdOf(key), { process, target: key.target });
    if (adopted) {
      const holding = adoptedHolding(key, adopted.revision, this.get(key));
      return { ...holding, takenUpAtBootMs: clock.bootMs() };
    }
    // Or something lies over it, and nobody can tell.
    const isThere = (found: FoundMount): boolean => found.id === mountIdOf(key);
    if ((await mounts.find(process)).some(isThere)) throw new Fault('mount.covered');
    return undefined;
  }
}

/** One without files was remembered before it was placed, or nobody knew what was left of it. */
function wasPlaced({ files, terms }: Holding): boolean {
  return files.length > 0 || terms === unknownTerms;
}
