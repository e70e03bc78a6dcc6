/**
 * What each node may cause on the audit log by its word alone: reports that nobody asked for, claims that
 * are refused, and the assignments that follow from what it says. What administrators change is not charged.
 *
 * Promises
 *   - Nothing is lost silently: reports beyond the budget are counted, and once a minute the number is
 *     recorded for each node.
 *   - A machine that starts anew with all it may run stays within it (`limits.nodeEntriesBurst`).
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type BucketRate, TokenBuckets } from '../../base/token-buckets.ts';
import type { AuditEntry } from '../audit/audit.ts';
import { unlistedEntry } from './delivery-entries.ts';
import type { Recorder } from './recorder.ts';

const summedEveryMs = 60_000;

export interface NodeBudgetsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Left out: as `limits` says. */
  readonly nodeRate?: BucketRate;
}

export class NodeBudgets {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #recorder: Pick<Recorder, 'record'>;
  readonly #rate: BucketRate;
  readonly #buckets: TokenBuckets;
  readonly #unlisted = new Map<string, number>();
  #timer: Timer | undefined;

  constructor(options: NodeBudgetsOptions, recorder: Pick<Recorder, 'record'>) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#recorder = recorder;
    this.#rate = options.nodeRate ?? {
      perSecond: limits.nodeEntriesPerSecond,
      burst: limits.nodeEntriesBurst,
    };
    this.#buckets = new TokenBuckets(options.clock, this.#rate);
  }

  /** Records what a node said or did of itself, or counts it. */
  record(node: string, entry: AuditEntry): void {
    if (this.#buckets.take(node) === 0) {
      this.#recorder.record(entry);
      return;
    }
    const before = this.#unlisted.get(node) ?? 0;
    if (before === 0) this.#log.warn('node.noisy', { node });
    this.#unlisted.set(node, before + 1);
    this.#timer ??= this.#clock.setTimer(summedEveryMs, () => this.#sumUp());
  }

  /** Whether more may follow from what this node says. */
  hasRoom(node: string): boolean {
    return this.#buckets.level(node) >= 1;
  }

  /**
   * Whether not even withdrawals follow from what this node says: they are not held up by an empty budget,
   * but a node that makes up what it holds would have them recorded without end.
   */
  isExhausted(node: string): boolean {
    return this.#buckets.level(node) < -this.#rate.burst;
  }

  charge(node: string, entries: number): void {
    this.#buckets.spend(node, entries);
  }

  close(): void {
    this.#timer?.cancel();
    // Too late for an entry: then at least a line of the log.
    for (const [node, count] of this.#unlisted) this.#log.warn('node.unlisted', { node, count });
  }

  #sumUp(): void {
    this.#timer = undefined;
    for (const [node, count] of this.#unlisted) this.#recorder.record(unlistedEntry(node, count));
    this.#unlisted.clear();
  }
}
