/**
 * Goal: what is read is what was written; what was done to the storage behind our back is refused
 * (G11), also where it is whole rows (the state digest); values never reach storage (G38). Rows that are
 * swapped (G9) have a test of their own: `swapped-rows.test.ts`.
 * Method: the real barrier over memory. Attacks change rows below it, then read or unseal anew. Each
 * attack has a control: the same store without it, or the check without the digest.
 */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import { after, test } from 'node:test';
import { isFault } from '../../base/fault.ts';
import { systemRandom } from '../../base/random.ts';
import { KeyFilePlace } from '../../testing/unsealed-barrier.ts';
import { formsFound } from '../../testing/canary-scan.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import type { Row } from '../physical/physical.ts';
import type { Barrier, Projection, RecordKind, RecordWrite } from './barrier.ts';

const place = new KeyFilePlace();
after(() => place[Symbol.dispose]());
const none = Buffer.alloc(0);

function put(kind: RecordKind, id: string, text: string | Buffer): RecordWrite {
  return { kind, id, bytes: Buffer.from(text) };
}

async function commit(barrier: Barrier, ...writes: RecordWrite[]): Promise<number> {
  const { revision } = await barrier.commit({ writes, expectations: [], trailer: none });
  return revision;
}

/** A storage whose rows can be replaced as by someone who has the disk. */
class OpenMemory extends MemoryPhysical {
  async rows(): Promise<readonly Row[]> {
    return this.list('', { limit: 10_000 });
  }

  /** Another storage with these rows, at the same revision. */
  static async of(rows: readonly Row[], revision: number): Promise<OpenMemory> {
    const memory = new OpenMemory();
    for (let at = 1; at <= revision; at++) {
      const writes = rows.filter((row) => row.revision === at);
      await memory.commit({ revision: at, writes, expectations: [] });
    }
    return memory;
  }
}

/** The installation whose key file `place` holds: made once, copied for each test. */
async function freshStore(): Promise<{
  physical: OpenMemory;
  barrier: Barrier;
  own: KeyFilePlace;
}> {
  const own = new KeyFilePlace();
  after(() => own[Symbol.dispose]());
  const physical = new OpenMemory();
  return { physical, barrier: await own.unsealed({ physical }), own };
}

class Recorder implements Projection {
  readonly kind: RecordKind;
  readonly records = new Map<string, string>();

  constructor(kind: RecordKind) {
    this.kind = kind;
  }

  reset(): void {
    this.records.clear();
  }

  apply(record: { id: string; revision: number; bytes: Uint8Array | undefined }): void {
    if (record.bytes === undefined) this.records.delete(record.id);
    else this.records.set(record.id, `${record.revision} ${Buffer.from(record.bytes).toString()}`);
  }
}

test('Barrier gives back what was committed, before and after sealing, to views and projections', async () => {
  const { physical, own } = await freshStore();
  const projection = new Recorder('secret');
  const barrier = await own.unsealed({ physical, projections: [projection] });
  const secrets = barrier.view('secret');
  await commit(barrier, secrets.put('a', Buffer.from('one')), put('value', 'a/1', 'v'));
  const second = await commit(barrier, put('secret', 'b', 'two'), put('secret', 'a', 'three'));
  await commit(barrier, secrets.remove('b'));

  const check = async (): Promise<void> => {
    equal((await secrets.get('a'))?.bytes.toString(), 'three');
    equal((await secrets.get('a'))?.revision, second);
    equal(await secrets.get('b'), undefined);
    equal((await barrier.view('value').get('a/1'))?.bytes.toString(), 'v');
    deepEqual([...projection.records], [['a', `${second} three`]]);
    deepEqual(
      (await secrets.list({ limit: 9 })).map(({ id }) => id),
      ['a'],
    );
  };
  await check();
  await barrier.seal();
  equal(barrier.state, 'sealed');
  equal(projection.records.size, 0);
  await rejects(secrets.get('a'), { code: 'barrier.sealed' });
  await rejects(secrets.list({ limit: 1 }), { code: 'barrier.sealed' });
  await rejects(commit(barrier), { code: 'barrier.sealed' });
  throws(() => barrier.rootKeys.rotate(), { code: 'barrier.sealed' });
  throws(() => secrets.nameId('x'), { code: 'barrier.sealed' });
  await barrier.unseal(none);
  await check();
});

test('Barrier lists in order, forwards and backwards, within a kind only', async () => {
  const { barrier } = await freshStore();
  await commit(
    barrier,
    ...['c', 'a', 'd', 'b'].map((id) => put('node', id, id)),
    put('group', 'x', ''),
  );
  const ids = async (options: Parameters<ReturnType<Barrier['view']>['list']>[0]) =>
    (await barrier.view('node').list(options)).map(({ id }) => id).join('');
  equal(await ids({ limit: 10 }), 'abcd');
  equal(await ids({ limit: 2, after: 'b' }), 'cd');
  equal(await ids({ limit: 2, reverse: true }), 'dc');
  equal(await ids({ limit: 10, reverse: true, after: 'c' }), 'ba');
});

test('Barrier.commit refuses what fails an expectation, and changes nothing', async () => {
  const { barrier, physical } = await freshStore();
  const revision = await commit(barrier, put('secret', 'a', '1'));
  const before = await physical.rows();
  for (const wrong of [0, revision + 1]) {
    const batch = {
      writes: [put('secret', 'a', '2')],
      expectations: [{ kind: 'secret', id: 'a', revision: wrong } as const],
      trailer: none,
    };
    await rejects(barrier.commit(batch), { code: 'request.conflict' });
  }
  deepEqual(await physical.rows(), before);
  deepEqual(barrier.failing([{ kind: 'secret', id: 'a', revision }]), []);
  equal(barrier.failing([{ kind: 'secret', id: 'zz', revision: 1 }]).length, 1);
});

test('Barrier keeps the trailer of the last commit', async () => {
  const { barrier, physical, own } = await freshStore();
  await barrier.commit({ writes: [], expectations: [], trailer: Buffer.from('tree') });
  equal(Buffer.from((await own.unsealed({ physical })).trailer).toString(), 'tree');
});

test('View.nameId is the same for the same parts only, and differs between kinds and installations', async () => {
  const [one, two] = [await freshStore(), await freshStore()];
  const view = one.barrier.view('secret');
  const id = view.nameId('payments', 'key');
  equal(
    id,
    (await one.own.unsealed({ physical: one.physical })).view('secret').nameId('payments', 'key'),
  );
  ok(/^[0-9a-f]{40}$/.test(id));
  const others = [
    view.nameId('paymentskey'),
    view.nameId('payment', 'skey'),
    one.barrier.view('group').nameId('payments', 'key'),
    two.barrier.view('secret').nameId('payments', 'key'),
  ];
  ok(!others.includes(id));
});

/** Several kinds, two revisions of some, so that rows differ in one field at a time. */
async function populated(): Promise<{
  physical: OpenMemory;
  own: KeyFilePlace;
  older: readonly Row[];
  rows: readonly Row[];
  revision: number;
}> {
  const { physical, barrier, own } = await freshStore();
  const kinds = ['secret', 'value', 'group', 'grant', 'node'] as const;
  await commit(
    barrier,
    ...kinds.flatMap((kind) => ['a', 'b'].map((id) => put(kind, id, `${kind} ${id} 1`))),
  );
  const older = await physical.rows();
  await commit(barrier, ...kinds.map((kind) => put(kind, 'a', `${kind} a 2`)));
  await commit(barrier, ...kinds.map((kind) => put(kind, 'c', `${kind} c 3`)));
  return { physical, own, older, rows: await physical.rows(), revision: await physical.revision() };
}

function kindAndId(row: Row): [RecordKind, string] {
  const slash = row.key.indexOf('/');
  return [row.key.slice(0, slash) as RecordKind, row.key.slice(slash + 1)];
}

test('Barrier refuses every single-bit change of any of 50 rows (G11)', async () => {
  const { physical: honest, barrier: writer, own } = await freshStore();
  const kinds = ['secret', 'value', 'group', 'grant', 'node'] as const;
  const ids = Array.from({ length: 10 }, (_, index) => `${index}`);
  for (const id of ids)
    await commit(writer, ...kinds.map((kind) => put(kind, id, `${kind} ${id}`)));
  const physical = await OpenMemory.of(await honest.rows(), await honest.revision());
  const barrier = await own.unsealed({ physical });
  let forged: Row | undefined;
  const original = physical.get.bind(physical);
  physical.get = async (key) => (key === forged?.key ? forged : original(key));
  const records = (await honest.rows()).filter((row) => !row.key.startsWith('barrier/'));
  equal(records.length, 50);
  for (const row of records) {
    const [kind, id] = kindAndId(row);
    for (let bit = 0; bit < row.bytes.length * 8; bit++) {
      const bytes = Uint8Array.from(row.bytes);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      forged = { ...row, bytes };
      await rejects(barrier.view(kind).get(id), { code: 'barrier.corrupt' });
    }
    forged = row;
    ok(await barrier.view(kind).get(id), 'control');
  }
});

test('Barrier does not unseal when any bit of its head or keyring row was changed', async () => {
  const { own, rows, revision } = await populated();
  for (const key of ['barrier/head', 'barrier/keyring']) {
    const row = rows.find((candidate) => candidate.key === key);
    ok(row);
    const step = process.env['COFFER_LONG'] === '1' ? 1 : 13;
    for (let bit = 0; bit < row.bytes.length * 8; bit += step) {
      const bytes = Uint8Array.from(row.bytes);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const changed = rows.map((other) => (other === row ? { ...row, bytes } : other));
      const physical = await OpenMemory.of(changed, revision);
      const refused = await own.unsealed({ physical }).then(
        () => undefined,
        (error: unknown) => error,
      );
      ok(isFault(refused), `${key} bit ${bit}: refused with a fault`);
    }
  }
});

test('Barrier does not unseal a store in which one row was deleted, added or rolled back', async () => {
  const { own, rows, older, revision } = await populated();
  const attempt = async (changed: readonly Row[]): Promise<string> => {
    const physical = await OpenMemory.of(changed, revision);
    try {
      return (await own.unsealed({ physical })).state;
    } catch (error) {
      if (isFault(error)) return `${error.code} ${error.detail['what']}`;
      throw error;
    }
  };
  equal(await attempt(rows), 'ready', 'control: the honest store');
  const records = rows.filter((row) => !row.key.startsWith('barrier/'));
  for (const row of records) {
    const [kind] = kindAndId(row);
    const without = rows.filter((other) => other !== row);
    equal(await attempt(without), `barrier.tampered ${kind}`, `${row.key} deleted`);
    const old = older.find((other) => other.key === row.key);
    if (old === undefined) {
      continue;
    }
    const expected = old.revision === row.revision ? 'ready' : `barrier.tampered ${kind}`;
    equal(await attempt([...without, old]), expected, `${row.key} rolled back`);
  }
  const [first] = records as [Row];
  const extra = { ...first, key: `${first.key}-again` };
  equal(await attempt([...rows, extra]), `barrier.tampered ${kindAndId(first)[0]}`, 'a row added');
  const foreign = older.find((row) => row.key === 'barrier/head') as Row;
  const oldHead = rows.map((row) =>
    row.key === 'barrier/head' ? { ...foreign, revision: row.revision } : row,
  );
  equal(await attempt(oldHead), 'barrier.tampered head', 'an older head');
  equal(await attempt(rows.filter((row) => row.key !== 'barrier/head')), 'barrier.tampered head');
});

test('control: without the digest a row that was rolled back or deleted would have been taken', async () => {
  const { own, rows, older, revision } = await populated();
  const old = older.find((row) => row.key === 'secret/a') as Row;
  const changed = rows.filter((row) => !['secret/a', 'secret/b'].includes(row.key));
  const physical = await OpenMemory.of([...changed, old], revision);
  const seen: string[] = [];
  const witness: Projection = {
    kind: 'secret',
    reset() {},
    apply: ({ bytes }) => void seen.push(Buffer.from(bytes ?? []).toString()),
  };
  await rejects(own.unsealed({ physical, projections: [witness] }), { code: 'barrier.tampered' });
  deepEqual(seen, ['secret a 1', 'secret c 3'], 'each row by itself opened; only the digest knew');
});

test('a row that vanishes or goes back in time while the gateway runs is refused when it is read', async () => {
  const { own, rows, older, revision } = await populated();
  const physical = await OpenMemory.of(rows, revision);
  const barrier = await own.unsealed({ physical });
  const old = older.find((row) => row.key === 'secret/a') as Row;
  await physical.commit({
    revision: revision + 1,
    writes: [{ key: old.key, bytes: old.bytes }],
    expectations: [],
  });
  await rejects(barrier.view('secret').get('a'), { code: 'barrier.corrupt' });
  await rejects(barrier.view('secret').list({ limit: 5 }), { code: 'barrier.corrupt' });
  await physical.commit({
    revision: revision + 2,
    writes: [{ key: old.key, bytes: undefined }],
    expectations: [],
  });
  await rejects(barrier.view('secret').get('a'), { code: 'barrier.corrupt' });
  equal(await barrier.view('secret').get('never-there'), undefined, 'control');
});

test('no value, name or piece of one is found in storage in any usual coding (G38)', async () => {
  const { physical, barrier, own } = await freshStore();
  const canaries = Array.from({ length: 200 }, () => systemRandom.bytes(24));
  const text = 'canary-name-that-nobody-else-has';
  for (const [index, canary] of canaries.entries()) {
    await commit(
      barrier,
      put('value', `v${index}`, canary),
      put('secret', `s${index}`, `${text} ${canary.toString('hex')}`),
    );
  }
  const maintenance = barrier.rootKeys.rotate();
  await barrier.commit({ writes: [], expectations: [], trailer: none, maintenance });
  const all = Buffer.concat(
    (await physical.rows()).map((row) => Buffer.concat([Buffer.from(row.key), row.bytes])),
  );
  const latin = all.toString('latin1');
  for (const canary of canaries) deepEqual(formsFound(latin, canary), []);
  deepEqual(formsFound(latin, Buffer.from(text)), []);
  const [first = none] = canaries;
  const planted = `${latin}${Buffer.concat([Buffer.of(1), first]).toString('base64')}`;
  ok(formsFound(planted, first).length > 0, 'control: the scan finds');
  const again = await own.unsealed({ physical });
  deepEqual((await again.view('value').get('v0'))?.bytes, first, 'control: it is in there');
});

test('Barrier leaves nothing behind when a commit is fenced or its projection fails', async () => {
  const { physical, barrier } = await freshStore();
  await physical.commit({ revision: 2, writes: [], expectations: [] });
  await rejects(commit(barrier, put('secret', 'a', 'x')), { code: 'barrier.fenced' });
  equal(barrier.state, 'sealed', 'somebody else writes: this gateway stops');
  const other = await freshStore();
  const failing: Projection = {
    kind: 'group',
    reset() {},
    apply: () => {
      throw new Error('bug');
    },
  };
  const again = await other.own.unsealed({ physical: other.physical, projections: [failing] });
  await rejects(commit(again, put('group', 'g', 'x')), /bug/);
  equal(again.state, 'sealed', 'what is in memory cannot be trusted any more');
});

test('Barrier.unseal can be tried again after it failed, and tells how far it has come', async () => {
  const { physical, own } = await freshStore();
  const first = await own.unsealed({ physical });
  const many = Array.from({ length: 2500 }, (_, index) => put('secret', `s${index}`, 'x'));
  await commit(first, ...many);
  const original = physical.scan.bind(physical);
  physical.scan = async function* withoutFirsts(options) {
    for await (const rows of original(options)) yield rows.slice(1);
  };
  const projection = new Recorder('secret');
  const barrier = await own.opened({ physical, projections: [projection] });
  await rejects(barrier.unseal(none), { code: 'barrier.tampered' });
  deepEqual([barrier.state, projection.records.size], ['sealed', 0]);
  physical.scan = original;
  const progress: number[] = [];
  await barrier.unseal(none, ({ rows, rowsTotal }) => {
    equal(rowsTotal, 2500);
    progress.push(rows);
  });
  deepEqual([barrier.state, projection.records.size], ['ready', 2500]);
  equal(progress.length, 3);
  deepEqual([progress.toSorted((one, other) => one - other), progress.at(-1)], [progress, 2500]);
});

test('Feed tells each reader what changed, coalesced, and when it fell too far behind', async () => {
  const { barrier } = await freshStore();
  const { signal } = new AbortController();
  const [quick, slow] = [barrier.feed(), barrier.feed()];
  const waiting = quick.next(signal);
  await commit(barrier, put('secret', 'a', '1'), put('group', 'g', '1'));
  deepEqual(
    (await waiting).changes.map(({ kind, id }) => `${kind}/${id}`),
    ['secret/a', 'group/g'],
  );
  const revision = await commit(barrier, put('secret', 'a', '2'), put('audit', 'x', ''));
  await commit(barrier, { kind: 'group', id: 'g', bytes: undefined });
  const { lost, changes } = await slow.next(signal);
  equal(lost, false);
  deepEqual(changes, [
    { kind: 'secret', id: 'a', revision, removed: false },
    { kind: 'group', id: 'g', revision: revision + 1, removed: true },
  ]);
  for (let round = 0; round < 5; round++) {
    const writes = Array.from({ length: 2000 }, (_, index) =>
      put('node', `n${round}-${index}`, ''),
    );
    await commit(barrier, ...writes);
  }
  deepEqual(await slow.next(signal), { lost: true, changes: [] });
  slow.close();
  quick.close();
  const aborting = new AbortController();
  const aborted = barrier.feed().next(aborting.signal);
  aborting.abort();
  await rejects(aborted, { name: 'AbortError' });
});

test('Barrier.initialise and unseal refuse what does not fit their state', async () => {
  const { physical, barrier, own } = await freshStore();
  await rejects(barrier.initialise({ kind: 'keyfile' }), { code: 'barrier.initialised' });
  const empty = await own.opened();
  equal(empty.state, 'empty');
  await rejects(empty.unseal(none), { code: 'barrier.empty' });
  const other = new KeyFilePlace();
  after(() => other[Symbol.dispose]());
  await other.unsealed();
  await rejects(other.unsealed({ physical }), { code: 'seal.wrong-material' });
});
