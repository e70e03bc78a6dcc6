/**
 * Goal: whoever writes a grant whose target lies inside that of another, or around it, in a running workload
 * of both, is told; and nobody else is.
 * Method: plans over records in memory; random policies against a comparison of every grant with every
 * other. Controls: targets beside each other, workloads that are in one group only.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Grant } from '../../model/grant.ts';
import type { Group } from '../../model/group.ts';
import type { Name } from '../../model/name.ts';
import { TargetTree } from './nested-targets.ts';
import { api, apiGrant, setUp, type Setup } from './policy-room.suite.ts';
import {
  anyFacts,
  anyGroup,
  anyGroupName,
  factsOf,
  name,
  naiveMatches,
  secret,
} from './policy-samples.suite.ts';
import type { DocumentChange, PolicyDocument, SelectableFacts } from './policy.ts';

const targets = [
  '/run/secrets',
  '/run/secrets/db',
  '/run/secrets/db/x',
  '/run/secrets-2',
  '/run/a',
];
const anyTarget = fc.constantFrom(...targets);
const nestedWith = (one: string, other: string): boolean =>
  `${one}/`.startsWith(`${other}/`) !== `${other}/`.startsWith(`${one}/`);

test('TargetTree knows what is inside and around, and forgets what is gone', () => {
  fc.assert(
    fc.property(fc.array(anyTarget), fc.array(anyTarget), anyTarget, (kept, gone, asked) => {
      const tree = new TargetTree();
      for (const target of [...kept, ...gone]) tree.add(target);
      for (const target of gone) tree.remove(target);
      equal(
        tree.isNested(asked),
        kept.some((target) => nestedWith(target, asked)),
      );
    }),
  );
});

const anyGrantAt = fc
  .record({ group: anyGroupName, target: anyTarget })
  .map(
    ({ group, target }): Grant => ({ group, target, secrets: [{ secret: secret('payments/db') }] }),
  );

/** By comparison of every grant with every other, for every workload. */
function naive(groups: ReadonlyMap<Name, Group>, grants: ReadonlyMap<Name, Grant>) {
  return (asked: Name, workloads: readonly SelectableFacts[]): readonly string[] => {
    const own = grants.get(asked)?.target;
    const match = groups.get(asked)?.match;
    if (own === undefined || match === undefined) return [];
    const members = workloads.filter((facts) => naiveMatches(match, facts));
    const found = [...grants.values()].filter(({ group, target = '' }) => {
      const other = groups.get(group)?.match;
      return (
        nestedWith(own, target) && members.some((facts) => other && naiveMatches(other, facts))
      );
    });
    return [...new Set(found.map(({ target }) => `target-nested: ${target}`))].toSorted();
  };
}

const nestedIn = (warnings: readonly string[] = []): readonly string[] =>
  warnings.filter((warning) => warning.startsWith('target-nested'));

test('what is warned of is what every pair of grants comes to, before and after it is written', async () => {
  const all = fc.record({
    workloads: fc.uniqueArray(anyFacts, { selector: (facts) => facts.id, maxLength: 8 }),
    groups: fc.uniqueArray(anyGroup, { selector: (group) => group.name, maxLength: 8 }),
    grants: fc.uniqueArray(anyGrantAt, { selector: (grant) => grant.group, maxLength: 8 }),
    newGroups: fc.uniqueArray(anyGroup, { selector: (group) => group.name, maxLength: 4 }),
    newGrants: fc.uniqueArray(anyGrantAt, { selector: (grant) => grant.group, maxLength: 4 }),
    prune: fc.boolean(),
  });
  let warned = 0;
  const property = fc.asyncProperty(all, async (given) => {
    const { policy, commit } = setUp();
    for (const facts of given.workloads) policy.entitlements.setWorkload(facts);
    const groups = new Map<Name, Group>();
    const grants = new Map<Name, Grant>();
    const write = async (
      newGroups: readonly Group[],
      newGrants: readonly Grant[],
      prune: boolean,
    ): Promise<readonly DocumentChange[]> => {
      const known = new Set([...(prune ? [] : groups.keys()), ...newGroups.map((one) => one.name)]);
      const given = newGrants.filter(({ group }) => known.has(group));
      if (prune) for (const map of [groups, grants]) map.clear();
      for (const group of newGroups) groups.set(group.name, group);
      for (const grant of given) grants.set(grant.group, grant);
      const documents: PolicyDocument[] = [
        ...newGroups.map((group) => ({ kind: 'Group', ...group }) as const),
        ...given.map((grant) => ({ kind: 'Grant', ...grant }) as const),
      ];
      const plan = policy.plans.putDocuments(documents, { prune });
      await commit(plan);
      return plan.changes;
    };
    await write(given.groups, given.grants, false);
    const changes = await write(given.newGroups, given.newGrants, given.prune);
    const expected = naive(groups, grants);
    for (const { kind, name: asked, change, warnings } of changes) {
      const isGrantWritten = changes.some((one) => one.kind === 'Grant' && one.name === asked);
      const isQuiet = kind === 'Group' && (change === 'unchanged' || isGrantWritten);
      const said = isQuiet || change === 'delete' ? [] : expected(asked, given.workloads);
      deepEqual(nestedIn(warnings), said, `${kind} ${asked}`);
      warned += said.length;
    }
    for (const group of grants.keys()) {
      deepEqual(nestedIn(policy.grant(group)?.warnings), expected(group, given.workloads));
    }
  });
  await fc.assert(property, { numRuns: process.env['COFFER_LONG'] === '1' ? 5000 : 400 });
  ok(warned > 5, `control: ${warned} warnings`);
});

const databases: Group = { name: name('databases'), match: { docker: { name: 'api-1' } } };

async function withTwo(target: string): Promise<Setup> {
  const room = setUp();
  room.policy.entitlements.setWorkload(factsOf({ name: 'api-1' }));
  for (const group of [api, databases]) await room.commit(room.policy.plans.putGroup(group));
  await room.commit(room.policy.plans.putGrant({ ...apiGrant, target }));
  return room;
}

test('putGrant says which other target is in the way, and not whose it is', async () => {
  const grant: Grant = { ...apiGrant, group: databases.name };
  for (const [theirs, own, said] of [
    ['/run/secrets/db', undefined, ['target-nested: /run/secrets/db']],
    ['/run/secrets', '/run/secrets/db/x', ['target-nested: /run/secrets']],
    ['/run/secrets', undefined, []],
    ['/run/secrets/db', '/run/secrets/d', []],
  ] as const) {
    const { policy } = await withTwo(theirs);
    const target = own === undefined ? {} : { target: own };
    const { changes } = policy.plans.putGrant({ ...grant, ...target });
    deepEqual(
      changes.flatMap(({ warnings }) => warnings),
      said,
      `${theirs} ${own}`,
    );
    ok(changes.every(({ warnings }) => !warnings.join().includes('api')));
  }
});

test('a group that comes to have a member of both is warned of; one that has none is not', async () => {
  const { policy, commit } = await withTwo('/run/secrets/db');
  const apart: Group = { name: databases.name, match: { docker: { name: 'db-1' } } };
  await commit(policy.plans.putGroup(apart));
  const grant: Grant = { ...apiGrant, group: databases.name };
  const alone = policy.plans.putGrant(grant);
  deepEqual(
    alone.changes.flatMap(({ warnings }) => warnings),
    [],
    'control',
  );
  await commit(alone);
  const { preview } = policy.plans.putGroup(databases);
  deepEqual(nestedIn(preview.warnings), ['target-nested: /run/secrets/db']);
});
