/**
 * Delivery: the one way out. Compares what each workload should hold with what its node said it
 * holds, and sends the difference. The face of the room.
 *
 * Promises
 *   - A value leaves only for a workload that policy entitles at that moment, to the node on which
 *     that workload runs, and only after the assignment is on the audit log.
 *   - What should leave leaves, also while the log cannot be written (decision 0014).
 *   - Set revisions are commit revisions: they rise for ever, so nothing that is repeated, reordered or
 *     replayed moves a container backwards.
 *   - What was sent and not acknowledged is sent again after a reconnection; what failed is tried
 *     again with growing pauses; both show in `holdings`.
 * Does not promise
 *   - That a node tells the truth about what it holds: a receipt is its word, recorded as such.
 */
import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { codeOf, Fault, isFault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { errorFields, type Log } from '../../base/log.ts';
import type { BucketRate } from '../../base/token-buckets.ts';
import type { AssignedSet, HeldSet, ReceiptOutcome, SetReceipt } from '../../model/assignment.ts';
import type { SecretName } from '../../model/name.ts';
import type { WorkloadFacts, WorkloadId } from '../../model/workload.ts';
import type { Audit, AuditEntry } from '../audit/audit.ts';
import { type Entitlements, type SelectableFacts, selectableFacts } from '../policy/policy.ts';
import type { SecretChanges, SecretsReader, SecretValues } from '../secrets/secrets.ts';
import {
  assignEntries,
  claimRefusedEntry,
  type NodeEvent,
  nodeEventEntry,
  receiptEntry,
} from './delivery-entries.ts';
import { type DueSet, difference, dueSet, nothingDue, type SharedDueSets } from './difference.ts';
import { NodeBudgets } from './node-budgets.ts';
import { charsOfHeld, NodeMemory } from './node-memory.ts';
import { OpenValues } from './open-values.ts';
import { Pace } from './pace.ts';
import { Recorder } from './recorder.ts';
import { type Due, SetComposer } from './set-composer.ts';
import { type HoldingStatus, SetState } from './set-state.ts';
import { type Cause, WorkloadQueue } from './workload-queue.ts';

export type { NodeEvent } from './delivery-entries.ts';
export { HoldingCensus } from './holding-census.ts';
export { type HoldingStatus, holdingStates } from './set-state.ts';

export interface HoldingsAsked {
  /** Workloads from this id on; below the other. */
  readonly from?: string;
  readonly to?: string;
  readonly secret?: SecretName;
  readonly node?: string;
  /** Id or name. */
  readonly workload?: string;
}

/** How sets reach one node. */
export interface NodeChannel {
  /** Encodes at once, so that the caller may wipe the values when this returns. */
  send(set: AssignedSet): void;
  /** False while so much is queued that more would only fill memory. */
  readonly ready: boolean;
}

export interface NodeReport {
  readonly workloads: readonly WorkloadFacts[];
  readonly held: readonly HeldSet[];
}

export interface DeliveryOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: Pick<Audit, 'commit' | 'state'>;
  readonly entitlements: Entitlements;
  readonly secrets: Pick<SecretsReader, 'find' | 'byId'>;
  readonly changes: SecretChanges;
  readonly values: Pick<SecretValues, 'openValue'>;
  /** What a node may cause by its word alone; left out: as `limits` says. */
  readonly nodeRate?: BucketRate;
  /** For metrics: a set was acknowledged, so many seconds after it was sent. */
  readonly acknowledged?: (outcome: ReceiptOutcome, seconds: number) => void;
}

/** Directories of one workload of which something is remembered: what policy wants, and some that were. */
const targetsMax = 64;

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #composer: SetComposer;
  readonly #recorder: Recorder;
  readonly #budgets: NodeBudgets;
  readonly #memory = new NodeMemory();
  readonly #channels = new Map<string, NodeChannel>();
  /** By workload, then by directory. */
  readonly #sets = new Map<WorkloadId, Map<string, SetState>>();
  readonly #queue: WorkloadQueue;
  /** Nothing was sent for a while, because the store may be an older one that was put back. */
  #suspended = false;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#composer = new SetComposer(options.secrets);
    this.#recorder = new Recorder(options);
    const { clock, log } = options;
    this.#budgets = new NodeBudgets(options, this.#recorder);
    this.#queue = new WorkloadQueue({ clock, log, look: (marked) => this.#look(marked) });
  }

  /** Whether a node may connect: not while it owes too much of its budget. */
  admits(node: string): boolean {
    return !this.#budgets.isExhausted(node);
  }

  /** Records what a node did beside delivery, within its budget. */
  noted(node: string, event: NodeEvent): void {
    this.#budgets.record(node, nodeEventEntry(node, event));
  }

  /** A node is here, and this is what runs there and what is in place. Replaces what was known. */
  connected(node: string, channel: NodeChannel, report: NodeReport): void {
    this.#channels.set(node, channel);
    const running = new Set(report.workloads.map((workload) => workload.id));
    for (const id of this.#options.entitlements.workloadsOn(node)) {
      if (!running.has(id)) this.#remove(id);
    }
    for (const workload of report.workloads) this.#admit(node, workload);
    // Of its own only: what it says of another node's workload changes nothing there.
    for (const id of this.#options.entitlements.workloadsOn(node)) {
      for (const state of this.#sets.get(id)?.values() ?? []) {
        this.#memory.around(node, state, () => state.reconnected(undefined));
      }
    }
    for (const held of report.held) {
      const state = this.#stateFor(node, held.workloadId, held.target);
      if (!state || !this.#memory.hasRoom(node, charsOfHeld(held))) continue;
      this.#memory.around(node, state, () => state.reconnected(held));
    }
    this.#queue.mark(this.#options.entitlements.workloadsOn(node), 'word');
  }

  /** The channel is gone; what its node holds is as it was last said, and shown as unknown. */
  disconnected(node: string, channel: NodeChannel): void {
    if (this.#channels.get(node) !== channel) return;
    this.#channels.delete(node);
  }

  /** The node will not come back: its workloads are nobody's. */
  forgetNode(node: string): void {
    this.#channels.delete(node);
    for (const id of this.#options.entitlements.workloadsOn(node)) this.#remove(id);
  }

  workloadStarted(node: string, workload: WorkloadFacts): void {
    this.#admit(node, workload);
    this.#queue.mark([workload.id], 'word');
  }

  workloadStopped(node: string, workloadId: string): void {
    const workload = this.#owned(node, workloadId);
    if (workload) this.#remove(workload.id);
  }

  receipt(node: string, receipt: SetReceipt): void {
    const workload = this.#owned(node, receipt.workloadId);
    // A receipt for a container that ended meanwhile is no claim on somebody else's.
    if (!workload && this.#options.entitlements.workload(receipt.workloadId as WorkloadId)) return;
    const entry = receiptEntry(node, workload, receipt);
    const known = workload && this.#sets.get(workload.id)?.get(receipt.target);
    // An answer comes once for each set that was sent: that is what bounds them.
    const isAnswer = known?.isAnsweredBy(receipt) === true;
    if (isAnswer) this.#recorder.record(entry);
    else this.#budgets.record(node, entry);
    if (!workload) return;
    const state = this.#stateFor(node, receipt.workloadId, receipt.target);
    if (!state || !(isAnswer || this.#memory.hasRoom(node, charsOfHeld(receipt)))) return;
    const nowMs = this.#options.clock.wallMs();
    const tookMs = this.#memory.around(node, state, () => state.received(receipt, nowMs));
    if (tookMs !== undefined) this.#options.acknowledged?.(receipt.outcome, tookMs / 1000);
    this.#again(workload.id, state);
  }

  /** Entries about what nodes did that are not on the log yet. */
  get entriesWaiting(): number {
    return this.#recorder.waiting;
  }

  /** The channel of this node has room again. */
  drained(node: string): void {
    this.#queue.mark(this.#options.entitlements.workloadsOn(node), 'word');
  }

  /** Something was committed: look at whom it concerns. */
  changed(): void {
    if (this.#suspended && this.#options.audit.state !== 'rollback-suspected') {
      this.#suspended = false;
      this.#queue.mark(this.#sets.keys(), 'change');
    }
    for (const name of this.#options.changes.takeChanged()) {
      this.#queue.mark(this.#options.entitlements.affectedBySecret(name), 'change');
    }
    this.#queue.mark(this.#options.entitlements.takeAffected(), 'change');
  }

  /**
   * What is where, for every file that is in place or should be, workload by workload in order of their
   * ids. What is not asked for may be among it. Not to be kept over a turn.
   */
  *holdings(asked: HoldingsAsked = {}): Generator<HoldingStatus> {
    const shared: SharedDueSets = new Map();
    const mayHold = this.#holderTest(asked);
    for (const workload of this.#options.entitlements.workloads(asked)) {
      const { id } = workload;
      if (asked.to !== undefined && id >= asked.to) return;
      if (!mayHold(workload)) continue;
      const connected = this.#channels.has(workload.node);
      for (const due of this.#dueSets(id, shared)) {
        const state = this.#sets.get(id)?.get(due.target);
        yield* (state ?? new SetState({ workloadId: id, target: due.target })).statuses(
          workload,
          due,
          connected,
          (secretId) => this.#composer.nameOf(secretId),
        );
      }
    }
  }

  /** Whether something that is asked for may be at a workload: from what is quickly known. */
  #holderTest({ workload, secret }: HoldingsAsked): (facts: SelectableFacts) => boolean {
    const { entitlements, secrets } = this.#options;
    const secretId = secret === undefined ? undefined : secrets.find(secret)?.secret.id;
    return ({ id, name }) => {
      if (workload !== undefined && workload !== id && workload !== name) return false;
      if (secret === undefined || entitlements.isGranted(id, secret)) return true;
      const states = this.#sets.get(id)?.values();
      return secretId !== undefined && states?.some((state) => state.holds(secretId)) === true;
    };
  }

  /** Of all sets that are due on a node; infinite where none is. */
  shortestLeaseMs(node: string): number {
    return this.#options.entitlements.shortestLeaseMs(node);
  }

  connectedNodes(): ReadonlySet<string> {
    return new Set(this.#channels.keys());
  }

  close(): void {
    this.#queue.close();
    this.#budgets.close();
    this.#recorder.close();
    for (const states of this.#sets.values()) for (const state of states.values()) state.close();
  }

  #admit(node: string, workload: WorkloadFacts): void {
    try {
      const { entitlements } = this.#options;
      const known = entitlements.workload(workload.id);
      if (known?.node !== node && entitlements.countOn(node) >= limits.workloadsPerNodeMax) {
        throw new Fault('limit.exceeded', { workloads: limits.workloadsPerNodeMax });
      }
      const facts = selectableFacts({ ...workload, node });
      // Somebody else's is refused below, and takes no room.
      if (known === undefined || known.node === node) this.#memory.admit(facts, known);
      entitlements.setWorkload(facts);
      if (!this.#sets.has(workload.id)) this.#sets.set(workload.id, new Map());
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#budgets.record(node, claimRefusedEntry(node, workload.id, error.code));
    }
  }

  #remove(id: WorkloadId): void {
    const { entitlements } = this.#options;
    const facts = entitlements.workload(id);
    const states = this.#sets.get(id)?.values().toArray() ?? [];
    if (facts) this.#memory.forget(facts, states);
    for (const state of states) state.close();
    entitlements.removeWorkload(id);
    this.#sets.delete(id);
    this.#queue.forget(id);
  }

  /** The workload if it is this node's; a claim on another's is refused and recorded. */
  #owned(node: string, workloadId: string): SelectableFacts | undefined {
    const workload = this.#options.entitlements.workload(workloadId as WorkloadId);
    if (!workload) return undefined;
    if (workload.node === node) return workload;
    this.#budgets.record(node, claimRefusedEntry(node, workloadId, 'workload.elsewhere'));
    return undefined;
  }

  #stateFor(node: string, workloadId: string, target: string): SetState | undefined {
    const workload = this.#owned(node, workloadId);
    if (!workload) return undefined;
    const known = this.#sets.get(workload.id);
    // What a node says it holds somewhere is withdrawn there; of ever more places it is not believed.
    if (known && known.size >= targetsMax && !known.has(target)) return undefined;
    return this.#state(workload.id, target);
  }

  /** Looks at a workload again: now, or after a pause if what was sent there did not come to be. */
  #again(id: WorkloadId, state: SetState): void {
    if (state.pauseMs === 0) {
      this.#queue.mark([id], 'word');
      return;
    }
    // The pause bounds these: there is no need to charge them.
    state.retry(this.#options.clock, () => this.#queue.mark([id], 'change'));
  }

  #state(id: WorkloadId, target: string): SetState {
    let states = this.#sets.get(id);
    if (!states) this.#sets.set(id, (states = new Map()));
    let state = states.get(target);
    if (!state) states.set(target, (state = new SetState({ workloadId: id, target })));
    return state;
  }

  async #look(marked: readonly (readonly [WorkloadId, Cause])[]): Promise<void> {
    const shared: SharedDueSets = new Map();
    const due = marked.flatMap(([id, cause]) => {
      const changes = this.#changesOf(id, shared);
      return cause === 'change' ? changes : changes.flatMap((item) => this.#affordable(item));
    });
    await this.#deliver(due);
  }

  /**
   * Of what follows from a node's word, what its budget has room for; the rest is looked at again later.
   * What should leave does not wait.
   */
  #affordable(item: Due): readonly Due[] {
    const { id, node } = item.workload;
    const hasRoom = this.#budgets.hasRoom(node);
    if (!hasRoom) this.#queue.markLater(id);
    const now = hasRoom ? item : this.#composer.withoutSent(item);
    if (!now || this.#budgets.isExhausted(node)) return [];
    // With one for the receipt, which also stands for a set of which only the terms change.
    this.#budgets.charge(node, now.change.sent.length + now.change.withdrawn.length + 1);
    return [now];
  }

  #changesOf(id: WorkloadId, shared: SharedDueSets): readonly Due[] {
    const workload = this.#options.entitlements.workload(id);
    const channel = workload && this.#channels.get(workload.node);
    // Without a channel nothing is lost: the node's next report marks all its workloads.
    if (!workload || !channel?.ready) return [];
    // An older store may have been put back to undo a revocation: until somebody accepts that, what is
    // in place stays as it is.
    if (this.#options.audit.state === 'rollback-suspected') {
      this.#suspended = true;
      return [];
    }
    const changes: Due[] = [];
    for (const due of this.#dueSets(id, shared)) {
      const state = this.#state(id, due.target);
      // One set at a time per place; its receipt marks the workload again.
      if (state.inFlight || state.isPausing(due)) continue;
      const change = difference(due, state.held);
      if (change) changes.push({ workload, state, due, change });
    }
    return changes;
  }

  /**
   * Every directory in which something is wanted or held.
   *
   * @param shared - Of this turn: what is due changes with every commit.
   */
  #dueSets(id: WorkloadId, shared: SharedDueSets): readonly DueSet[] {
    const wanted = this.#options.entitlements.wantedFor(id);
    const named = (name: SecretName) => this.#options.secrets.find(name)?.secret;
    const due = wanted.map((set) => dueSet(set, named, shared));
    for (const target of this.#sets.get(id)?.keys() ?? []) {
      if (!wanted.some((set) => set.target === target)) due.push(nothingDue(target));
    }
    return due;
  }

  async #deliver(due: readonly Due[]): Promise<void> {
    const entries: AuditEntry[] = [];
    let count = 0;
    for (const item of due) {
      const own = assignEntries(item.workload, item.due, item.change, (id) =>
        this.#composer.nameOf(id),
      );
      // One commit has a bound; what does not fit has the next one.
      if (entries.length + own.length > limits.commitGroupEntriesMax) break;
      entries.push(...own);
      count += 1;
    }
    this.#queue.mark(
      due.slice(count).map(({ workload }) => workload.id),
      'change',
    );
    if (count > 0) await this.#commitAndSend(due.slice(0, count), entries);
  }

  async #commitAndSend(due: readonly Due[], entries: readonly AuditEntry[]): Promise<void> {
    const revision = await this.#commit(entries).catch((error: unknown) => {
      this.#takeAway(due);
      throw error;
    });
    using opened = new OpenValues(this.#options.values);
    const pace = new Pace(this.#options.clock, due.length);
    for (const item of due) {
      const pause = pace.before(item.workload.node);
      if (pause) await pause;
      // Nearly always all are open: sets of one change have the same values.
      const canSend =
        opened.fit(item.change.sent) || !this.#isStillDue(item) || (await this.#open(item, opened));
      const left = canSend ? item : this.#composer.withoutSent(item);
      if (left) this.#send(left, revision, opened);
    }
  }

  /** @returns the revision that recorded them */
  async #commit([first, ...rest]: readonly AuditEntry[]): Promise<number> {
    assert(first !== undefined, 'every change has an entry');
    const request = { writes: [], expectations: [], entries: [first, ...rest] } as const;
    return (await this.#options.audit.commit(request)).revision;
  }

  /**
   * The log cannot be written: nothing is given, and what should leave leaves all the same. That it should
   * was committed before, by the revocation or by the report of what is there; while it waited for its own
   * entry its lease would be renewed. The entry waits instead.
   */
  #takeAway(due: readonly Due[]): void {
    // Of a store that may be an older one nothing follows, nor of a policy that was forgotten.
    if (!['ready', 'read-only'].includes(this.#options.audit.state)) return;
    for (const item of due) {
      const left = this.#composer.withoutSent(item);
      if (!left || !this.#isStillDue(item)) continue;
      this.#options.log.warn('delivery.withdrawn-unrecorded', { workload: item.workload.id });
      const entries = assignEntries(left.workload, left.due, left.change, (id) =>
        this.#composer.nameOf(id),
      );
      for (const entry of entries) this.#recorder.record(entry);
      this.#send(left, 0, new OpenValues(this.#options.values));
    }
  }

  /**
   * What does not open (a version that was destroyed in between, a row that is damaged, too much for one
   * set) fails this set, not the rest.
   *
   * @returns whether it can be sent
   */
  async #open({ workload, state, due, change }: Due, opened: OpenValues): Promise<boolean> {
    try {
      await opened.open(change.sent);
      return true;
    } catch (error) {
      const { log } = this.#options;
      log.error('delivery.value-failed', { workload: workload.id, ...errorFields(error) });
      state.failed(codeOf(error), due);
      this.#again(workload.id, state);
      return false;
    }
  }

  #send(item: Due, revision: number, opened: OpenValues): void {
    const { workload, state, due } = item;
    if (!this.#isStillDue(item)) {
      this.#queue.mark([workload.id], 'change');
      return;
    }
    // What was sent just now may have filled it; whoever finds it full is called when there is room.
    const channel = this.#channels.get(workload.node);
    if (!channel?.ready) return;
    const set = this.#composer.assigned(item, state.nextRevision(revision), opened);
    state.sending(set.setRevision, due, this.#options.clock.wallMs());
    channel.send(set);
  }

  /**
   * Whether what was decided before the commit is due after it: a right that was withdrawn, a version that
   * was revoked, or a node that was revoked meanwhile must not be served once more.
   */
  #isStillDue({ workload, state, due, change }: Due): boolean {
    const { entitlements } = this.#options;
    const now = entitlements.workload(workload.id);
    if (now?.node !== workload.node || state.inFlight) return false;
    if (this.#sets.get(workload.id)?.get(due.target) !== state) return false;
    const wanted = entitlements.wantedFor(workload.id).find(({ target }) => target === due.target);
    // The very same object nearly always: what is wanted is remembered per combination of grants.
    const same = wanted === due.wanted || JSON.stringify(wanted) === JSON.stringify(due.wanted);
    return same && change.sent.every((file) => this.#composer.isDeliverable(file));
  }
}
