/** What the gateway knows of one set in one workload: what is there, what is on its way, what failed. */
import type { Clock, Timer } from '../../base/clock.ts';
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
import { charsOfHeld } from './node-memory.ts';

export const holdingStates = ['current', 'updating', 'withdrawing', 'failed', 'unknown'] as const;

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
  readonly state: (typeof holdingStates)[number];
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
  /** The files of a set that was acknowledged as it was sent. */
  #shared: readonly HeldFile[] | undefined;
  #fault = '';
  /** Tries in a row that came to nothing. */
  #failures = 0;
  #retry: Timer | undefined;
  /** What was last sent, or could not be. */
  #tried: DueSet | undefined;
  /** The highest revision that was sent here or seen here. */
  #newest = 0;
  #sinceMs: number | undefined;

  constructor(key: SetKey) {
    this.#key = key;
  }

  get held(): HeldSet | undefined {
    return this.#held;
  }

  /** How much is remembered of what is held; what is held as it was sent is shared, and costs nothing. */
  get heldChars(): number {
    return this.#held?.files === this.#shared ? 0 : charsOfHeld(this.#held);
  }

  /** Whether any version of this secret is in place. */
  holds(secretId: SecretId): boolean {
    return this.#held?.files.some((file) => file.secretId === secretId) === true;
  }

  get inFlight(): boolean {
    return this.#sent !== undefined;
  }

  /** Whether this receipt is for what is on its way: anything else nobody asked for. */
  isAnsweredBy({ setRevision }: SetReceipt): boolean {
    return this.#sent !== undefined && setRevision >= this.#sent.setRevision;
  }

  /** Whether this very thing was tried in vain a moment ago. Anything else need not wait for that. */
  isPausing(due: DueSet): boolean {
    return this.#retry !== undefined && this.#tried !== undefined && sameDue(this.#tried, due);
  }

  /** How long to wait before the next try, in milliseconds: 0 unless the last ones came to nothing. */
  get pauseMs(): number {
    if (this.#failures === 0) return 0;
    return Math.min(pauseMsFirst * 2 ** (this.#failures - 1), pauseMsMax);
  }

  /** Calls `act` after the pause; one at a time. */
  retry(clock: Clock, act: () => void): void {
    this.#retry?.cancel();
    this.#retry = clock.setTimer(this.pauseMs, () => {
      this.#retry = undefined;
      act();
    });
  }

  close(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  /** Above everything this place has seen, also after an older store was restored. */
  nextRevision(revision: number): number {
    return Math.max(revision, this.#newest + 1);
  }

  /** What was on its way may be lost: what the node says now is what counts. */
  reconnected(held: HeldSet | undefined): void {
    this.#held = held;
    this.#newest = Math.max(this.#newest, held?.setRevision ?? 0);
    this.#sent = undefined;
    this.#failures = 0;
    this.close();
  }

  sending(setRevision: number, due: DueSet, nowMs: number): void {
    this.#sent = { setRevision, files: due.files, terms: due.terms };
    this.#tried = due;
    this.#newest = Math.max(this.#newest, setRevision);
    this.#sinceMs = nowMs;
  }

  /** @returns Milliseconds since the set was sent; undefined if none was on its way. */
  received(receipt: SetReceipt, nowMs: number): number | undefined {
    const tookMs = this.#sent && this.#sinceMs !== undefined ? nowMs - this.#sinceMs : undefined;
    const { setRevision, outcome } = receipt;
    const answers = this.isAnsweredBy(receipt);
    // A node that is not sure that it was heard says again what became of an earlier set.
    if (!answers && setRevision < (this.#held?.setRevision ?? 0)) return undefined;
    // Also of a stale receipt without files: what comes next must be above what was withdrawn there.
    this.#newest = Math.max(this.#newest, setRevision);
    const nothing = receipt.files.length === 0 && receipt.terms !== unknownTerms;
    const empty = outcome === 'gone' || outcome === 'wiped' || nothing;
    this.#held = empty ? undefined : this.#heldAfter(receipt);
    if (answers) this.#sent = undefined;
    this.#sinceMs = nowMs;
    if (outcome === 'failed') {
      this.failed(receipt.fault);
      return tookMs;
    }
    this.#fault = '';
    const hadFiles = (this.#tried?.files.length ?? 0) > 0;
    // `gone` for a set with files is a container that ends, and soon says so. Without a pause a node that
    // never says so would be served, and recorded, as fast as it answers.
    const missed = answers && (outcome === 'stale' || (outcome === 'gone' && hadFiles));
    if (missed) this.#failures += 1;
    else if (outcome === 'placed' || !hadFiles) this.#failures = 0;
    return tookMs;
  }

  /** What the receipt says; in our own words where they are the same, so that its text is not kept. */
  #heldAfter({ setRevision, files, terms }: SetReceipt): HeldSet {
    const sent = this.#sent;
    const asSent = sent !== undefined && sent.terms === terms && sameFiles(sent.files, files);
    const said = asSent ? sent : { files, terms };
    this.#shared = asSent ? sent.files : undefined;
    return { ...this.#key, setRevision, files: said.files, terms: said.terms };
  }

  /** @param due - What could not even be sent. */
  failed(fault: string, due = this.#tried): void {
    this.#fault = fault;
    this.#tried = due;
    this.#sent = undefined;
    this.#failures += 1;
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

function sameDue(left: DueSet, right: DueSet): boolean {
  return left.terms === right.terms && sameFiles(left.files, right.files);
}
