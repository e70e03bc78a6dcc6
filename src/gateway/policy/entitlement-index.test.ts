/**
 * Goal: the index says at every moment what a computation from nothing would say, and misses nobody
 * who is affected.
 * Method: random sequences of changes against a model that keeps plain maps and compares everything
 * with everything; the control leaves out one duty of the index and must be caught.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import type { Grant } from '../../model/grant.ts';
import type { GroupMatch } from '../../model/group.ts';
import type { Name } from '../../model/name.ts';
import type { WorkloadId } from '../../model/workload.ts';
import { EntitlementIndex } from './entitlement-index.ts';
import type { SelectableFacts, WantedSet } from './policy.ts';
import {
  anyFacts,
  anyGrant,
  anyGroup,
  anyGroupName,
  anyMatch,
  anySecret,
  factsOf,
  name,
  naiveMatches,
  nodeNames,
  secret,
  workloadIdOf,
} from './policy-samples.suite.ts';
import { compileSelector } from './selector.ts';
import { compileGrant, order, wantedSets } from './wanted.ts';

const sequences = process.env['COFFER_LONG'] === '1' ? 3000 : 300;
const leaseMsDefault = limits.leaseMsDefault;

class Model {
  /** Set since the last check: whoever does that knows that it may be affected. */
  readonly set = new Set<WorkloadId>();
  readonly workloads = new Map<WorkloadId, SelectableFacts>();
  readonly groups = new Map<Name, GroupMatch>();
  readonly grants = new Map<Name, Grant>();

  groupsOf(facts: SelectableFacts): readonly Name[] {
    const found = [...this.groups].filter(([, match]) => naiveMatches(match, facts));
    return found.map(([group]) => group).toSorted(order);
  }

  wantedFor(facts: SelectableFacts): readonly WantedSet[] {
    const grants = this.groupsOf(facts).flatMap((group) => this.grants.get(group) ?? []);
    return wantedSets(grants.map((grant) => compileGrant(grant, leaseMsDefault)));
  }
}

type Step = (index: EntitlementIndex, model: Model) => void;

const setWorkload: fc.Arbitrary<Step> = anyFacts.map((facts) => (index, model) => {
  const known = model.workloads.get(facts.id);
  if (known !== undefined && known.node !== facts.node) {
    throws(() => index.setWorkload(facts), { code: 'workload.elsewhere' });
    return;
  }
  index.setWorkload(facts);
  model.workloads.set(facts.id, facts);
  model.set.add(facts.id);
});
const removeWorkload: fc.Arbitrary<Step> = fc
  .integer({ min: 0, max: 23 })
  .map((number) => (index, model) => {
    index.removeWorkload(workloadIdOf(number));
    model.workloads.delete(workloadIdOf(number));
  });
const setGroup: fc.Arbitrary<Step> = anyGroup.map((group) => (index, model) => {
  index.setGroup(group.name, group.match);
  model.groups.set(group.name, group.match);
});
const removeGroup: fc.Arbitrary<Step> = anyGroupName.map((group) => (index, model) => {
  index.removeGroup(group);
  model.groups.delete(group);
});
const setGrant: fc.Arbitrary<Step> = anyGrant.map((grant) => (index, model) => {
  index.setGrant(grant);
  model.grants.set(grant.group, grant);
});
const removeGrant: fc.Arbitrary<Step> = anyGroupName.map((group) => (index, model) => {
  index.removeGrant(group);
  model.grants.delete(group);
});
const clear: fc.Arbitrary<Step> = fc.boolean().map((both) => (index, model) => {
  index.clearGroups();
  model.groups.clear();
  if (!both) return;
  index.clearGrants();
  model.grants.clear();
});

const step = fc.oneof(
  { arbitrary: setWorkload, weight: 12 },
  { arbitrary: removeWorkload, weight: 3 },
  { arbitrary: setGroup, weight: 6 },
  { arbitrary: removeGroup, weight: 2 },
  { arbitrary: setGrant, weight: 6 },
  { arbitrary: removeGrant, weight: 2 },
  { arbitrary: clear, weight: 1 },
);

function idsOf(workloads: Iterable<SelectableFacts>): readonly WorkloadId[] {
  return [...workloads].map(({ id }) => id);
}

/** Compares everything that can be asked, and that whoever's sets changed was named. */
function check(
  index: EntitlementIndex,
  model: Model,
  before: ReadonlyMap<WorkloadId, string>,
): void {
  const affected = index.takeAffected();
  equal(index.workloadCount, model.workloads.size);
  const pods = [...model.workloads.values()].filter((facts) =>
    naiveMatches({ kubernetes: {} }, facts),
  );
  equal(index.podCount, pods.length);
  const inOrder = [...model.workloads.keys()].toSorted(order);
  deepEqual(idsOf(index.workloads()), inOrder);
  const from = workloadIdOf(7);
  deepEqual(
    idsOf(index.workloads({ from })),
    inOrder.filter((id) => id >= from),
  );
  for (const node of nodeNames) {
    const there = inOrder.filter((id) => model.workloads.get(id)?.node === node);
    deepEqual(idsOf(index.workloads({ node })), there);
    deepEqual([...index.workloadsOn(node)].toSorted(order), there);
    equal(index.countOn(node), there.length);
    const leases = there.flatMap((id) => index.wantedFor(id).map(({ leaseMs }) => leaseMs));
    equal(index.shortestLeaseMs(node), Math.min(...leases));
  }
  for (const [id, facts] of model.workloads) {
    deepEqual(index.groupsOf(id), model.groupsOf(facts));
    const wanted = model.wantedFor(facts);
    deepEqual(index.wantedFor(id), wanted);
    if (JSON.stringify(wanted) !== (before.get(id) ?? '[]'))
      ok(affected.has(id) || model.set.has(id), `${id} is affected`);
  }
  model.set.clear();
  for (const id of affected) ok(model.workloads.has(id), 'only what runs is affected');
  for (const [group, match] of model.groups) {
    const members = [...model.workloads.values()].filter((facts) => naiveMatches(match, facts));
    equal(index.group(group)?.members.size, members.length);
  }
}

function snapshot(model: Model): ReadonlyMap<WorkloadId, string> {
  return new Map(
    [...model.workloads].map(([id, facts]) => [id, JSON.stringify(model.wantedFor(facts))]),
  );
}

/** Several changes may come before somebody looks, as those of one commit do. */
const commit = fc.array(step, { minLength: 1, maxLength: 4 });

function holdsFor(make: () => EntitlementIndex, numRuns: number): fc.RunDetails<[Step[][]]> {
  return fc.check(
    fc.property(fc.array(commit, { minLength: 20, maxLength: 40, size: 'max' }), (commits) => {
      const index = make();
      const model = new Model();
      for (const steps of commits) {
        const before = snapshot(model);
        for (const each of steps) each(index, model);
        check(index, model, before);
      }
    }),
    { numRuns },
  );
}

test('EntitlementIndex agrees with a computation from nothing after every change', () => {
  const result = holdsFor(() => new EntitlementIndex({ leaseMsDefault }), sequences);
  equal(result.failed, false, fc.defaultReportMessage(result) ?? '');
});

test('EntitlementIndex control: an index that forgets to look again at changed facts is caught', () => {
  class Forgetful extends EntitlementIndex {
    override setWorkload(facts: SelectableFacts): void {
      if (this.workload(facts.id)?.node === facts.node) return;
      super.setWorkload(facts);
    }
  }
  equal(holdsFor(() => new Forgetful({ leaseMsDefault }), 300).failed, true);
});

test('affectedBySecret names exactly the workloads whose grants name it', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }),
      anySecret,
      (steps, changed) => {
        const index = new EntitlementIndex({ leaseMsDefault });
        const model = new Model();
        for (const each of steps) each(index, model);
        const wanted = [...model.workloads.values()].filter((facts) =>
          model
            .groupsOf(facts)
            .some((group) =>
              model.grants.get(group)?.secrets.some((one) => one.secret === changed),
            ),
        );
        const ids = wanted.map((facts) => facts.id).toSorted(order);
        deepEqual([...new Set(index.affectedBySecret(changed))].toSorted(order), ids);
        for (const id of model.workloads.keys()) {
          equal(index.isGranted(id, changed), ids.includes(id));
        }
      },
    ),
    { numRuns: sequences },
  );
});

test('selectMany finds the same, few selectors or many', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(anyFacts, { selector: (facts) => facts.id, maxLength: 24 }),
      fc.array(anyMatch, { maxLength: 40, size: 'max' }),
      (workloads, wanted) => {
        const index = new EntitlementIndex({ leaseMsDefault });
        for (const facts of workloads) index.setWorkload(facts);
        index.setGroup(name('everything'), {});
        const found = index.selectMany(wanted.map(compileSelector));
        equal(found.length, wanted.length);
        const groups = found.flatMap((some) => [...some].flatMap((one) => one.groups));
        ok(groups.every((group) => group.name === 'everything'));
        equal(groups.length, found.flatMap((some) => [...some]).length, 'as it is by now');
        wanted.forEach((match, at) => {
          const ids = [...(found[at] ?? [])].map((workload) => workload.facts.id);
          const naive = workloads
            .filter((facts) => naiveMatches(match, facts))
            .map((facts) => facts.id);
          deepEqual(ids.toSorted(order), naive.toSorted(order));
        });
      },
    ),
    { numRuns: sequences },
  );
});

test('withdrawing a grant or a group never adds a file to anyone', () => {
  const all = fc.record({
    workloads: fc.array(anyFacts, { maxLength: 10 }),
    groups: fc.array(anyGroup, { maxLength: 8 }),
    grants: fc.array(anyGrant, { maxLength: 8 }),
    gone: anyGroupName,
  });
  fc.assert(
    fc.property(all, ({ workloads, groups, grants, gone }) => {
      const index = new EntitlementIndex({ leaseMsDefault });
      for (const group of groups) index.setGroup(group.name, group.match);
      for (const grant of grants) index.setGrant(grant);
      const ids = new Set(workloads.map((facts) => facts.id));
      for (const facts of workloads.filter(
        (each, at) => workloads.findIndex((one) => one.id === each.id) === at,
      )) {
        index.setWorkload(facts);
      }
      // What is asked for, refused or not: a grant that goes may free a file name for another.
      const asked = (): ReadonlyMap<string, ReadonlySet<string>> =>
        new Map(
          [...ids].map((id) => [
            id,
            new Set(
              index
                .wantedFor(id)
                .flatMap((set) =>
                  [...set.files, ...set.refused].map((file) => `${set.target} ${file.secret}`),
                ),
            ),
          ]),
        );
      const before = asked();
      index.removeGrant(gone);
      const between = asked();
      index.removeGroup(gone);
      for (const [later, earlier] of [
        [between, before],
        [asked(), between],
      ] as const) {
        for (const [id, files] of later) ok([...files].every((file) => earlier.get(id)?.has(file)));
      }
    }),
    { numRuns: 2000 },
  );
});

test('setWorkload refuses a workload that another node has, until it is gone there', () => {
  const index = new EntitlementIndex({ leaseMsDefault });
  index.setGroup(name('a'), {});
  index.setGrant({ group: name('a'), secrets: [{ secret: secret('s') }] });
  index.setWorkload(factsOf({ node: 'node-1' }));
  throws(() => index.setWorkload(factsOf({ node: 'node-2' })), { code: 'workload.elsewhere' });
  deepEqual([...index.workloadsOn('node-2')], []);
  deepEqual([...index.workloadsOn('node-1')], [workloadIdOf(1)]);
  index.removeWorkload(workloadIdOf(1));
  index.setWorkload(factsOf({ node: 'node-2' }));
  deepEqual([...index.workloadsOn('node-2')], [workloadIdOf(1)]);
});
