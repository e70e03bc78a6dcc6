/**
 * Reading single records from storage, each compared with what the index knows of it: a row that is
 * missing or of another revision is as bad as one that does not open.
 *
 * A commit may run while a row is read. What was true before or after the read is accepted; anything
 * else, while nothing is being committed, is somebody else's doing.
 */
import { Fault } from '../../base/fault.ts';
import type { Physical, Row } from '../physical/physical.ts';
import { readHeader } from './envelope.ts';
import type { RecordKind, StoredRecord } from './record.ts';
import { isIndexed, purposeOf, type Store } from './store.ts';

/** A commit on its way to storage, if there is one. */
export interface Flight {
  /** Grows with each commit that starts. */
  readonly number: number;
  readonly landed: Promise<void> | undefined;
}

export interface ReadContext {
  readonly physical: Physical;
  /** @throws Fault `barrier.sealed` */
  store(): Store;
  flight(): Flight;
}

const triesMax = 16;

export async function readRecord(
  context: ReadContext,
  kind: RecordKind,
  id: string,
): Promise<StoredRecord | undefined> {
  const key = `${kind}/${id}`;
  if (!isIndexed(kind)) {
    const row = await context.physical.get(key);
    return row && openRow(context.store(), kind, row);
  }
  for (let tries = 0; tries < triesMax; tries++) {
    const flight = context.flight();
    const before = revisionIn(context.store(), key);
    const row = before === 0 ? undefined : await context.physical.get(key);
    const store = context.store();
    const found = row === undefined ? 0 : (readHeader(row.bytes)?.revision ?? -1);
    if (found === before || found === revisionIn(store, key)) {
      return row && openRow(store, kind, row);
    }
    const now = context.flight();
    if (now.landed === undefined && now.number === flight.number) break;
    await now.landed;
  }
  throw new Fault('barrier.corrupt', { kind, id });
}

/** In id order. A row that storage hides from a listing alone is not missed here: its id tells of it. */
export async function listRecords(
  context: ReadContext,
  kind: RecordKind,
  options: { readonly after?: string; readonly limit: number; readonly reverse?: boolean },
): Promise<StoredRecord[]> {
  context.store();
  const { limit, reverse = false, after } = options;
  const rows = await context.physical.list(`${kind}/`, {
    limit,
    reverse,
    ...(after === undefined ? {} : { after: `${kind}/${after}` }),
  });
  const records: StoredRecord[] = [];
  for (const row of rows) {
    const record = await checkedRecord(context, kind, row);
    if (record) records.push(record);
  }
  return records;
}

async function checkedRecord(
  context: ReadContext,
  kind: RecordKind,
  row: Row,
): Promise<StoredRecord | undefined> {
  const store = context.store();
  const current = isIndexed(kind) ? revisionIn(store, row.key) : undefined;
  if (current === undefined || current === readHeader(row.bytes)?.revision) {
    return openRow(store, kind, row);
  }
  // Changed since it was listed, or not what was written: a look at it alone tells.
  if (current !== 0) return readRecord(context, kind, row.key.slice(kind.length + 1));
  const again = await context.physical.get(row.key);
  const { landed } = context.flight();
  if (again === undefined) return undefined;
  if (landed !== undefined || revisionIn(context.store(), row.key) !== 0) {
    await landed;
    return readRecord(context, kind, row.key.slice(kind.length + 1));
  }
  throw new Fault('barrier.corrupt', { kind, id: row.key.slice(kind.length + 1) });
}

function revisionIn(store: Store, key: string): number {
  return store.index.get(key)?.revision ?? 0;
}

/** @throws Fault `barrier.corrupt` */
function openRow(store: Store, kind: RecordKind, row: Row): StoredRecord {
  const id = row.key.slice(kind.length + 1);
  const revision = readHeader(row.bytes)?.revision ?? 0;
  const place = { purpose: purposeOf(kind), kind, id, revision };
  const bytes = store.envelope.open(place, row.bytes);
  if (bytes === undefined) throw new Fault('barrier.corrupt', { kind, id });
  return { id, revision, bytes };
}
