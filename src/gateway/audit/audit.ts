/**
 * The audit log, and with it the only way to write: an effect and its entries are one commit.
 *
 * Promises
 *   - Every commit has at least one entry. Both are durable, and projected, when it resolves; after a
 *     crash either both are there or neither.
 *   - Entries form an RFC 6962 tree. Whoever remembers a checkpoint can tell whether anything older
 *     was changed, removed, inserted, reordered or forked.
 *   - When nothing can be recorded, nothing can be done: the gateway turns read-only, and recovers by itself.
 * Does not promise
 *   - That what a compromised gateway writes is true; nor anything about entries that no witness has seen.
 */
import type { RecordExpectation, RecordWrite, Maintenance } from '../barrier/barrier.ts';
import type { AuditEntry, RecordedEntry } from './entry.ts';

export type { AuditEntry, RecordedEntry } from './entry.ts';

export interface AuditRequest {
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
  readonly entries: readonly [AuditEntry, ...AuditEntry[]];
  readonly maintenance?: Maintenance;
}

export interface AuditReceipt {
  readonly revision: number;
  /** Of the entries, in their order. */
  readonly sequences: readonly number[];
}

export type AuditState = 'sealed' | 'ready' | 'read-only' | 'rollback-suspected';

/**
 * What an enforcer's remembered checkpoint says about us. behind: it has seen less than there is.
 * superseded: it is of a branch that an operator has given up.
 */
export type WitnessVerdict = 'consistent' | 'behind' | 'superseded' | 'rollback' | 'fork';

export interface EntryFilter {
  readonly action?: string;
  /** A principal's id or name. */
  readonly actor?: string;
  readonly resource?: string;
  readonly outcome?: string;
}

export interface EntryWithBytes extends RecordedEntry {
  /** The canonical bytes: what the leaf is the hash of. */
  readonly bytes: Buffer;
}

export interface EntryPage {
  readonly entries: readonly EntryWithBytes[];
  /** Where to go on; `undefined` at the end. */
  readonly next: number | undefined;
}

export interface CheckpointReply {
  readonly note: string;
  readonly verifierKey: string;
  readonly consistency: readonly Uint8Array[];
}

export interface EntryProof {
  readonly entry: EntryWithBytes;
  readonly note: string;
  readonly inclusion: readonly Uint8Array[];
}

/** Follows the log: entries in order from where it was opened. */
export interface Tail {
  next(signal: AbortSignal): Promise<readonly EntryWithBytes[]>;
  close(): void;
}

export interface Audit {
  readonly state: AuditState;
  readonly size: number;
  /**
   * @throws Fault `request.conflict` when an expectation fails: nothing of this request is then written or
   *   logged.
   * @throws Fault `gateway.busy`, `barrier.sealed`, `audit.rollback-suspected`, `storage.full`,
   *   `storage.failed`
   */
  commit(request: AuditRequest): Promise<AuditReceipt>;
  /** In order, from `from` (included). */
  entries(options: {
    readonly from: number;
    readonly limit: number;
    readonly filter?: EntryFilter;
  }): Promise<EntryPage>;
  tail(options: { readonly from?: number; readonly filter?: EntryFilter }): Tail;
  /** The newest signed head, with the proof that it continues the tree of size `since`. */
  checkpoint(since?: number): Promise<CheckpointReply>;
  prove(sequence: number): Promise<EntryProof>;
  /**
   * What a node's remembered checkpoint says about this log.
   *
   * @throws Fault `request.invalid` if this log never signed it.
   */
  observe(nodeName: string, note: string): Promise<WitnessVerdict>;
  /** Ends `rollback-suspected`; the entry is what stays of it. */
  acceptRollback(entry: AuditEntry): Promise<AuditReceipt>;
}
