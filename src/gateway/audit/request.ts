/** What is asked of the write path, and which requests may share a commit. */
import { assert } from '../../base/assert.ts';
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import {
  isPhysicalKey,
  type Maintenance,
  type RecordExpectation,
  type RecordWrite,
  rowBytesMax,
  rowBytesOf,
} from '../barrier/barrier.ts';
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
  /** It was in a commit that failed by somebody's bug, and gets one of its own. */
  readonly isAlone?: boolean;
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
    const isApart = pending.isAlone === true || group[0]?.isAlone === true;
    const full = group.length >= bounds.members || bytes >= bounds.bytes;
    if (
      full ||
      (isApart && group.length > 0) ||
      (entries > 0 && entries + request.entries.length > bounds.entries)
    )
      break;
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

/**
 * Whatever can be wrong with a request by itself: found here, it does not touch those it is grouped with.
 *
 * @throws Fault `limit.exceeded` if it does not fit into storage.
 * @throws AssertionError for what only a bug of a caller can break.
 */
export function assertRequest({ writes, expectations, entries }: AuditRequest): void {
  const { length } = entries;
  assert(length > 0 && length <= limits.commitGroupEntriesMax, 'every commit has its entries');
  for (const { kind, id } of [...writes, ...expectations]) {
    assert(isPhysicalKey(`${kind}/${id}`), 'a record has a key that storage takes');
  }
  const ids = new Set(writes.map(({ kind, id }) => `${kind}/${id}`));
  assert(ids.size === writes.length, 'a request writes a record once');
  assert(
    writes.every(({ kind }) => kind !== 'audit' && kind !== 'audit-key'),
    'nobody but the log writes the log',
  );
  assert(entries.every(isShort), 'an entry is short');
  requireFit(writes);
}

function requireFit(writes: readonly RecordWrite[]): void {
  let total = 0;
  for (const { kind, bytes } of writes) {
    if (bytes === undefined) continue;
    const row = rowBytesOf(kind, bytes.length);
    if (row > rowBytesMax) {
      throw new Fault('limit.exceeded', { what: kind, unit: 'bytes', max: rowBytesMax });
    }
    total += row;
  }
  const max = limits.commitRequestBytesMax;
  if (total > max) throw new Fault('limit.exceeded', { what: 'request', unit: 'bytes', max });
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
  for (const key in detail) chars += key.length + (detail[key]?.length ?? 0);
  return chars <= limits.auditEntryCharsMax;
}

export function keysOf(request: AuditRequest): string[] {
  return [...request.writes, ...request.expectations].map(({ kind, id }) => `${kind}/${id}`);
}
