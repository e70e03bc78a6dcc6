/**
 * Loading a store at unseal: every row is counted into the index and the digest, every record that is
 * projected is opened and applied, and the result is compared with the head of the last commit.
 */
import { Fault } from '../../base/fault.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { Physical, Row } from '../physical/physical.ts';
import { StateDigest, Terms } from './digest.ts';
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

/** @throws Fault `barrier.tampered`, `barrier.corrupt`. Projections are then half fed: reset them. */
export async function loadStore(keyring: Keyring, options: LoadOptions): Promise<Store> {
  const { physical, clock, random, projections, onProgress } = options;
  const envelope = new Envelope(keyring, random);
  const revision = await physical.revision();
  const head = await readHead(envelope, physical, revision);
  const rowsTotal = recordKinds.reduce((sum, kind) => sum + head.digest.rows(kind), 0);
  const index = new RowIndex(random, rowsTotal);
  const digest = new StateDigest();
  using terms = new Terms(keyring.digestKey);
  const loading: Loading = { envelope, terms, index, digest, kinds: new Map() };
  for (const kind of recordKinds.filter(isIndexed)) {
    const followers = projections.filter((projection) => projection.kind === kind);
    loading.kinds.set(kind, { kind, followers });
  }
  for await (const rows of physical.scan({ without: unindexedPrefix, expected: rowsTotal })) {
    for (const row of rows) loadRow(row, loading);
    onProgress?.({ rows: index.size, rowsTotal });
    await clock.nextTurn();
  }
  requireSame(head.digest, digest);
  const { trailer } = head;
  return new Store({ keyring, random, index, digest, revision, trailer, head: head.head });
}

const unindexedPrefix = 'audit/';

interface Loading {
  readonly envelope: Envelope;
  readonly terms: Terms;
  readonly index: RowIndex;
  readonly digest: StateDigest;
  readonly kinds: Map<
    string,
    { readonly kind: RecordKind; readonly followers: readonly Projection[] }
  >;
}

async function readHead(envelope: Envelope, physical: Physical, revision: number): Promise<Head> {
  const row = await physical.get(headKey);
  const head = row && openHead(envelope, row.bytes, revision);
  if (head === undefined) throw new Fault('barrier.tampered', { what: 'head', revision });
  return head;
}

/** Rows of other kinds (the keyring, the head) are somebody else's. */
function loadRow(row: Row, loading: Loading): void {
  const { envelope, terms, index, digest } = loading;
  const slash = row.key.indexOf('/');
  const known = loading.kinds.get(row.key.slice(0, slash));
  if (known === undefined) return;
  const { kind, followers } = known;
  const id = row.key.slice(slash + 1);
  const header = readHeader(row.bytes);
  if (header === undefined) throw new Fault('barrier.corrupt', { kind, id });
  const { revision, keyNumber } = header;
  digest.add(kind, terms.of(row.key, revision));
  index.set(row.key, { revision, keyNumber });
  if (followers.length === 0) return;
  const bytes = envelope.open({ purpose: purposeOf(kind), kind, id, revision }, row.bytes);
  if (bytes === undefined) throw new Fault('barrier.corrupt', { kind, id });
  for (const follower of followers) follower.apply({ id, revision, bytes });
}

/** @throws Fault `barrier.tampered` naming the first kind that is not as it was committed. */
function requireSame(committed: StateDigest, found: StateDigest): void {
  const [kind] = committed.differences(found);
  if (kind === undefined) return;
  const rows = found.rows(kind);
  const expected = committed.rows(kind);
  throw new Fault('barrier.tampered', { what: kind, rows, expected });
}
