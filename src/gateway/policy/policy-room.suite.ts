/** The whole room over records in memory, with a group and its grant to begin with. */
import { limits } from '../../base/limits.ts';
import type { Grant } from '../../model/grant.ts';
import type { Group } from '../../model/group.ts';
import { MemoryRecords } from '../../testing/memory-records.ts';
import { Policy, type PolicyPlan } from './policy.ts';
import { name, secret } from './policy-samples.suite.ts';

export interface Setup {
  readonly policy: Policy;
  readonly records: MemoryRecords;
  readonly clock: { wallMs: number };
  readonly commit: (plan: PolicyPlan) => Promise<unknown>;
}

export function setUp(known: readonly string[] = ['payments/db']): Setup {
  const clock = { wallMs: 1000 };
  const records = new MemoryRecords();
  const policy = new Policy({
    groups: records.view('group'),
    grants: records.view('grant'),
    secretExists: (asked) => known.includes(asked),
    leaseMsDefault: limits.leaseMsDefault,
    clock: { wallMs: () => clock.wallMs },
  });
  for (const projection of policy.projections) records.follow(projection);
  return { policy, records, clock, commit: (plan) => records.commit(plan) };
}

export const api: Group = { name: name('api'), match: { docker: { name: 'api-*' } } };
export const apiGrant: Grant = { group: name('api'), secrets: [{ secret: secret('payments/db') }] };
