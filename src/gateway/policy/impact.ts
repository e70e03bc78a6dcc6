/**
 * Impact: what a change of policy would give to running workloads, take from them, and change about
 * what they keep: where it lies, its mode and owner, the signal, the lease. Pure.
 */
import { limits } from '../../base/limits.ts';
import type { Name, SecretName } from '../../model/name.ts';
import type { IndexedGroup, IndexedWorkload } from './entitlement-index.ts';
import type { PolicyImpact, WantedSet, WorkloadImpact, WorkloadUpdate } from './policy.ts';
import { workloadUpdates } from '../../model/grant.ts';
import { firstInOrder } from './first-in-order.ts';
import { type CompiledGrant, grantsOf, order, secretsIn, WantedMemo } from './wanted.ts';

/** A group as it would be. */
export interface GroupAfter {
  readonly name: Name;
  /** As it is now; undefined if it is new. */
  readonly now: IndexedGroup | undefined;
  readonly members: ReadonlySet<IndexedWorkload>;
  readonly grant: CompiledGrant | undefined;
}

export function impactOf(changed: readonly GroupAfter[]): PolicyImpact {
  const touching = new Map<IndexedWorkload, GroupAfter[]>();
  for (const group of changed) {
    const touched = new Set([...(group.now?.members ?? []), ...group.members]);
    for (const workload of touched) {
      const known = touching.get(workload);
      if (known === undefined) touching.set(workload, [group]);
      else known.push(group);
    }
  }
  const differences = new Differences();
  const found: { readonly id: string; readonly impact: WorkloadImpact }[] = [];
  for (const [workload, groups] of touching) {
    const difference = differenceFor(workload, groups, differences);
    if (difference === undefined) continue;
    const { id, name, node } = workload.facts;
    found.push({ id, impact: { workload: name, node, ...difference } });
  }
  return {
    impact: firstInOrder(found, (entry) => entry.id, limits.impactWorkloadsMax).map(
      (entry) => entry.impact,
    ),
    impactTotal: found.length,
  };
}

type SetDifference = Pick<WorkloadImpact, 'gains' | 'loses' | 'updates'>;

/** Workloads of the same groups have the same sets before and after: each pair is compared once. */
class Differences {
  readonly #before = new WantedMemo();
  readonly #after = new WantedMemo();
  readonly #known = new Map<
    readonly WantedSet[],
    Map<readonly WantedSet[], SetDifference | undefined>
  >();

  /** @returns undefined if nothing differs */
  between(had: readonly CompiledGrant[], has: readonly CompiledGrant[]): SetDifference | undefined {
    const [before, after] = [this.#before.sets(had), this.#after.sets(has)];
    let known = this.#known.get(before);
    if (known === undefined) this.#known.set(before, (known = new Map()));
    if (!known.has(after)) known.set(after, differenceBetween(before, after));
    return known.get(after);
  }
}

function differenceFor(
  workload: IndexedWorkload,
  changed: readonly GroupAfter[],
  differences: Differences,
): SetDifference | undefined {
  const replaced = new Set(changed.map((group) => group.name));
  const kept = workload.groups.filter((group) => !replaced.has(group.name));
  const joined = changed.filter((group) => group.members.has(workload));
  return differences.between(grantsOf(workload.groups), grantsOf([...kept, ...joined]));
}

function differenceBetween(
  before: readonly WantedSet[],
  after: readonly WantedSet[],
): SetDifference | undefined {
  const [had, has] = [secretsIn(before), secretsIn(after)];
  const gains = difference(has, had);
  const loses = difference(had, has);
  const updates = updatesBetween(before, after);
  if (gains.length === 0 && loses.length === 0 && updates.length === 0) return undefined;
  return { gains, loses, updates };
}

/** What is different about secrets that are there before and after, and about their directories. */
function updatesBetween(
  before: readonly WantedSet[],
  after: readonly WantedSet[],
): readonly WorkloadUpdate[] {
  const found = new Set<WorkloadUpdate>();
  const [had, has] = [secretsIn(before), secretsIn(after)];
  for (const set of after) {
    const old = before.find(({ target }) => target === set.target);
    for (const wanted of set.files) {
      if (!had.has(wanted.secret)) continue;
      const there = old?.files.find(({ file }) => file === wanted.file);
      if (there?.secret !== wanted.secret) found.add('place');
      else {
        if (there.mode !== wanted.mode) found.add('mode');
        if (there.uid !== wanted.uid || there.gid !== wanted.gid) found.add('owner');
      }
    }
    // A directory in which nothing stays has no terms that could change.
    const stays = set.files.some(({ secret }) => had.has(secret));
    if (old === undefined || !stays) continue;
    if (old.signals.join() !== set.signals.join()) found.add('signal');
    if (old.leaseMs !== set.leaseMs || old.onLeaseLoss !== set.onLeaseLoss) found.add('lease');
  }
  for (const set of before) {
    const now = after.find(({ target }) => target === set.target);
    for (const wanted of set.files) {
      if (!has.has(wanted.secret)) continue;
      const there = now?.files.find(({ file }) => file === wanted.file);
      if (there?.secret !== wanted.secret) found.add('place');
    }
  }
  return workloadUpdates.filter((update) => found.has(update));
}

function difference(
  from: ReadonlySet<SecretName>,
  without: ReadonlySet<SecretName>,
): readonly SecretName[] {
  const rest = [...from].filter((secret) => !without.has(secret));
  return rest.toSorted(order).slice(0, limits.setFilesMax);
}
