/**
 * What a handler returns: an answer, or a change that somebody else carries out.
 *
 * A handler has no effects. It reads what is in memory and says what should be written and what its
 * answer will be; `handle-request` commits that together with the audit entry. So nothing can be
 * done unrecorded, and whatever fails has done nothing.
 */
import type { AuditEntry, AuditReceipt } from '../audit/audit.ts';
import type { Maintenance, RecordExpectation, RecordWrite } from '../barrier/barrier.ts';

export interface Done {
  /** Of the object, as it is now: of the commit if it was written, else the one that was seen. */
  readonly revision: number;
  /** Nothing was written: the answer is what it would be. */
  readonly dryRun: boolean;
}

export interface Plan<Output> {
  /** Called once, after the commit. */
  readonly output: (done: Done) => Output;
  /**
   * Revision of the one object that this is about; 0 if it does not exist yet. Left out where there
   * is no such object: then no If-Match is taken and no ETag given.
   */
  readonly seen?: number;
  readonly writes?: readonly RecordWrite[];
  readonly expectations?: readonly RecordExpectation[];
  /** For the audit entry: ids, versions, counts. */
  readonly detail?: Readonly<Record<string, string>>;
  /** For the audit entry, where the input does not say what this is about. */
  readonly resource?: string;
  /**
   * Further resources on which the caller must be allowed this same action: whoever gives a secret to
   * a group needs the right on that secret too, and not on the group alone.
   */
  readonly requires?: readonly string[];
  readonly maintenance?: Maintenance;
  /** Commits in another way than `audit.commit`, with the entry. */
  readonly commit?: (entry: AuditEntry) => Promise<AuditReceipt>;
  /** Once the commit has succeeded, before the reply. Not in a dry run. */
  readonly after?: () => Promise<void>;
}

/** An answer that changes nothing. */
export function answer<Output>(output: Output, seen?: number): Plan<Output> {
  return { output: () => output, ...(seen === undefined ? {} : { seen }) };
}
