/**
 * Picking entries out of the log. All conditions that are given must hold; texts are compared whole, but
 * for an asterisk at the end of an action or a resource, which stands for whatever follows.
 */
import type { RecordedEntry } from './entry.ts';

export interface EntryFilter {
  readonly action?: string;
  /** A principal's id or name. */
  readonly actor?: string;
  readonly resource?: string;
  readonly outcome?: string;
  /** One of these, whatever `action` says. */
  readonly actions?: ReadonlySet<string>;
  /** Recorded then or later. */
  readonly sinceMs?: number;
}

export function matches(filter: EntryFilter, entry: RecordedEntry): boolean {
  const { action, actor, resource, outcome, actions, sinceMs } = filter;
  return (
    (sinceMs === undefined || entry.timeMs >= sinceMs) &&
    (action === undefined || fits(action, entry.action)) &&
    (actions === undefined || actions.has(entry.action)) &&
    (actor === undefined || entry.principal.id === actor || entry.principal.name === actor) &&
    (resource === undefined || fits(resource, entry.resource)) &&
    (outcome === undefined || entry.outcome === outcome)
  );
}

/** `secret.*` and `secrets/payments/**` are what begins so. */
function fits(wanted: string, text: string): boolean {
  const start = /^(.*?)\*{1,2}$/s.exec(wanted)?.[1];
  return start === undefined ? text === wanted : text.startsWith(start);
}
