/**
 * Goal: plans are all or nothing, never slip past each other, and do what they said.
 * Method: the whole room over records in memory; races are two plans made before either is committed.
 */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import { makeId } from '../../model/id.ts';
import type { WorkloadId } from '../../model/workload.ts';
import type { Grant } from '../../model/grant.ts';
import type { Group, GroupMatch } from '../../model/group.ts';
import type { PolicyDocument as ContractDocument } from '../../protocol/operations-policy.ts';
import { api, apiGrant, setUp } from './policy-room.suite.ts';
import {
  anyFacts,
  anyGrant,
  anyGroup,
  factsOf,
  name,
  secret,
  workloadIdOf,
} from './policy-samples.suite.ts';
import type { PolicyDocument } from './policy.ts';

test('putGroup creates, sees no change, and updates', async () => {
  const { policy, commit } = setUp();
  const plan = policy.plans.putGroup(api);
  deepEqual(
    plan.changes.map((change) => [change.change, change.warnings]),
    [['create', ['labels-only', 'matches-nothing']]],
  );
  equal(policy.group(api.name), undefined, 'a plan does nothing');
  await commit(plan);
  equal(policy.group(api.name)?.revision, 1);

  const again = policy.plans.putGroup(api);
  deepEqual([again.changes[0]?.change, again.writes], ['unchanged', []]);

  policy.entitlements.setWorkload(factsOf({ name: 'web-1' }));
  const update = policy.plans.putGroup({ ...api, match: { docker: { name: 'web-*' } } });
  deepEqual([update.changes[0]?.change, update.preview.members], ['update', 1]);
  await commit(update);
  deepEqual([policy.group(api.name)?.revision, policy.group(api.name)?.members], [2, 1]);

  const same = policy.plans.putGroup({ ...api, match: { docker: { name: 'web-*' } } });
  deepEqual(same.writes, []);
  deepEqual([same.preview.members, same.preview.warnings], [1, ['labels-only']]);
});

test('two plans for one name that were made at once: the second commit is refused', async () => {
  const { policy, commit } = setUp();
  const both = [policy.plans.putGroup(api), policy.plans.putGroup({ ...api, match: {} })];
  await commit(both[0]!);
  await rejects(commit(both[1]!), { code: 'request.conflict' });
});

test('a group and the grant that uses it cannot slip past each other', async () => {
  const { policy, commit } = setUp();
  throws(() => policy.plans.putGrant(apiGrant), { code: 'group.unknown' });
  await commit(policy.plans.putGroup(api));
  const deletion = policy.plans.deleteGroup(api.name);
  const grant = policy.plans.putGrant(apiGrant);
  await commit(grant);
  await rejects(commit(deletion), { code: 'request.conflict' });
  throws(() => policy.plans.deleteGroup(api.name), { code: 'group.in-use' });

  await commit(policy.plans.deleteGrant(api.name));
  const late = policy.plans.putGrant(apiGrant);
  await commit(policy.plans.deleteGroup(api.name));
  await rejects(commit(late), { code: 'request.conflict' });
  throws(() => policy.plans.deleteGroup(api.name), { code: 'resource.unknown' });
  throws(() => policy.plans.deleteGrant(api.name), { code: 'resource.unknown' });
});

test('putGrant warns of secrets that do not exist yet, and refuses two secrets in one file', async () => {
  const { policy, commit } = setUp();
  await commit(policy.plans.putGroup(api));
  const absent = { ...apiGrant, secrets: [{ secret: secret('payments/absent') }] };
  deepEqual(policy.plans.putGrant(absent).changes[0]?.warnings, [
    'secret-unknown: payments/absent',
  ]);
  const twice = {
    ...apiGrant,
    secrets: [{ secret: secret('payments/db') }, { secret: secret('mail/db') }],
  };
  throws(
    () => policy.plans.putGrant(twice),
    (error: { code: string; errors: { pointer: string; detail: string }[] }) =>
      error.code === 'request.invalid' &&
      error.errors[0]?.pointer === '/secrets/1/file' &&
      error.errors[0].detail.startsWith('grant.file-collision'),
  );
});

test('putGroup and putGrant refuse what could only disappoint', async () => {
  const { policy, commit } = setUp();
  const matches: readonly GroupMatch[] = [
    { image: 'r/a@sha256:12' },
    { image: `r/*@sha256:${'a'.repeat(64)}` },
    { image: `r/a@sha256:${'A'.repeat(64)}` },
    { image: 'sha256:latest' },
    { node: 'node-*' },
    { node: 'NODE' },
    { kubernetes: { namespace: '*' } },
    { kubernetes: { serviceAccount: 'api*' } },
  ];
  for (const match of matches) {
    throws(() => policy.plans.putGroup({ ...api, match }), { code: 'request.invalid' });
  }
  await commit(policy.plans.putGroup(api));
  for (const target of ['/proc/1', '/sys', '/dev/shm', '/run/../etc', '/run/./a']) {
    throws(() => policy.plans.putGrant({ ...apiGrant, target }), { code: 'request.invalid' });
  }
});

test('a group and a grant keep when they were created, and a record without that is read', async () => {
  const { policy, records, clock, commit } = setUp();
  await commit(policy.plans.putGroup(api));
  await commit(policy.plans.putGrant(apiGrant));
  clock.wallMs = 2000;
  const narrower = { ...api, match: { docker: { name: 'api-1' } } };
  equal(policy.plans.putGroup(narrower).preview.createdAtMs, 1000);
  equal(policy.plans.putGroup({ ...api, name: name('new') }).preview.createdAtMs, 2000);
  equal(policy.plans.putGrant({ ...apiGrant, target: '/run/coffer' }).createdAtMs, 1000);
  await commit(policy.plans.putGroup(narrower));
  equal(policy.group(api.name)?.createdAtMs, 1000);
  equal(policy.grant(api.name)?.createdAtMs, 1000);
  const old = { format: 1, name: 'old', match: api.match };
  const groups = records.view('group');
  const bytes = Buffer.from(JSON.stringify(old));
  const writes = [groups.put(groups.nameId('old'), bytes)];
  await records.commit({ writes, expectations: [] });
  equal(policy.group(name('old'))?.createdAtMs, undefined);
  await commit(policy.plans.putGroup({ ...narrower, name: name('old') }));
  equal(policy.group(name('old'))?.createdAtMs, undefined, 'it is not known by being changed');
});

test('putGroup warns of a group that leaves nothing out', () => {
  const { policy } = setUp();
  const warningsOf = (match: GroupMatch): readonly string[] =>
    policy.plans.putGroup({ ...api, match }).preview.warnings;
  for (const match of [{}, { image: '**' }, { docker: { name: '*' } }] as const) {
    deepEqual(warningsOf(match), ['matches-everything', 'matches-nothing'], JSON.stringify(match));
  }
  deepEqual(warningsOf({ docker: { name: 'a*' } }), ['labels-only', 'matches-nothing'], 'control');
});

test('names are not in record ids, and ids of other kinds are not names', async () => {
  const { policy, records, commit } = setUp();
  await commit(policy.plans.putGroup(api));
  await commit(policy.plans.putGrant(apiGrant));
  const ids = records
    .dump()
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '');
  ok(ids.every((id) => !id.includes('api')));
  equal(
    new Set(ids.map((id) => id.split('/')[1])).size,
    2,
    'a group and its grant have different ids',
  );
  const source = {
    clock: { wallMs: () => 1 },
    random: { bytes: (size: number) => Buffer.alloc(size) },
  };
  for (const kind of ['secret', 'group', 'grant', 'node'] as const) {
    const id = makeId(kind, source as never);
    throws(() => policy.findWorkload(id), { code: 'resource.unknown' });
    equal(policy.group(id as never), undefined);
    equal(policy.entitlements.workload(id as never), undefined);
    deepEqual(policy.entitlements.wantedFor(id as never), []);
  }
});

test('a reload from the records gives the same policy, and a reset none', async () => {
  const { policy, records, commit } = setUp();
  policy.entitlements.setWorkload(factsOf({ name: 'api-1' }));
  await commit(policy.plans.putGroup(api));
  await commit(policy.plans.putGrant(apiGrant));
  const wanted = policy.entitlements.wantedFor(workloadIdOf(1));
  equal(wanted[0]?.files.length, 1);
  for (const projection of policy.projections) projection.reset();
  deepEqual(policy.entitlements.wantedFor(workloadIdOf(1)), []);
  for (const projection of policy.projections.toReversed()) records.load(projection);
  deepEqual(policy.entitlements.wantedFor(workloadIdOf(1)), wanted);
});

const documents: readonly PolicyDocument[] = [
  { kind: 'Grant', ...apiGrant },
  { kind: 'Group', ...api },
];

test('putDocuments tells every error with its place, and plans nothing then', () => {
  const { policy } = setUp();
  const bad: readonly PolicyDocument[] = [
    ...documents,
    { kind: 'Group', ...api },
    {
      kind: 'Grant',
      group: name('none'),
      secrets: [{ secret: secret('a/x') }, { secret: secret('b/x') }],
    },
    { kind: 'Group', name: name('star'), match: { node: '*' } },
  ];
  throws(
    () => policy.plans.putDocuments(bad, { pointer: '/documents' }),
    (error: { errors: { pointer: string }[] }) => {
      deepEqual(
        error.errors.map((each) => each.pointer),
        [
          '/documents/2/name',
          '/documents/3/secrets/1/file',
          '/documents/3/group',
          '/documents/4/match/node',
        ],
      );
      return true;
    },
  );
});

test('putDocuments: order does not matter, applying twice changes nothing, and prune takes the rest away', async () => {
  const { policy, commit } = setUp();
  policy.entitlements.setWorkload(factsOf({ name: 'api-1' }));
  const plan = policy.plans.putDocuments(documents);
  deepEqual(
    plan.changes.map((change) => change.change),
    ['create', 'create'],
  );
  deepEqual(plan.impact, [
    { workload: 'api-1', node: 'node-1', gains: ['payments/db'], loses: [], updates: [] },
  ]);
  await commit(plan);
  equal(policy.entitlements.wantedFor(workloadIdOf(1))[0]?.files[0]?.secret, 'payments/db');

  const again = policy.plans.putDocuments(documents);
  deepEqual([again.writes, again.impactTotal], [[], 0]);

  const web: PolicyDocument = {
    kind: 'Group',
    name: name('web'),
    match: { docker: { name: 'web-*' } },
  };
  deepEqual(
    policy.plans.putDocuments([web]).changes.map((change) => change.change),
    ['create'],
  );
  const prune = policy.plans.putDocuments([web], { prune: true });
  deepEqual(
    prune.changes.map((change) => [change.kind, change.name, change.change]),
    [
      ['Group', 'web', 'create'],
      ['Grant', 'api', 'delete'],
      ['Group', 'api', 'delete'],
    ],
  );
  deepEqual(prune.impact, [
    { workload: 'api-1', node: 'node-1', gains: [], loses: ['payments/db'], updates: [] },
  ]);
  await commit(prune);
  deepEqual([...policy.groupNames({})], ['web']);
  deepEqual(policy.entitlements.wantedFor(workloadIdOf(1)), []);
  throws(() => policy.plans.putDocuments(documents.slice(0, 1), { prune: true }), {
    code: 'request.invalid',
  });
});

test('putDocuments: more changes than one answer tells are refused, not made in silence', async () => {
  const { policy, commit } = setUp();
  const groupsFrom = (start: number, count: number): readonly PolicyDocument[] =>
    Array.from({ length: count }, (_, index) => ({
      kind: 'Group',
      name: name(`g${start + index}`),
      match: {},
    }));
  const max = limits.documentChangesMax;
  await commit(policy.plans.putDocuments(groupsFrom(0, max - 1)));
  const prune = (count: number) =>
    policy.plans.putDocuments(groupsFrom(max, count), { prune: true });
  equal(prune(1).changes.length, max);
  throws(() => prune(2), { code: 'limit.exceeded' });
});

test('impact: what changes about secrets that stay is told, each by its word', async () => {
  const { policy, commit } = setUp();
  policy.entitlements.setWorkload(factsOf({ name: 'api-1' }));
  await commit(
    policy.plans.putDocuments([
      { kind: 'Group', ...api },
      { kind: 'Grant', ...apiGrant },
    ]),
  );
  const [granted] = apiGrant.secrets;
  const changes: readonly (readonly [Partial<Grant>, readonly string[]])[] = [
    [{}, []],
    [{ secrets: [{ ...granted!, mode: '0440' }] }, ['mode']],
    [{ secrets: [{ ...granted!, mode: '0400' }] }, []],
    [{ secrets: [{ ...granted!, uid: 33 }] }, ['owner']],
    [{ secrets: [{ ...granted!, gid: 33 }] }, ['owner']],
    [{ secrets: [{ ...granted!, file: name('other') }] }, ['place']],
    [{ target: '/run/other' }, ['place']],
    [{ onChange: { signal: 'SIGHUP' } }, ['signal']],
    [{ onLeaseLoss: 'keep' }, ['lease']],
    [{ leaseSeconds: 60 }, ['lease']],
    [{ secrets: [{ ...granted!, mode: '0440' }], leaseSeconds: 60 }, ['mode', 'lease']],
  ];
  for (const [change, updates] of changes) {
    const { impact, impactTotal } = policy.plans.putGrant({ ...apiGrant, ...change });
    deepEqual(impact.map((one) => one.updates).flat(), updates, JSON.stringify(change));
    equal(impactTotal, updates.length === 0 ? 0 : 1);
    ok(impact.every(({ gains, loses }) => gains.length + loses.length === 0));
  }
});

test('putDocuments: the impact that was told is the difference that is made', async () => {
  const some = fc.record({
    workloads: fc.uniqueArray(anyFacts, { selector: (facts) => facts.id, maxLength: 12 }),
    before: fc.uniqueArray(anyGroup, { selector: (group) => group.name, maxLength: 6 }),
    after: fc.uniqueArray(anyGroup, { selector: (group) => group.name, maxLength: 6 }),
    grants: fc.array(anyGrant, { maxLength: 10 }),
    prune: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(some, async ({ workloads, before, after, grants, prune }) => {
      const { policy, commit } = setUp();
      for (const facts of workloads) policy.entitlements.setWorkload(facts);
      const held = (): ReadonlyMap<string, ReadonlySet<string>> =>
        new Map(
          workloads.map(({ id }) => [
            id,
            new Set(
              policy.entitlements
                .wantedFor(id)
                .flatMap((set) => set.files.map((file) => file.secret)),
            ),
          ]),
        );
      await commit(policy.plans.putDocuments(documentsOf(before, grants.slice(0, 5))));
      // What a container can tell: not which group gave it, nor what was refused.
      const setsOf = (id: WorkloadId): unknown =>
        policy.entitlements.wantedFor(id).map(({ refused: _refused, files, ...set }) => ({
          ...set,
          files: files.map(({ group: _group, ...file }) => file),
        }));
      const setsBefore = new Map(workloads.map(({ id }) => [id, setsOf(id)]));
      const earlier = held();
      const plan = policy.plans.putDocuments(documentsOf(after, grants.slice(5)), { prune });
      await commit(plan);
      const later = held();
      const difference = workloads
        .toSorted((left, right) => (left.id < right.id ? -1 : 1))
        .map(({ id }) => {
          const [had, has] = [earlier.get(id)!, later.get(id)!];
          const gains = [...has.difference(had)].sort();
          const loses = [...had.difference(has)].sort();
          return { id, gains, loses };
        })
        .filter(({ id }) => JSON.stringify(setsBefore.get(id)) !== JSON.stringify(setsOf(id)))
        .map(({ gains, loses }) => ({ gains, loses }));
      deepEqual(
        plan.impact.map(({ gains, loses }) => ({ gains, loses })),
        difference,
      );
      equal(plan.impactTotal, difference.length);
    }),
    { numRuns: process.env['COFFER_LONG'] === '1' ? 20_000 : 500 },
  );
});

function documentsOf(
  groups: readonly Group[],
  grants: readonly Grant[],
): readonly PolicyDocument[] {
  const names = new Set(groups.map((group) => group.name));
  const once = new Map(
    grants.filter((grant) => names.has(grant.group)).map((grant) => [grant.group, grant]),
  );
  return [
    ...groups.map((group) => ({ kind: 'Group' as const, ...group })),
    ...[...once.values()].map((grant) => ({ kind: 'Grant' as const, ...grant })),
  ];
}

test('lists come in order, from anywhere, and a workload is found by id or by a name of its own', () => {
  const { policy } = setUp();
  for (let number = 20; number > 0; number -= 1) {
    policy.entitlements.setWorkload(
      factsOf({
        id: workloadIdOf(number),
        name: number > 2 ? 'many' : `one-${number}`,
        node: `node-${number % 2}`,
      }),
    );
  }
  const ids = (range: { readonly from?: string; readonly node?: string }): readonly string[] =>
    [...policy.entitlements.workloads(range)].map((facts) => facts.id);
  const all = Array.from({ length: 20 }, (_, index) => workloadIdOf(index + 1));
  deepEqual(ids({}), all);
  deepEqual(ids({ from: workloadIdOf(3) }), all.slice(2));
  deepEqual(ids({ from: workloadIdOf(4), node: 'node-1' }).slice(0, 2), [5, 7].map(workloadIdOf));
  deepEqual(ids({ node: 'node-3' }), []);
  policy.entitlements.removeWorkload(workloadIdOf(4));
  deepEqual(ids({ from: workloadIdOf(4) }), all.slice(4));
  equal(policy.findWorkload('one-2').id, workloadIdOf(2));
  equal(policy.findWorkload(workloadIdOf(2)).name, 'one-2');
  throws(() => policy.findWorkload('many'), { code: 'request.invalid' });
  throws(() => policy.findWorkload('none'), { code: 'resource.unknown' });
});

test('documents of the contract are documents of policy', () => {
  const contract: readonly ContractDocument[] = [{ kind: 'Group', ...api }];
  equal(setUp().policy.plans.putDocuments(contract).changes.length, 1);
});
