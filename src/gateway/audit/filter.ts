/** Picking entries out of the log. All conditions that are given must hold; texts are compared whole. */
import type { AuditEntry } from './entry.ts';

export interface EntryFilter {
  readonly action?: string;
  /** A principal's id or name. */
  readonly actor?: string;
  readonly resource?: string;
  readonly outcome?: string;
}

export function matches(filter: EntryFilter, entry: AuditEntry): boolean {
  const { action, actor, resource, outcome } = filter;
  return (
    (action === undefined || entry.action === action) &&
    (actor === undefined || entry.principal.id === actor || entry.principal.name === actor) &&
    (resource === undefined || entry.resource === resource) &&
    (outcome === undefined || entry.outcome === outcome)
  );
}
