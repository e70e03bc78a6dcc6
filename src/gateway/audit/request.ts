/** What is asked of the write path, and which requests may share a commit. */
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { Maintenance, RecordExpectation, RecordWrite } from '../barrier/barrier.ts';
import type { AuditEntry } from './entry.ts';

export interface AuditRequest {
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
  readonly entries: readonly [AuditEntry, ...AuditEntry[]];
  /** From the barrier: a rotation or a step of rewrapping. */
  readonly maintenance?: Maintenance;
}

export interface AuditReceipt {
  readonly revision: number;
  /** Of the entries, in their order. */
  readonly sequences: readonly number[];
}

/** What a request does to the log itself besides its entries: accepts a suspected rollback. */
export type LogAct = 'accept';

export interface Pending {
  readonly request: AuditRequest;
  /** Of the records that it writes or expects something of; kept, because a request may wait long. */
  readonly keys: readonly string[];
  readonly act: LogAct | undefined;
  readonly resolve: (receipt: AuditReceipt) => void;
  readonly reject: (error: unknown) => void;
}

export interface GroupBounds {
  readonly members: number;
  readonly entries: number;
  readonly bytes: number;
}

/**
 * Takes from the queue, in order, what can be one commit as if it were done one after the other: no
 * member reads or writes a record that an earlier one writes. A record that somebody waits for is left
 * to them, so that nobody is overtaken. One request with maintenance or an act of the log per group.
 */
export function takeGroup(queue: Pending[], bounds: GroupBounds): Pending[] {
  const group: Pending[] = [];
  const waiting: Pending[] = [];
  const written = new Set<string>();
  const awaited = new Set<string>();
  let [entries, bytes, special] = [0, 0, false];
  let taken = 0;
  for (const pending of queue) {
    const { keys, request } = pending;
    const full = group.length >= bounds.members || bytes >= bounds.bytes;
    if (full || (entries > 0 && entries + request.entries.length > bounds.entries)) break;
    taken += 1;
    const isSpecial = pending.act !== undefined || request.maintenance !== undefined;
    const collides = keys.some((key) => written.has(key) || awaited.has(key));
    if (collides || (isSpecial && special)) {
      for (const key of keys) awaited.add(key);
      waiting.push(pending);
      continue;
    }
    group.push(pending);
    special ||= isSpecial;
    entries += request.entries.length;
    for (const { kind, id, bytes: content } of request.writes) {
      written.add(`${kind}/${id}`);
      bytes += content?.length ?? 0;
    }
  }
  queue.splice(0, taken, ...waiting);
  return group;
}

/** What only a bug of a caller can break: found here, it does not touch those it is grouped with. */
export function assertRequest({ writes, entries }: AuditRequest): void {
  const { length } = entries;
  assert(length > 0 && length <= limits.commitGroupEntriesMax, 'every commit has its entries');
  const ids = new Set(writes.map(({ kind, id }) => `${kind}/${id}`));
  assert(ids.size === writes.length, 'a request writes a record once');
  assert(
    writes.every(({ kind }) => kind !== 'audit' && kind !== 'audit-key'),
    'nobody but the log writes the log',
  );
  assert(entries.every(isShort), 'an entry is short');
}

/** Whether an entry's texts fit its encoding, whatever characters they are made of. */
function isShort({
  principal,
  action,
  resource,
  outcome,
  rule,
  requestId,
  detail,
}: AuditEntry): boolean {
  const { id, name, source } = principal;
  let chars = id.length + name.length + source.length;
  chars += action.length + resource.length + outcome.length + rule.length + requestId.length;
  for (const key of Object.keys(detail)) chars += key.length + (detail[key]?.length ?? 0);
  return chars <= limits.auditEntryCharsMax;
}

export function keysOf(request: AuditRequest): string[] {
  return [...request.writes, ...request.expectations].map(({ kind, id }) => `${kind}/${id}`);
}
