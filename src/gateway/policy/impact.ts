/** Impact: what a change of policy would give to running workloads and take from them. Pure. */
import { limits } from '../../base/limits.ts';
import type { Name, SecretName } from '../../model/name.ts';
import type { IndexedGroup, IndexedWorkload } from './entitlement-index.ts';
import type { PolicyImpact, WorkloadImpact } from './policy.ts';
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
  const before = secretsOf(workload.groups);
  const after = secretsOf([...kept, ...joined]);
  const gains = difference(after, before);
  const loses = difference(before, after);
  if (gains.length === 0 && loses.length === 0) return undefined;
  const { name, node } = workload.facts;
  return { workload: name, node, gains, loses };
}

function secretsOf(
  groups: readonly { readonly grant: CompiledGrant | undefined }[],
): ReadonlySet<SecretName> {
  return secretsIn(wantedSets(groups.flatMap((group) => group.grant ?? [])));
}

function difference(
  from: ReadonlySet<SecretName>,
  without: ReadonlySet<SecretName>,
): readonly SecretName[] {
  const rest = [...from].filter((secret) => !without.has(secret));
  return rest.toSorted(order).slice(0, limits.setFilesMax);
}
