/**
 * Holdings: the sets that are in place on this node, and the only one who places, swaps and wipes.
 *
 * Promises
 *   - Steps for one workload happen one after the other, in the order in which they came.
 *   - A receipt is given only after the kernel has done it, and says what is truly there.
 *   - A set that follows another in its place is a change, and told to the workload, whoever wiped the
 *     other one and however often this process was started anew in between.
 *   - When no lease has been heard for a set's lease, it is wiped before anything else is done, and
 *     nobody need be asked. Counted on the boot clock, also across restarts of this process.
 *   - While the thread that makes the mounts is held up, leases run out as if the gateway were silent:
 *     what cannot be withdrawn here, the watchdog wipes.
 *   - What is known to be bad goes even where what should take its place cannot be put there.
 *   - Values are wiped from this process once they are in place, whatever happened.
 * Does not promise
 *   - Anything for sets that say `keep` on lease loss.
 */
import type { Clock } from '../base/clock.ts';
import { codeOf, isFault } from '../base/fault.ts';
import { errorFields, type Log } from '../base/log.ts';
import {
  type AssignedSet,
  type HeldSet,
  type ReceiptOutcome,
  type SetKey,
  type SetReceipt,
  setKeyText,
  unknownTerms,
} from '../model/assignment.ts';
import type { SignalName } from '../model/grant.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { Inherited } from './inherited.ts';
import { Leases } from './leases.ts';
import { lend } from './lend.ts';
import type { Mounts, MountState, PlaceResult } from './mount/mount.ts';
import { Newest } from './newest.ts';
import { Queues } from './queues.ts';
import { heldOf, type Holding, holdingOf, leaseEndsMs, stepFor, withoutNew } from './reconcile.ts';
import { mountIdOf, type RememberedState, stateOf } from './remembered.ts';

export interface HoldingsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly mounts: Mounts;
  /** Sends a signal to the first process of the workload, if it is still the one that was attested. */
  readonly signal: (workload: WorkloadFacts, name: SignalName) => void;
  /** Called with what a successor, or the watchdog, must know, to be remembered soon. */
  readonly remember: (state: () => RememberedState) => void;
  /** Resolves when it is: for what must be known before it is done. */
  readonly remembered: () => Promise<void>;
  /**
   * Called with what nobody assigned: a wipe because of silence, a mount that somebody inside covered, a
   * set that could be adopted only later, or that is not there any more.
   */
  readonly told: (receipt: SetReceipt) => void;
}

/** A wipe or an adoption that failed is tried again, with growing pauses. */
const againAfterMsFirst = 1000;
const againAfterMsMax = 60_000;
const againAfterMsWithdraw = 4000;

export class Holdings {
  readonly #options: HoldingsOptions;
  readonly #workloads = new Map<string, WorkloadFacts>();
  readonly #held = new Map<string, Holding>();
  /** Sets that are about to be placed on terms that the watchdog does not know yet. */
  readonly #expected = new Map<string, Holding>();
  readonly #inherited: Inherited;
  readonly #newest = new Newest();
  /** Of each workload. */
  readonly #steps: Queues;
  /** Sets whose wipe is queued, or failed a moment ago. */
  readonly #wiping = new Set<Holding>();
  readonly #leases: Leases;
  #closed = false;

  constructor(options: HoldingsOptions) {
    this.#options = options;
    this.#steps = new Queues(options.log);
    this.#inherited = new Inherited(options);
    this.#leases = new Leases({
      clock: options.clock,
      held: () => this.#leased(),
      isWiping: (holding) => this.#wiping.has(holding),
      ended: (holding) => {
        this.#wiping.add(holding);
        void this.#steps.add(holding.workloadId, () => this.#wipe(holding));
      },
    });
  }

  get workloads(): readonly WorkloadFacts[] {
    return [...this.#workloads.values()];
  }

  get held(): readonly HeldSet[] {
    return [...this.#held.values()].map(heldOf);
  }

  /** The gateway was heard: every lease starts anew. First, what ended in the silence is wiped. */
  heard(): void {
    if (this.#options.mounts.isStuck) return;
    this.#leases.enforce();
    this.#leases.heard();
    this.#remember();
  }

  /**
   * Takes a workload up, and with it the sets that an earlier enforcer left in it. One whose revision differs
   * from what was remembered is reported without its files, so that the gateway sends it whole.
   */
  started(workload: WorkloadFacts): Promise<void> {
    this.#workloads.set(workload.id, workload);
    for (const place of this.#inherited.remains.newest) {
      if (place.workloadId === workload.id) this.#newest.note(place);
    }
    // Before anything is mounted there: the watchdog must know where to look.
    this.#remember();
    return this.#steps.add(workload.id, async () => {
      await this.#adopt(workload, 0);
    });
  }

  /** The container has ended, and its mounts with it; what our handles still reach is wiped. */
  stopped(workloadId: string): Promise<void> {
    return this.#steps.add(workloadId, async () => {
      this.#workloads.delete(workloadId);
      this.#inherited.forgetWorkload(workloadId);
      for (const key of [...this.#held.values()]) {
        if (key.workloadId !== workloadId) continue;
        await this.#options.mounts
          .withdraw(mountIdOf(key))
          .catch((error: unknown) => this.#failed(key, error));
        this.#forget(key);
      }
      this.#newest.forget(workloadId);
      // Also of a container in which nothing was held: nobody need watch it any more.
      this.#remember();
    });
  }

  /** Carries out one assignment. Never throws: what went wrong is in the receipt. */
  async assign(set: AssignedSet): Promise<SetReceipt> {
    const startedMs = this.#options.clock.monotonicMs();
    let done: { readonly outcome: ReceiptOutcome; readonly fault: string } | undefined;
    try {
      // Before this one is queued, so that what ended in the silence is wiped ahead of it.
      this.#leases.enforce();
      await this.#steps.add(set.workloadId, async () => {
        await this.#wipeExpiredOf(set.workloadId);
        done = await this.#carryOut(set);
      });
    } catch (error) {
      this.#failed(set, error);
    } finally {
      for (const file of set.files) if (file.content !== 'keep') file.content[Symbol.dispose]();
    }
    const { outcome, fault } = done ?? { outcome: 'failed', fault: 'gateway.bug' };
    const held = this.#held.get(setKeyText(set));
    return {
      workloadId: set.workloadId,
      target: set.target,
      // Of a stale set, what is newer: the gateway must go above that.
      setRevision: Math.max(set.setRevision, this.#newest.in(set) ?? 0),
      outcome,
      fault,
      files: held?.files ?? [],
      terms: held?.terms ?? '',
      tookUs: Math.round((this.#options.clock.monotonicMs() - startedMs) * 1000),
    };
  }

  /** Tends what is held. @returns Workloads whose mount somebody inside covered, altered or removed. */
  async tampered(): Promise<readonly string[]> {
    const found = new Set<string>();
    for (const holding of this.#held.values()) {
      const state = await this.#stateOf(holding, 'tend');
      // What cannot be seen now is looked at again.
      if (state === undefined || state === 'in-place' || state === 'gone') continue;
      found.add(holding.workloadId);
      if (this.#held.get(setKeyText(holding)) !== holding || holding.files.length === 0) continue;
      this.#unsure(holding);
      this.#tellUnsure(holding, 'mount.covered');
    }
    return [...found];
  }

  /**
   * Resumes the clock of an earlier enforcer: a restart must not lengthen a lease. And what it knew is not
   * forgotten before it is known anew, or the watchdog would not look there.
   */
  resume(remembered: RememberedState): void {
    this.#inherited.resume(remembered);
    this.#leases.resume(remembered.heardAtBootMs);
  }

  /** Stops the clock and leaves what is in place to the next enforcer, and to the watchdog. */
  close(): void {
    this.#closed = true;
    this.#leases.close();
    this.#remember();
  }

  *#leased(): Generator<Holding> {
    yield* this.#held.values();
    yield* this.#inherited.holdings;
  }

  async #carryOut(set: AssignedSet): Promise<{ outcome: ReceiptOutcome; fault: string }> {
    const workload = this.#workloads.get(set.workloadId);
    const newest = this.#newest.in(set) ?? 0;
    const step = stepFor(set, newest, workload !== undefined);
    if (step === 'absent' || !workload) return { outcome: 'gone', fault: '' };
    if (step === 'stale') return { outcome: 'stale', fault: '' };
    try {
      return await this.#change(workload, set);
    } catch (error) {
      this.#failed(set, error);
      if (isFault(error, 'mount.process-gone')) return { outcome: 'gone', fault: '' };
      // What we took for held is not whole, or not there: somebody inside, or the watchdog, took it away. Or
      // nobody can tell.
      const isPartial = isFault(error, 'mount.keep-unknown');
      if (isPartial || (await this.#stateOf(set)) !== 'in-place') this.#unsure(set);
      if (step === 'place' && set.urgent) await this.#letGo(workload, set);
      if (step === 'withdraw') this.#withdrawAgain(workload, set, againAfterMsFirst);
      return { outcome: 'failed', fault: codeOf(error) };
    }
  }

  async #change(
    workload: WorkloadFacts,
    set: AssignedSet,
  ): Promise<{ outcome: ReceiptOutcome; fault: string }> {
    if (set.files.length === 0) {
      await this.#withdraw(set);
      this.#newest.note(set);
      this.#forget(set);
      this.#changed('set.withdrawn', set);
      return { outcome: 'gone', fault: '' };
    }
    const isFirst = this.#newest.in(set) === undefined;
    const result = await this.#place(set, workload);
    this.#newest.note(set);
    this.#hold(holdingOf(set));
    this.#remember();
    if (result.state === 'gone') return { outcome: 'gone', fault: '' };
    if (result.state !== 'in-place') {
      this.#unsure(set);
      return { outcome: 'failed', fault: 'mount.covered' };
    }
    this.#changed('set.placed', set);
    // The first set is no change: a program without a handler yet would be ended by the signal. One that
    // takes the place of what was wiped is: the program has the earlier one.
    if (!isFirst) for (const name of set.signals) this.#options.signal(workload, name);
    return { outcome: 'placed', fault: '' };
  }

  /** Remembers on which lease, then places: should this process die in between, the watchdog wipes in time. */
  async #place(set: AssignedSet, workload: WorkloadFacts): Promise<PlaceResult> {
    const key = setKeyText(set);
    const held = this.#held.get(key);
    const { leaseMs, keepOnLeaseLoss } = set;
    if (held?.leaseMs !== leaseMs || held.keepOnLeaseLoss !== keepOnLeaseLoss) {
      this.#expected.set(key, { ...holdingOf(set), files: [] });
      this.#remember();
    }
    try {
      if (this.#expected.has(key)) await this.#options.remembered();
      const place = { process: workload.process, target: set.target };
      return await this.#options.mounts.place(mountIdOf(set), place, {
        revision: set.setRevision,
        files: lend(set),
        urgent: set.urgent,
      });
    } finally {
      this.#expected.delete(key);
    }
  }

  /** What should take the place of something bad cannot be put there: the bad goes all the same. */
  async #letGo(workload: WorkloadFacts, set: AssignedSet): Promise<void> {
    const held = this.#held.get(setKeyText(set));
    if (!held) return;
    for (const rest of [withoutNew(set, held), { ...set, files: [] }]) {
      try {
        await this.#change(workload, rest);
        return;
      } catch (error) {
        this.#failed(set, error);
      }
    }
  }

  /** Takes up what was left in a container; what cannot be taken up is tried again until the workload ends. */
  async #adopt(workload: WorkloadFacts, attempt: number): Promise<readonly HeldSet[]> {
    const isHeld = (key: SetKey): boolean => this.#held.has(setKeyText(key));
    const { holdings, gone, isWhole } = await this.#inherited.takeUp(workload, isHeld);
    for (const holding of holdings) {
      this.#newest.note(holding);
      this.#hold(holding);
      this.#changed('set.adopted', holding);
    }
    for (const holding of gone) this.#tellGone(holding);
    if (!isWhole) this.#adoptLater(workload, attempt + 1);
    this.#remember();
    return holdings.map(heldOf);
  }

  /** What was to be found in a container and was not: whoever took it away died, or could not tell. */
  #tellGone(holding: Holding): void {
    const isOver = leaseEndsMs(holding, this.#leases.heardAtMs) <= this.#options.clock.bootMs();
    const nothing = { ...heldOf(holding), files: [], terms: '' };
    const outcome = isOver ? 'wiped' : 'gone';
    this.#options.told({ ...nothing, outcome, fault: '', tookUs: 0 });
  }

  #adoptLater(workload: WorkloadFacts, attempt: number): void {
    const { clock, told } = this.#options;
    const pauseMs = Math.min(againAfterMsFirst * 2 ** (attempt - 1), againAfterMsMax);
    clock.setTimer(pauseMs, () => {
      void this.#steps.add(workload.id, async () => {
        if (this.#closed || !this.#workloads.has(workload.id)) return;
        for (const held of await this.#adopt(workload, attempt)) {
          told({ ...held, outcome: 'placed', fault: '', tookUs: 0 });
        }
      });
    });
  }

  /** The gateway asks again ever more rarely; what is to go should go as soon as the kernel lets it. */
  #withdrawAgain(workload: WorkloadFacts, set: AssignedSet, pauseMs: number): void {
    const { clock, told } = this.#options;
    const unsure = this.#held.get(setKeyText(set));
    clock.setTimer(pauseMs, () => {
      void this.#steps.add(workload.id, async () => {
        if (this.#closed || !unsure || this.#held.get(setKeyText(set)) !== unsure) return;
        try {
          await this.#change(workload, set);
          told({ ...heldOf(set), outcome: 'gone', fault: '', files: [], terms: '', tookUs: 0 });
        } catch {
          this.#withdrawAgain(workload, set, Math.min(pauseMs * 2, againAfterMsWithdraw));
        }
      });
    });
  }

  /** @returns undefined if nobody can tell: the kernel refused the look. That is not `gone`. */
  async #stateOf(
    key: SetKey,
    look: 'inspect' | 'tend' = 'inspect',
  ): Promise<MountState | undefined> {
    try {
      return await this.#options.mounts[look](mountIdOf(key));
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#failed(key, error);
      return undefined;
    }
  }

  /** @returns whether there was anything to take away, as far as anybody knows. */
  async #withdraw(key: SetKey): Promise<boolean> {
    const inherited = this.#inherited.get(key);
    try {
      if (inherited) return await this.#inherited.wipe(inherited);
      await this.#options.mounts.withdraw(mountIdOf(key));
      return true;
    } catch (error) {
      this.#unsure(key);
      throw error;
    }
  }

  /**
   * Nobody inside sees its files, or nobody knows what is left of them: so none are said to be held, and
   * the gateway sends them anew or withdraws them. Not forgotten: what is left is still on its lease.
   */
  #unsure(key: SetKey): void {
    const held = this.#held.get(setKeyText(key));
    if (held) this.#held.set(setKeyText(key), { ...held, files: [], terms: unknownTerms });
    this.#remember();
  }

  #tellUnsure(key: SetKey, fault: string): void {
    const unsure = this.#held.get(setKeyText(key));
    if (unsure) this.#options.told({ ...heldOf(unsure), outcome: 'failed', fault, tookUs: 0 });
  }

  /** What ended while others had their turn. */
  async #wipeExpiredOf(workloadId: string): Promise<void> {
    for (const holding of this.#leases.over()) {
      if (holding.workloadId === workloadId) await this.#wipe(holding);
    }
  }

  async #wipe(holding: Holding): Promise<void> {
    // Again, because an assignment may have come between; a newer set has a lease of its own.
    if ((this.#held.get(setKeyText(holding)) ?? this.#inherited.get(holding)) !== holding) {
      this.#wiping.delete(holding);
      return;
    }
    const startedMs = this.#options.clock.monotonicMs();
    let isToTell: boolean;
    try {
      isToTell = await this.#withdraw(holding);
    } catch (error) {
      this.#failed(holding, error);
      this.#wipeAgain(holding, codeOf(error));
      return;
    }
    this.#wiping.delete(holding);
    this.#forget(holding);
    if (!isToTell) return;
    const tookUs = Math.round((this.#options.clock.monotonicMs() - startedMs) * 1000);
    this.#options.log.warn('lease.wiped', { workload: holding.workloadId, target: holding.target });
    const gone = { ...heldOf(holding), files: [], terms: '' };
    this.#options.told({ ...gone, outcome: 'wiped', fault: '', tookUs });
  }

  /** Something of it may be gone already: should the gateway be heard before, it must send it anew. */
  #wipeAgain(holding: Holding, fault: string): void {
    this.#wiping.delete(holding);
    const unsure = this.#held.get(setKeyText(holding)) ?? holding;
    this.#wiping.add(unsure);
    this.#options.clock.setTimer(againAfterMsFirst, () => {
      this.#wiping.delete(unsure);
      if (!this.#closed) this.#leases.enforce();
    });
    // Once, and not with each try.
    if (holding.files.length > 0) this.#tellUnsure(holding, fault);
  }

  #hold(holding: Holding): void {
    this.#inherited.forget(holding);
    this.#held.set(setKeyText(holding), holding);
    this.#leases.holds(holding);
  }

  #forget(key: SetKey): void {
    this.#held.delete(setKeyText(key));
    this.#remember();
  }

  #remember(): void {
    const state = (): RememberedState =>
      stateOf({
        heardAtBootMs: this.#leases.heardAtMs,
        workloads: this.#workloads.values(),
        sets: [...this.#held.values(), ...this.#expected.values()],
        newest: this.#newest.all,
        inherited: this.#inherited.remains,
      });
    this.#options.remember(state);
  }

  #changed(event: string, { workloadId, target, setRevision, files }: HeldSet): void {
    const fields = { workload: workloadId, target, revision: setRevision, files: files.length };
    this.#options.log.debug(event, fields);
  }

  #failed(key: SetKey, error: unknown): void {
    this.#options.log.warn('set.failed', {
      workload: key.workloadId,
      target: key.target,
      ...errorFields(error),
    });
  }
}
