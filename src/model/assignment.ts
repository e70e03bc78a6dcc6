/**
 * Assignments: which secret versions are due at which place of one workload. Computed, never typed in.
 *
 * The unit is the set: all files of one workload in one directory, changed together.
 */
import type { SignalName } from './grant.ts';
import type { SecretId } from './id.ts';
import type { SecretValue } from './secret-value.ts';

/** Where a file's bytes come from: one version of one secret. */
export interface HeldFile {
  readonly name: string;
  readonly secretId: SecretId;
  readonly version: number;
}

export interface AssignedFile extends HeldFile {
  /** Permission bits. */
  readonly mode: number;
  /** As numbered inside the container; the container's own user when left out. */
  readonly uid?: number;
  readonly gid?: number;
  /** `keep`: the node holds this version under this name already. */
  readonly content: SecretValue | 'keep';
}

export interface SetKey {
  readonly workloadId: string;
  /** Absolute directory inside the container. */
  readonly target: string;
}

export interface AssignedSet extends SetKey {
  readonly setRevision: number;
  /** Empty: withdraw everything. */
  readonly files: readonly AssignedFile[];
  readonly signals: readonly SignalName[];
  readonly keepOnLeaseLoss: boolean;
  readonly leaseMs: number;
  /** Something in the earlier set is known to be bad: it is emptied before the receipt. */
  readonly urgent: boolean;
  /** Digest of modes, owners, signals and lease: see `HeldSet.terms`. */
  readonly terms: string;
}

/** In place of terms, and without files: something is in place, and nobody knows what, or nobody sees it. */
export const unknownTerms = 'unknown';

export interface HeldSet extends SetKey {
  readonly setRevision: number;
  /** Empty with `unknownTerms`; with other terms nothing is in place. */
  readonly files: readonly HeldFile[];
  /** The terms that the set was assigned with; tells a changed mode or lease from an unchanged set. */
  readonly terms: string;
}

/**
 * placed: every file is in place. gone: nothing is left. failed: what it lists is still there.
 * stale: a newer set was there already. wiped: the lease ended and the node wiped by itself.
 */
export type ReceiptOutcome = 'placed' | 'gone' | 'failed' | 'stale' | 'wiped';

export interface SetReceipt extends HeldSet {
  readonly outcome: ReceiptOutcome;
  /** The fault's code when `failed`, else empty. */
  readonly fault: string;
  readonly tookUs: number;
}

/** A set's key as one string; the directory is canonical, so this is unambiguous. */
export function setKeyText(key: SetKey): string {
  return `${key.workloadId}:${key.target}`;
}
