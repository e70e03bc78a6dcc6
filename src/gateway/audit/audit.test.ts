/**
 * Goal: an effect and its entry are one (V14, G35), and grouped commits are as if done one after the
 * other.
 * Method: the real audit log over the real barrier over memory, with storage that fails or dies at a
 * chosen commit. The model of concurrent commits is a plain map, driven in the order of sequences.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../base/clock.ts';
import { AssertionError } from '../../base/assert.ts';
import { Fault, isFault } from '../../base/fault.ts';
import {
  AuditedStores,
  recordedActions,
  testEntry,
  testRequest,
} from '../../testing/audited-store.ts';
import { type CommitPlan, FaultyPhysical } from '../../testing/faulty-physical.ts';
import type { KeyFilePlace } from '../../testing/unsealed-barrier.ts';
import { until } from '../../testing/until.ts';
import type { Projection } from '../barrier/barrier.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import type { Physical } from '../physical/physical.ts';
import type { AuditRequest } from './audit.ts';

const stores = new AuditedStores();
after(() => stores.closeAll());

test('Audit.commit writes records and entries in one revision, and both survive a restart', async () => {
  const [place, physical] = [stores.place(), new MemoryPhysical()];
  const { barrier, audit } = await stores.start(place, physical);
  const first = await audit.commit(testRequest('one', { a: '1' }));
  deepEqual(first.sequences, [0]);
  const two = {
    ...testRequest('two', { a: '2' }),
    entries: [testEntry('two'), testEntry('three')] as const,
  };
  const [second, third] = await Promise.all([
    audit.commit(two),
    audit.commit(testRequest('four', { b: 'x' })),
  ]);
  deepEqual([second.sequences, third.sequences], [[1, 2], [3]]);
  equal(second.revision, third.revision, 'they shared a commit');
  equal((await barrier.view('secret').get('a'))?.bytes.toString(), '2');

  const again = await stores.start(place, physical);
  equal(again.audit.size, 4);
  deepEqual(await recordedActions(again.audit), ['one', 'two', 'three', 'four']);
  deepEqual(again.audit.root, audit.root);
  equal((await again.audit.commit(testRequest('five'))).sequences[0], 4);
  equal(again.audit.state, 'ready');
});

test('Audit refuses while sealed, and goes on after unsealing', async () => {
  const { barrier, audit } = await stores.start(stores.place(), new MemoryPhysical());
  await audit.commit(testRequest('one'));
  await barrier.seal();
  equal(audit.state, 'sealed');
  await rejects(audit.commit(testRequest('two')), { code: 'barrier.sealed' });
  await rejects(audit.entries({ from: 0, limit: 1 }), { code: 'barrier.sealed' });
  await barrier.unseal(Buffer.alloc(0));
  equal((await audit.commit(testRequest('three'))).sequences[0], 1);
});

test('Audit.commit rejects only the member whose expectation fails, and logs nothing of it', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  const { revision } = await audit.commit(testRequest('make', { a: '1', b: '1' }));
  const expecting = (action: string, id: string, at: number): AuditRequest => ({
    ...testRequest(action, { [id]: action }),
    expectations: [{ kind: 'secret', id, revision: at }],
  });
  const outcomes = await Promise.allSettled([
    audit.commit(expecting('right', 'a', revision)),
    audit.commit(expecting('wrong', 'b', revision - 1)),
    audit.commit(expecting('late', 'a', revision)),
    audit.commit(expecting('new', 'c', 0)),
  ]);
  deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  );
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') ok(isFault(outcome.reason, 'request.conflict'));
  }
  deepEqual((await recordedActions(audit)).toSorted(), ['make', 'new', 'right']);
});

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : 1;

interface Step {
  readonly ids: readonly number[];
  /** Expects this many writes to have been done on its first record, or nothing. */
  readonly expects: boolean;
}

test('concurrent commits equal the same commits one after the other, in the order of sequences', async () => {
  const step: fc.Arbitrary<Step> = fc.record({
    ids: fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 3 }),
    expects: fc.boolean(),
  });
  const runs = process.env['COFFER_LONG'] === '1' ? 1000 : 60;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const own = stores.place();
      const projected = new Map<string, string>();
      const projection: Projection = {
        kind: 'secret',
        reset: () => projected.clear(),
        apply: ({ id, bytes }) => {
          if (bytes) projected.set(id, Buffer.from(bytes).toString());
          else projected.delete(id);
        },
      };
      const physical = new MemoryPhysical();
      const { barrier, audit } = await stores.start(own, physical, { projections: [projection] });
      const known = new Map<string, number>();
      const done = await Promise.all(
        steps.map(async ({ ids, expects }, index) => {
          if (index % 7 === 6) await systemClock.nextTurn();
          const [first = 0] = ids;
          const expectations = expects
            ? [{ kind: 'secret' as const, id: `r${first}`, revision: known.get(`r${first}`) ?? 0 }]
            : [];
          const records = Object.fromEntries(ids.map((id) => [`r${id}`, `step ${index}`]));
          try {
            const receipt = await audit.commit({
              ...testRequest(`step ${index}`, records),
              expectations,
            });
            for (const id of ids) known.set(`r${id}`, receipt.revision);
            return { index, ids, expectations, receipt };
          } catch (error) {
            ok(isFault(error, 'request.conflict'));
            return undefined;
          }
        }),
      );
      const committed = done
        .filter((one) => one !== undefined)
        .toSorted((a, b) => (a.receipt.sequences[0] ?? 0) - (b.receipt.sequences[0] ?? 0));
      deepEqual(
        committed.map(({ receipt }) => receipt.sequences),
        committed.map((_, at) => [at]),
      );
      const model = new Map<string, { revision: number; text: string }>();
      for (const { index, ids, expectations, receipt } of committed) {
        for (const { id, revision } of expectations) equal(model.get(id)?.revision ?? 0, revision);
        for (const id of ids)
          model.set(`r${id}`, { revision: receipt.revision, text: `step ${index}` });
      }
      const stored = await barrier.view('secret').list({ limit: 100 });
      deepEqual(
        stored.map(({ id, revision, bytes }) => [id, revision, bytes.toString()]),
        [...model].toSorted(byName).map(([id, { revision, text }]) => [id, revision, text]),
      );
      deepEqual(
        [...projected].toSorted(byName),
        stored.map(({ id, bytes }) => [id, bytes.toString()]),
      );
      deepEqual(
        await recordedActions(audit),
        committed.map(({ index }) => `step ${index}`),
      );
      audit.close();
      own[Symbol.dispose]();
    }),
    { numRuns: runs },
  );
});

/** What storage holds and what the log says, after a start of its own. */
async function truth(place: KeyFilePlace, physical: Physical) {
  const { barrier, audit } = await stores.start(place, physical);
  const records = await barrier.view('secret').list({ limit: 1000 });
  return {
    records: records.map(({ id }) => id).toSorted(),
    entries: await recordedActions(audit),
    audit,
  };
}

test('at every commit, whatever goes wrong there, there is no effect without its entry (V14, G35)', async () => {
  const mishaps = ['crash-before', 'crash-after', 'full', 'failed-before', 'failed-after'] as const;
  for (const mishap of mishaps) {
    for (let at = 1; at <= 6; at++) {
      const place = stores.place();
      const inner = new MemoryPhysical();
      let count = 0;
      const plan: CommitPlan = () => (++count === at + 1 ? mishap : undefined);
      const { audit } = await stores.start(place, new FaultyPhysical(inner, plan));
      const acked: string[] = [];
      const inDoubt: string[] = [];
      for (let round = 0; round < 6; round++) {
        const outcomes = await Promise.allSettled(
          [0, 1, 2].map((index) =>
            audit.commit(testRequest(`r${round}-${index}`, { [`r${round}-${index}`]: 'x' })),
          ),
        );
        outcomes.forEach(({ status }, index) =>
          (status === 'fulfilled' ? acked : inDoubt).push(`r${round}-${index}`),
        );
      }
      audit.close();
      const { records, entries } = await truth(place, inner);
      deepEqual(
        records,
        entries.filter((action) => action.startsWith('r')).toSorted(),
        `${mishap} ${at}`,
      );
      for (const id of acked) ok(records.includes(id), `${mishap} ${at}: ${id} was acknowledged`);
      const unacked = records.filter((id) => !acked.includes(id));
      ok(unacked.length <= 3 && unacked.every((id) => inDoubt.includes(id)));
      if (!mishap.endsWith('after'))
        equal(unacked.length, 0, `${mishap} ${at}: refused means absent`);
      ok(acked.length < 18 || mishap === 'failed-after', 'control: the mishap was noticed');
    }
  }
});

test('control: writes that go past the log leave an effect without an entry, and the comparison finds it', async () => {
  const [place, physical] = [stores.place(), new MemoryPhysical()];
  const { barrier, audit } = await stores.start(place, physical);
  await audit.commit(testRequest('a', { a: 'x' }));
  const bytes = Buffer.from('x');
  const { trailer } = barrier;
  await barrier.commit({ writes: [{ kind: 'secret', id: 'b', bytes }], expectations: [], trailer });
  const { records, entries } = await truth(place, physical);
  deepEqual([records, entries], [['a', 'b'], ['a']]);
});

test('Audit turns read-only when storage fails, and recovers by itself with an entry', async () => {
  const place = stores.place();
  let broken = false;
  const { audit } = await stores.start(
    place,
    new FaultyPhysical(new MemoryPhysical(), () => (broken ? 'full' : undefined)),
  );
  await audit.commit(testRequest('before', { a: '1' }));
  broken = true;
  const refused = await Promise.allSettled([
    audit.commit(testRequest('lost', { b: '1' })),
    audit.commit(testRequest('lost too', { b: '2' })),
  ]);
  for (const outcome of refused) {
    ok(outcome.status === 'rejected' && isFault(outcome.reason, 'storage.full'));
  }
  equal(audit.state, 'read-only');
  await rejects(audit.commit(testRequest('refused at once')), { code: 'storage.full' });
  equal((await audit.entries({ from: 0, limit: 9 })).entries.length, 1, 'reading goes on');
  broken = false;
  await until('it writes again', () => audit.state === 'ready');
  await audit.commit(testRequest('after', { b: '3' }));
  deepEqual(await recordedActions(audit), ['before', 'audit.recovered', 'after']);
});

test('what is acknowledged after a sealing in doubt is in storage', async () => {
  const [place, inner] = [stores.place(), new MemoryPhysical()];
  let fails = false;
  const physical = new FaultyPhysical(inner, () => (fails ? 'failed-after' : undefined));
  const reopen = physical.reopen.bind(physical);
  physical.reopen = () => (fails ? Promise.reject(new Fault('storage.failed')) : reopen());
  const { audit, barrier } = await stores.start(place, physical);
  await audit.commit(testRequest('before', { a: '1' }));
  fails = true;
  await rejects(audit.commit(testRequest('in doubt', { b: '1' })), { code: 'storage.failed' });
  await barrier.seal();
  await rejects(barrier.unseal(Buffer.alloc(0)), { code: 'storage.failed' });
  equal(audit.state, 'sealed');
  fails = false;
  await barrier.unseal(Buffer.alloc(0));
  const state = (): string => audit.state;
  while (state() !== 'ready') await systemClock.sleep(20);
  await audit.commit(testRequest('after', { c: '1' }));
  audit.close();
  const { records, entries } = await truth(place, inner);
  deepEqual(records, ['a', 'b', 'c']);
  const asked = entries.filter((action) => action !== 'audit.recovered');
  deepEqual(asked, ['before', 'in doubt', 'after']);
});

test('a request that no caller may make is refused alone', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  const bytes = Buffer.from('x');
  const twice = { kind: 'secret', id: 'a', bytes } as const;
  const wrong: AuditRequest[] = [
    { ...testRequest('twice'), writes: [twice, twice] },
    { ...testRequest('log'), writes: [{ kind: 'audit', id: '0000000000000000', bytes }] },
    { ...testRequest('none'), entries: [] as never },
    { ...testRequest('key'), writes: [{ kind: 'secret', id: 'a b', bytes }] },
    { ...testRequest('key'), expectations: [{ kind: 'secret', id: 'é', revision: 0 }] },
    { ...testRequest('long'), entries: [{ ...testEntry('x'), resource: 'r'.repeat(30_000) }] },
  ];
  const good = audit.commit(testRequest('good', { b: 'x' }));
  for (const request of wrong) await rejects(audit.commit(request), { name: 'AssertionError' });
  deepEqual((await good).sequences, [0]);
  equal(audit.size, 1);
});

test('a request that does not fit into storage is refused alone, with a fault', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  const rowOf = (id: string, length: number) =>
    ({ kind: 'group', id, bytes: Buffer.alloc(length) }) as const;
  const mebibyte = 1024 * 1024;
  const many = Array.from({ length: 33 }, (_, index) => rowOf(`g${index}`, 2 * mebibyte));
  const tooLarge = [[rowOf('g', 4 * mebibyte)], many];
  const outcomes = await Promise.allSettled([
    audit.commit(testRequest('good', { a: 'x' })),
    ...tooLarge.map((writes) => audit.commit({ ...testRequest('large'), writes })),
    audit.commit({ ...testRequest('control'), writes: [rowOf('g', 3 * mebibyte)] }),
    audit.commit({ ...testRequest('control'), writes: many.slice(0, 16) }),
    audit.commit(testRequest('good too', { b: 'x' })),
  ]);
  const codes = outcomes.map((outcome) =>
    outcome.status === 'fulfilled' ? 'ok' : (outcome.reason as Fault).code,
  );
  deepEqual(codes, ['ok', 'limit.exceeded', 'limit.exceeded', 'ok', 'ok', 'ok']);
  equal(audit.state, 'ready');
});

test('a bug that shows itself only in storage fails its own request, and none that shares the commit', async () => {
  const inner = new MemoryPhysical();
  const plan: CommitPlan = ({ writes }) => {
    if (writes.some(({ key }) => key === 'secret/bad')) throw new AssertionError('a bug');
    return undefined;
  };
  const { audit } = await stores.start(stores.place(), new FaultyPhysical(inner, plan));
  const names = ['one', 'bad', 'two', 'bad', 'three'];
  const outcomes = await Promise.allSettled(
    names.map((name, index) => audit.commit(testRequest(`${index}`, { [name]: 'x' }))),
  );
  for (const [index, { status }] of outcomes.entries()) {
    equal(status, names[index] === 'bad' ? 'rejected' : 'fulfilled', `${index}`);
  }
  equal(audit.state, 'ready');
  await audit.commit(testRequest('after', { four: 'x' }));
  deepEqual(await recordedActions(audit), ['0', '2', '4', 'after'], 'it was never read-only');
});

test('a gateway that is sealed while commits wait refuses them all', async () => {
  const { audit, barrier } = await stores.start(stores.place(), new MemoryPhysical());
  await audit.commit(testRequest('first', { a: 'x' }));
  for (let turns = 0; turns < 4; turns++) {
    const waiting = [1, 2, 3].map((index) => audit.commit(testRequest('w', { a: `${index}` })));
    const sealing = (async () => {
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      await barrier.seal();
    })();
    const outcomes = await Promise.allSettled(waiting);
    await sealing;
    for (const outcome of outcomes) {
      ok(outcome.status === 'fulfilled' || isFault(outcome.reason, 'barrier.sealed'));
    }
    await barrier.unseal(Buffer.alloc(0));
    const fulfilled = outcomes.filter(({ status }) => status === 'fulfilled').length;
    ok(audit.size >= 1 + fulfilled);
  }
});

test('Audit says who waits too long that it is busy', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  const many = Array.from({ length: 16_400 }, () => audit.commit(testRequest('x')));
  const outcomes = await Promise.allSettled(many);
  const busy = outcomes.filter((one) => one.status === 'rejected');
  equal(busy.length, 16);
  ok(busy.every((one) => isFault(one.reason, 'gateway.busy')));
  equal(audit.size, 16_384);
});
