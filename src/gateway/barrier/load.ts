/**
 * Loading a store at unseal: every row is counted into the index and the digest, every record that is
 * projected is opened and applied, and the result is compared with the head of the last commit.
 */
import { Fault } from '../../base/fault.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { Physical, Row } from '../physical/physical.ts';
import { StateDigest, termOf } from './digest.ts';
import { Envelope, readHeader } from './envelope.ts';
import type { Keyring } from './keyring.ts';
import { type Projection, type RecordKind, recordKinds } from './record.ts';
import { RowIndex } from './row-index.ts';
import { type Head, headKey, isIndexed, openHead, purposeOf, Store } from './store.ts';

/** How far loading has come. */
export interface LoadProgress {
  readonly rows: number;
  readonly rowsTotal: number;
}

export interface LoadOptions {
  readonly physical: Physical;
  readonly clock: Clock;
  readonly random: Random;
  readonly projections: readonly Projection[];
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Rows per turn: about ten milliseconds. */
const rowsPerPage = 1000;

/** @throws Fault `barrier.tampered`, `barrier.corrupt`. Projections are then half fed: reset them. */
export async function loadStore(keyring: Keyring, options: LoadOptions): Promise<Store> {
  const envelope = new Envelope(keyring, options.random);
  const revision = await options.physical.revision();
  const head = await readHead(envelope, options.physical, revision);
  const loading: Loading = {
    ...options,
    keyring,
    envelope,
    index: new RowIndex(options.random),
    digest: new StateDigest(),
    rowsTotal: recordKinds.reduce((sum, kind) => sum + head.digest.rows(kind), 0),
  };
  for (const kind of recordKinds.filter(isIndexed)) await loadKind(kind, loading);
  requireSame(head.digest, loading.digest);
  const { index, digest } = loading;
  const { random } = options;
  return new Store({ keyring, random, index, digest, revision, trailer: head.trailer });
}

interface Loading extends LoadOptions {
  readonly keyring: Keyring;
  readonly envelope: Envelope;
  readonly index: RowIndex;
  readonly digest: StateDigest;
  readonly rowsTotal: number;
}

async function readHead(envelope: Envelope, physical: Physical, revision: number): Promise<Head> {
  const row = await physical.get(headKey);
  const head = row && openHead(envelope, row.bytes, revision);
  if (head === undefined) throw new Fault('barrier.tampered', { what: 'head', revision });
  return head;
}

async function loadKind(kind: RecordKind, loading: Loading): Promise<void> {
  const { physical, clock, index, rowsTotal, onProgress } = loading;
  const projections = loading.projections.filter((projection) => projection.kind === kind);
  const prefix = `${kind}/`;
  let after: string | undefined;
  for (;;) {
    const limit = rowsPerPage;
    const rows = await physical.list(prefix, after === undefined ? { limit } : { limit, after });
    for (const row of rows) loadRow(kind, row, projections, loading);
    after = rows.at(-1)?.key;
    onProgress?.({ rows: index.size, rowsTotal });
    if (rows.length < rowsPerPage) return;
    await clock.nextTurn();
  }
}

function loadRow(
  kind: RecordKind,
  row: Row,
  projections: readonly Projection[],
  loading: Loading,
): void {
  const { keyring, envelope, index, digest } = loading;
  const id = row.key.slice(kind.length + 1);
  const header = readHeader(row.bytes);
  if (header === undefined) throw new Fault('barrier.corrupt', { kind, id });
  const { revision, keyNumber } = header;
  digest.add(kind, termOf(keyring.digestKey, row.key, revision));
  index.set(row.key, { revision, keyNumber });
  if (projections.length === 0) return;
  const bytes = envelope.open({ purpose: purposeOf(kind), kind, id, revision }, row.bytes);
  if (bytes === undefined) throw new Fault('barrier.corrupt', { kind, id });
  for (const projection of projections) projection.apply({ id, revision, bytes });
}

/** @throws Fault `barrier.tampered` naming the first kind that is not as it was committed. */
function requireSame(committed: StateDigest, found: StateDigest): void {
  const [kind] = committed.differences(found);
  if (kind === undefined) return;
  const rows = found.rows(kind);
  const expected = committed.rows(kind);
  throw new Fault('barrier.tampered', { what: kind, rows, expected });
}
