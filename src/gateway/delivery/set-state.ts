/** What the gateway knows of one set in one workload: what is there, what is on its way, what failed. */
import {
  type HeldFile,
  type HeldSet,
  type SetKey,
  type SetReceipt,
  unknownTerms,
} from '../../model/assignment.ts';
import type { SecretId } from '../../model/id.ts';
import type { SelectableFacts } from '../policy/policy.ts';
import { type DueSet, sameFiles } from './difference.ts';

/** One file that is in place or should be. */
export interface HoldingStatus {
  readonly workload: string;
  readonly workloadId: string;
  readonly node: string;
  readonly secret: string;
  readonly file: string;
  /** In place, as the node said; 0: none. */
  readonly version: number;
  /** Due; 0: none. */
  readonly wanted: number;
  readonly state: 'current' | 'updating' | 'withdrawing' | 'failed' | 'unknown';
  readonly fault?: string;
  readonly sinceMs?: number;
}

const pauseMsFirst = 1000;
const pauseMsMax = 300_000;

/** What is on its way, without its values. The files are shared by all who were sent the same set. */
interface Sent {
  readonly setRevision: number;
  readonly files: readonly HeldFile[];
  readonly terms: string;
}

export class SetState {
  readonly #key: SetKey;
  #held: HeldSet | undefined;
  #sent: Sent | undefined;
  #fault = '';
  #failures = 0;
  #sinceMs: number | undefined;

  constructor(key: SetKey) {
    this.#key = key;
  }

  get held(): HeldSet | undefined {
    return this.#held;
  }

  get inFlight(): boolean {
    return this.#sent !== undefined;
  }

  /** Above everything this place has seen, also after an older store was restored. */
  nextRevision(revision: number): number {
    return Math.max(revision, (this.#held?.setRevision ?? 0) + 1);
  }

  /** What was on its way may be lost: what the node says now is what counts. */
  reconnected(held: HeldSet | undefined): void {
    this.#held = held;
    this.#sent = undefined;
  }

  sending(setRevision: number, due: DueSet, nowMs: number): void {
    this.#sent = { setRevision, files: due.files, terms: due.terms };
    this.#sinceMs = nowMs;
  }

  /** @returns Milliseconds since the set was sent; undefined if none was on its way. */
  received(receipt: SetReceipt, nowMs: number): number | undefined {
    const tookMs = this.#sent && this.#sinceMs !== undefined ? nowMs - this.#sinceMs : undefined;
    const { setRevision, outcome } = receipt;
    const nothing = receipt.files.length === 0 && receipt.terms !== unknownTerms;
    const empty = outcome === 'gone' || outcome === 'wiped' || nothing;
    this.#held = empty ? undefined : this.#heldAfter(receipt);
    if (this.#sent && setRevision >= this.#sent.setRevision) this.#sent = undefined;
    this.#sinceMs = nowMs;
    if (outcome !== 'failed') {
      this.#fault = '';
      this.#failures = 0;
    }
    return tookMs;
  }

  /** What the receipt says; in our own words where they are the same, so that its text is not kept. */
  #heldAfter({ setRevision, files, terms }: SetReceipt): HeldSet {
    const sent = this.#sent;
    const asSent = sent !== undefined && sent.terms === terms && sameFiles(sent.files, files);
    const said = asSent ? sent : { files, terms };
    return { ...this.#key, setRevision, files: said.files, terms: said.terms };
  }

  /** @returns how long to wait before the next try, in milliseconds. */
  failed(fault: string): number {
    this.#fault = fault;
    this.#sent = undefined;
    const pauseMs = Math.min(pauseMsFirst * 2 ** this.#failures, pauseMsMax);
    this.#failures += 1;
    return pauseMs;
  }

  *statuses(
    workload: SelectableFacts,
    due: DueSet,
    connected: boolean,
    nameOf: (secretId: SecretId) => string,
  ): Generator<HoldingStatus> {
    const about = { workload: workload.name, workloadId: workload.id, node: workload.node };
    const since = this.#sinceMs === undefined ? {} : { sinceMs: this.#sinceMs };
    const held = new Map(this.#held?.files.map((file) => [file.name, file]));
    for (const file of due.files) {
      const there = held.get(file.name);
      held.delete(file.name);
      const version = there?.secretId === file.secretId ? there.version : 0;
      const state = this.#stateOf(connected, version === file.version, 'updating');
      const fault = state === 'failed' ? { fault: this.#fault } : {};
      const secret = file.wanted.secret;
      yield {
        ...about,
        secret,
        file: file.name,
        version,
        wanted: file.version,
        state,
        ...fault,
        ...since,
      };
    }
    for (const file of held.values()) {
      const state = this.#stateOf(connected, false, 'withdrawing');
      const secret = nameOf(file.secretId);
      yield {
        ...about,
        secret,
        file: file.name,
        version: file.version,
        wanted: 0,
        state,
        ...since,
      };
    }
    for (const refused of due.wanted?.refused ?? []) {
      const { secret, file, fault } = refused;
      yield { ...about, secret, file, version: 0, wanted: 0, state: 'failed', fault, ...since };
    }
  }

  #stateOf(
    connected: boolean,
    same: boolean,
    moving: 'updating' | 'withdrawing',
  ): HoldingStatus['state'] {
    if (!connected) return 'unknown';
    if (same) return 'current';
    return this.#fault === '' ? moving : 'failed';
  }

  get key(): SetKey {
    return this.#key;
  }
}
