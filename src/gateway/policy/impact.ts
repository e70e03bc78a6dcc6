/**
 * Impact: what a change of policy would give to running workloads, take from them, and change about
 * what they keep: where it lies, its mode and owner, the signal, the lease. Pure.
 */
import { limits } from '../../base/limits.ts';
import type { Name, SecretName } from '../../model/name.ts';
import type { IndexedGroup, IndexedWorkload } from './entitlement-index.ts';
import type { PolicyImpact, WantedSet, WorkloadImpact, WorkloadUpdate } from './policy.ts';
import { workloadUpdates } from '../../model/grant.ts';
import { type CompiledGrant, order, secretsIn, wantedSets } from './wanted.ts';

/** As many as a reply carries. */
const impactMax = 1000;

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
  const found: { readonly id: string; readonly impact: WorkloadImpact }[] = [];
  for (const [workload, groups] of touching) {
    const impact = impactOn(workload, groups);
    if (impact !== undefined) found.push({ id: workload.facts.id, impact });
  }
  const sorted = found.toSorted((left, right) => order(left.id, right.id));
  return {
    impact: sorted.slice(0, impactMax).map((entry) => entry.impact),
    impactTotal: found.length,
  };
}

function impactOn(
  workload: IndexedWorkload,
  changed: readonly GroupAfter[],
): WorkloadImpact | undefined {
  const replaced = new Set(changed.map((group) => group.name));
  const kept = workload.groups.filter((group) => !replaced.has(group.name));
  const joined = changed.filter((group) => group.members.has(workload));
  const before = setsOf(workload.groups);
  const after = setsOf([...kept, ...joined]);
  const [had, has] = [secretsIn(before), secretsIn(after)];
  const gains = difference(has, had);
  const loses = difference(had, has);
  const updates = updatesBetween(before, after);
  if (gains.length === 0 && loses.length === 0 && updates.length === 0) return undefined;
  const { name, node } = workload.facts;
  return { workload: name, node, gains, loses, updates };
}

function setsOf(
  groups: readonly { readonly grant: CompiledGrant | undefined }[],
): readonly WantedSet[] {
  return wantedSets(groups.flatMap((group) => group.grant ?? []));
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
