/** One audit entry as it is made; its canonical bytes are in `entry-bytes.ts`. */
import type { Principal } from '../../model/principal.ts';

export interface AuditEntry {
  readonly principal: Principal;
  /** An operation's name, or what the gateway did by itself: `delivery.assign`, `delivery.receipt`, … */
  readonly action: string;
  /** `secrets/payments/db-password`, `nodes/node-1`, … */
  readonly resource: string;
  /** `ok`, `denied`, `dry-run`, or the code of the fault that ended it. */
  readonly outcome: string;
  /** The rule that decided: a role's name, a group's name; empty where nothing was decided. */
  readonly rule: string;
  readonly requestId: string;
  /** Ids, versions, counts. Never a value, nor anything computed from one. */
  readonly detail: Readonly<Record<string, string>>;
}

/** An entry with its place and time, as read back. */
export interface RecordedEntry extends AuditEntry {
  /** 0-based index in the tree. */
  readonly sequence: number;
  readonly timeMs: number;
}
