/**
 * Goal: whoever has the disk, or comes in between, changes nothing that the barrier promises: what was
 * written last is what is read (G9, G11), of two changes of the keyring one is made, destroyed keys are
 * gone (G12).
 * Method: the real barrier over memory; rows are taken away and put back below it, commits made between
 * a step of rewrapping and its commit. Each attack has a control: the same course without it.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { after, test } from 'node:test';
import { joinPrefixed } from '../../base/bytes.ts';
import { systemRandom } from '../../base/random.ts';
import { AeadKey, sealBytes } from '../../crypto/aead.ts';
import { FaultyPhysical } from '../../testing/faulty-physical.ts';
import { KeyFilePlace } from '../../testing/unsealed-barrier.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import { createSeal } from '../seal/seal.ts';
import type { Barrier, Projection, RecordKind, RecordWrite } from './barrier.ts';
import { Envelope } from './envelope.ts';
import { Keyring } from './keyring.ts';
import { makeKeyringRow, openKeyringRow, parseKeyringRow } from './keyring-row.ts';
import type { Maintenance } from './maintenance.ts';

const none = Buffer.alloc(0);
const own = new KeyFilePlace();
after(() => own[Symbol.dispose]());

const put = (kind: RecordKind, id: string, text: string): RecordWrite => ({
  ...{ kind, id, bytes: Buffer.from(text) },
});

async function commit(
  barrier: Barrier,
  writes: readonly RecordWrite[],
  maintenance?: Maintenance,
): Promise<number> {
  const more = maintenance === undefined ? {} : { maintenance };
  const batch = { writes, expectations: [], trailer: none, ...more };
  return (await barrier.commit(batch)).revision;
}

async function freshStore(): Promise<{ physical: MemoryPhysical; barrier: Barrier }> {
  const place = new KeyFilePlace();
  after(() => place[Symbol.dispose]());
  const physical = new MemoryPhysical();
  const barrier = await place.unsealed({ physical });
  return { physical, barrier };
}

test('a row is not exchanged for another one that was written with it and removed since', async () => {
  const place = new KeyFilePlace();
  after(() => place[Symbol.dispose]());
  const physical = new MemoryPhysical();
  const barrier = await place.unsealed({ physical });
  // Both envelopes are of one kind and one revision: only the keys of the rows tell them apart.
  const revision = await commit(barrier, [put('grant', 'kept', 'k'), put('grant', 'gone', 'g')]);
  const before = await physical.list('grant/', { limit: 9 });
  await commit(barrier, [{ kind: 'grant', id: 'gone', bytes: undefined }]);
  const exchanged = async (ids: readonly string[]): Promise<MemoryPhysical> => {
    const copy = new MemoryPhysical();
    const rows = (await physical.list('', { limit: 99 })).filter((row) => row.key !== 'grant/kept');
    rows.push(...before.filter(({ key }) => ids.includes(key)));
    for (let at = 1; at <= revision + 1; at++) {
      const writes = rows.filter((row) => row.revision === at);
      await copy.commit({ revision: at, writes, expectations: [] });
    }
    return copy;
  };
  const honest = await exchanged(['grant/kept']);
  equal((await place.unsealed({ physical: honest })).state, 'ready', 'control');
  const forged = await exchanged(['grant/gone']);
  await rejects(place.unsealed({ physical: forged }), { code: 'barrier.tampered' });
});

test('a row that somebody adds while the gateway runs is not listed, and said to be corrupt', async () => {
  const { physical, barrier } = await freshStore();
  await commit(barrier, [put('group', 'a', 'a'), put('group', 'b', 'b')]);
  const [, stolen] = await physical.list('group/', { limit: 9 });
  await commit(barrier, [{ kind: 'group', id: 'b', bytes: undefined }]);
  const groups = barrier.view('group');
  equal((await groups.list({ limit: 9 })).length, 1, 'control');
  const original = physical.list.bind(physical);
  const originalGet = physical.get.bind(physical);
  physical.list = async (prefix, options) => {
    const rows = await original(prefix, options);
    return prefix === 'group/' && stolen ? [...rows, stolen] : rows;
  };
  physical.get = async (key) => (key === stolen?.key ? stolen : originalGet(key));
  await rejects(groups.list({ limit: 9 }), { code: 'barrier.corrupt' });
});

test('a step of rewrapping takes back nothing that was written since it was made, or with it', async () => {
  for (const when of ['before it', 'with it', 'never'] as const) {
    const { physical, barrier } = await freshStore();
    await commit(barrier, [put('group', 'a', 'old'), put('value', 'v', 'old')]);
    await commit(barrier, [], barrier.rootKeys.rotate());
    const step = await barrier.rootKeys.rewrapStep();
    ok(step && step.rewraps.length >= 2, 'control: there is something to rewrap');
    const news = [put('group', 'a', 'new'), put('value', 'v', 'new')];
    if (when === 'before it') await commit(barrier, news);
    await commit(barrier, when === 'with it' ? news : [], step);
    const expected = when === 'never' ? 'old' : 'new';
    equal((await barrier.view('group').get('a'))?.bytes.toString(), expected, when);
    equal((await barrier.view('value').get('v'))?.bytes.toString(), expected, when);
    equal(barrier.rootKeys.status().remaining, 0, when);
    const keys = new Set((await physical.list('group/', { limit: 9 })).map(({ key }) => key));
    equal(keys.size, 1);
  }
});

test('of two changes of one keyring the second is a conflict, and changes nothing', async () => {
  const { physical, barrier } = await freshStore();
  const [first, second] = [barrier.rootKeys.rotate(), barrier.rootKeys.rotate()];
  await commit(barrier, [], first);
  const before = await physical.list('', { limit: 99 });
  await rejects(commit(barrier, [put('group', 'a', 'x')], second), { code: 'request.conflict' });
  deepEqual(await physical.list('', { limit: 99 }), before);
  equal(barrier.rootKeys.status().keyNumber, 3);
  await commit(barrier, [], barrier.rootKeys.rotate());
  equal(barrier.rootKeys.status().keyNumber, 5, 'control');
});

test('an installation is not made anew over the storage of one whose keyring was taken away', async () => {
  const { physical } = await freshStore();
  const stripped = new MemoryPhysical();
  for (let at = 1; at <= (await physical.revision()); at++) {
    const rows = (await physical.list('', { limit: 99 })).filter((row) => row.revision === at);
    const writes = rows.filter(({ key }) => key !== 'barrier/keyring');
    await stripped.commit({ revision: at, writes, expectations: [] });
  }
  using place = new KeyFilePlace();
  const tampered = { code: 'barrier.tampered', detail: { what: 'keyring' } };
  await rejects(place.opened({ physical: stripped }), tampered);
  // Also where it says that nothing was ever committed.
  stripped.revision = async () => 0;
  await rejects(place.opened({ physical: stripped }), tampered);
  equal((await place.opened()).state, 'empty', 'control');
});

test('a keyring that is taken away while the gateway runs is missed when it is sealed, and unsealed', async () => {
  const { physical, barrier } = await freshStore();
  const get = physical.get.bind(physical);
  physical.get = async (key) => (key === 'barrier/keyring' ? undefined : get(key));
  await rejects(barrier.seal(), { code: 'barrier.tampered' });
  equal(barrier.state, 'sealed');
  await rejects(barrier.unseal(none), { code: 'barrier.tampered' });
  physical.get = get;
  await barrier.unseal(none);
  equal(barrier.state, 'ready', 'control');
});

test('a new installation is in storage with its first commit, and whole', async () => {
  using place = new KeyFilePlace();
  const disk = new MemoryPhysical();
  let fails = true;
  const physical = new FaultyPhysical(disk, () => (fails ? 'full' : undefined));
  const barrier = await place.opened({ physical });
  await barrier.initialise({ kind: 'keyfile' });
  await rejects(commit(barrier, [put('group', 'a', 'x')]), { code: 'storage.full' });
  deepEqual([await disk.revision(), await disk.list('', { limit: 9 })], [0, []]);
  equal(await barrier.reopen(), 'absent');
  fails = false;
  await commit(barrier, [put('group', 'a', 'x')]);
  const again = await place.unsealed({ physical: disk });
  equal((await again.view('group').get('a'))?.bytes.toString(), 'x');
});

test('a new installation that is sealed before its first commit was never there', async () => {
  using place = new KeyFilePlace();
  const barrier = await place.opened();
  await barrier.initialise({ kind: 'keyfile' });
  await barrier.seal();
  equal(barrier.state, 'empty');
  await rejects(barrier.unseal(none), { code: 'barrier.empty' });
});

test('a storage that is at a revision of somebody else is not gone on from', async () => {
  const { physical, barrier } = await freshStore();
  equal(await barrier.reopen(), 'absent', 'control');
  const revision = await physical.revision();
  await physical.commit({ revision: revision + 1, writes: [], expectations: [] });
  await rejects(barrier.reopen(), { code: 'barrier.tampered' });
});

/** Over storage of which the third batch fails, and is there all the same. */
async function inDoubt() {
  const place = new KeyFilePlace();
  after(() => place[Symbol.dispose]());
  const disk = new MemoryPhysical();
  let batches = 0;
  const physical = new FaultyPhysical(disk, () => (++batches === 3 ? 'failed-after' : undefined));
  const barrier = await place.unsealed({ physical });
  await commit(barrier, [put('group', 'a', 'before')]);
  const writes = [put('group', 'a', 'in doubt')];
  await rejects(commit(barrier, writes), { code: 'storage.failed' });
  return { barrier, disk };
}

test('a gateway that is sealed in doubt reads the storage anew, and what it commits is there', async () => {
  const { barrier, disk } = await inDoubt();
  await barrier.seal();
  await barrier.unseal(none);
  const groups = barrier.view('group');
  equal((await groups.get('a'))?.bytes.toString(), 'in doubt');
  equal(barrier.revision, await disk.revision());
  await commit(barrier, [put('group', 'a', 'after')]);
  equal((await groups.get('a'))?.bytes.toString(), 'after');
  equal(barrier.revision, await disk.revision());
});

test('a batch is taken for committed only if it is the one that storage holds', async () => {
  const honest = await inDoubt();
  equal(await honest.barrier.reopen(), 'committed', 'control');
  equal((await honest.barrier.view('group').get('a'))?.bytes.toString(), 'in doubt');

  const { barrier, disk } = await inDoubt();
  // At the same revision, something that this gateway did not write.
  const head = await disk.get('barrier/head');
  const get = disk.get.bind(disk);
  disk.get = async (key) =>
    key === 'barrier/head' && head
      ? { ...head, bytes: head.bytes.map((byte) => byte ^ 1) }
      : get(key);
  await rejects(barrier.reopen(), { code: 'barrier.tampered', detail: { what: 'head' } });
  disk.get = get;
  equal(await barrier.reopen(), 'committed', 'control');
});

test('a storage whose last revision was written by somebody else is not gone on from', async () => {
  const { physical, barrier } = await freshStore();
  await commit(barrier, [put('group', 'a', 'x')]);
  equal(await barrier.reopen(), 'absent', 'control');
  const head = await physical.get('barrier/head');
  await commit(barrier, []);
  const get = physical.get.bind(physical);
  physical.get = async (key) => (key === 'barrier/head' ? head : get(key));
  await rejects(barrier.reopen(), { code: 'barrier.tampered', detail: { what: 'head' } });
});

test('a key is good for its own use only, and a destroyed one for none, also when it was stored', () => {
  const keyring = Keyring.create('ins_1', 1, systemRandom);
  const [root, journal] = [keyring.active('root'), keyring.active('journal')];
  ok(keyring.derive(root, 'record') && keyring.derive(journal, 'journal'), 'control');
  equal(keyring.derive(journal, 'record'), undefined);
  equal(keyring.derive(root, 'journal'), undefined);
  const destroyed = keyring.rotate(2, systemRandom).destroy([root], 3);
  const stored = Keyring.fromBytes(destroyed.toBytes());
  for (const after of [destroyed, stored]) {
    for (const purpose of ['record', 'wrap', 'head'] as const) {
      // Zeros stand in its place: a key that everybody knows.
      equal(after?.derive(root, purpose), undefined, purpose);
    }
  }
});

test('a keyring opens beside the very seal record that it was stored with', async () => {
  const raw = systemRandom.bytes(32);
  const context = { random: systemRandom, keyFile: own.keyFile };
  const seal = async (existing: boolean) => ({
    ...(await createSeal({ kind: 'keyfile', existing }, raw, context)),
    key: AeadKey.fromBytes(raw),
    random: systemRandom,
  });
  const [one, other] = [await seal(false), await seal(true)];
  const keyring = Keyring.create('ins_1', 1, systemRandom);
  const row = parseKeyringRow(makeKeyringRow(keyring, one));
  equal(openKeyringRow(row, one.key).installation, 'ins_1', 'control');
  const changed = { ...row, record: other.record, recordText: JSON.stringify(other.record) };
  await rejects(async () => openKeyringRow(changed, one.key), { code: 'seal.corrupt' });
  await rejects(async () => openKeyringRow({ ...row, installation: 'ins_2' }, one.key), {
    code: 'seal.corrupt',
  });
});

test('an envelope that says more bytes than it has does not open', () => {
  const keyring = Keyring.create('ins_1', 1, systemRandom);
  const envelope = new Envelope(keyring, systemRandom);
  const place = { purpose: 'record', kind: 'group', id: 'a', revision: 7 } as const;
  const number = keyring.active('root');
  const key = keyring.derive(number, 'record');
  ok(key);
  const four = Buffer.alloc(4);
  four.writeUInt32BE(number);
  const eight = Buffer.alloc(8);
  eight.writeUInt32BE(place.revision, 4);
  // Written out by hand: docs/FORMATS.md#envelope.
  const bound = joinPrefixed([
    ...['cofferdam/envelope/v1', 'ins_1', place.purpose, four, place.kind, place.id, eight],
  ]);
  const rowSaying = (length: number): Buffer => {
    const padded = Buffer.alloc(32);
    padded.writeUInt32BE(length);
    const header = Buffer.concat([Buffer.of(1, 1), four, eight]);
    return Buffer.concat([header, sealBytes(key, padded, bound, systemRandom)]);
  };
  equal(envelope.open(place, rowSaying(28))?.length, 28, 'control');
  for (const length of [29, 32, 2 ** 32 - 1]) {
    equal(envelope.open(place, rowSaying(length)), undefined);
  }
});

test('who unseals later than somebody else loads nothing anew under what is running', async (t) => {
  const place = new KeyFilePlace();
  t.after(() => place[Symbol.dispose]());
  const physical = new MemoryPhysical();
  await commit(await place.unsealed({ physical }), [put('group', 'a', 'x')]);
  let loads = 0;
  const groups: Projection = { kind: 'group', reset() {}, apply() {}, loaded: () => (loads += 1) };
  const barrier = await place.opened({ physical, projections: [groups] });
  // The first to ask is held up where it reads the key file.
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
  const { open } = fsPromises;
  let asked = 0;
  t.mock.method(fsPromises, 'open', async (...given: Parameters<typeof open>) => {
    asked += 1;
    if (asked === 1) await held;
    return open(...given);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const late = barrier.unseal(none);
  equal((await barrier.unseal(none)).sealed, false);
  deepEqual([asked, loads, barrier.generation], [2, 1, 1]);
  letGo();
  equal((await late).sealed, false);
  deepEqual([loads, barrier.generation], [1, 1]);
  await barrier.seal();
  await barrier.unseal(none);
  deepEqual([loads, barrier.generation], [2, 2], 'control');
});
