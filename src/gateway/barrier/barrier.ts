/**
 * The barrier: the one place where plaintext meets storage.
 *
 * Above it every record is plaintext; below it every row is ciphertext, bound to the installation,
 * kind, id and revision it was written with. Nothing else in the gateway may import physical/.
 *
 * Promises
 *   - What is read is what the last commit wrote under that id, or the read throws `barrier.corrupt`.
 *   - A store in which one row was removed, added or put back to an earlier state does not unseal.
 *   - While sealed, every call but `initialise`, `unseal` and the states throws `barrier.sealed`.
 * Does not promise
 *   - Freshness of the whole: whoever controls the disk can put back an older disk. The audit's
 *     witnesses notice that.
 *   - Sizes. Lengths are rounded up, not hidden.
 */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { Physical } from '../physical/physical.ts';
import type { Feed } from './feed.ts';
import type { Projection, RecordExpectation, RecordKind, RecordWrite, View } from './record.ts';

export type { Feed, FeedStep } from './feed.ts';
export type {
  Change,
  Projection,
  RecordExpectation,
  RecordKind,
  RecordWrite,
  StoredRecord,
  View,
} from './record.ts';

export interface BarrierOptions {
  readonly physical: Physical;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Every projection of every room. Several may follow one kind. */
  readonly projections: readonly Projection[];
}

/** empty: no keyring in this storage yet; `initialise` makes one. */
export type BarrierState = 'unknown' | 'empty' | 'sealed' | 'loading' | 'ready';

/** What goes into one revision. Only `audit` makes these. */
export interface BarrierBatch {
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
  /** Kept beside the head, sealed; read back as `trailer`. */
  readonly trailer: Uint8Array;
  readonly maintenance?: Maintenance;
}

/** Rows that the barrier itself rewrites: opaque to who carries them out. */
export interface Maintenance {
  readonly action: 'system.rotate-root-key' | 'system.rewrap' | 'system.drop-root-key';
  /** For the audit entry. */
  readonly detail: Readonly<Record<string, string>>;
}

export interface Barrier {
  readonly state: BarrierState;
  /** @throws Fault `barrier.sealed` */
  view(kind: RecordKind): View;
  feed(): Feed;
  /** Which of these are not so now. */
  failing(expectations: readonly RecordExpectation[]): readonly RecordExpectation[];
  /** Durable and projected when it resolves. One at a time. */
  commit(batch: BarrierBatch): Promise<{ readonly revision: number }>;
}
