/**
 * Maintenance: what the barrier rewrites of its own accord, carried out by a commit like any other
 * write, so that it is ordered with them and recorded.
 */
import type { Keyring } from './keyring.ts';

/** One row, sealed anew; its record and its revision stay. */
export interface Rewrap {
  readonly key: string;
  /** The revision it was read at: the row is left alone if that has changed. */
  readonly revision: number;
  readonly keyNumber: number;
  readonly bytes: Buffer;
}

export interface KeyringChange {
  /** What it was made from: refused if another change came first. */
  readonly from: Keyring;
  readonly to: Keyring;
  /** The row to keep it in, sealed by the seal. */
  readonly row: Buffer;
}

/** Opaque outside the barrier. */
export interface Maintenance {
  readonly action: 'system.rotate-root-key' | 'system.rewrap' | 'system.destroy-root-key';
  /** For the audit entry. */
  readonly detail: Readonly<Record<string, string>>;
  readonly rewraps: readonly Rewrap[];
  readonly keyring?: KeyringChange;
}
