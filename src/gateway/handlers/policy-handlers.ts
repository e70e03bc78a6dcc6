/** Operations on groups, grants and whole documents of them. */
import { Fault } from '../../base/fault.ts';
import type { Grant } from '../../model/grant.ts';
import type { Name } from '../../model/name.ts';
import type {
  GrantView,
  GroupView,
  PolicyChange,
  PolicyImpactView,
  policyOperations,
} from '../../protocol/operations-policy.ts';
import {
  type Policy,
  type PolicyDocument,
  type PolicyImpact,
  type PolicyPlan,
} from '../policy/policy.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { answer, type Plan } from './plan.ts';
import { timestampOf } from './timestamp.ts';

type PolicyHandlers = Omit<
  HandlersOf<typeof policyOperations>,
  'access.explain' | 'access.who-can'
>;

export function policyHandlers(tools: Tools): PolicyHandlers {
  const { policy, paging } = tools;
  return {
    'group.list': (input, { principal, permits }) => {
      const scope = { operation: 'group.list', principal, input };
      const isPermitted = permits('group.list');
      const { prefix = '' } = input;
      const items = policy.groupNames({ prefix, after: paging.start(scope) });
      const isShown = (name: Name): boolean => isPermitted(`groups/${name}`);
      const view = (name: Name): GroupView => groupViewOf(policy, name);
      return answer(paging.page({ scope, items, placeOf: (name) => name, isShown, view }));
    },
    'group.get': ({ name }) => answer(groupViewOf(policy, name), policy.group(name)?.revision),
    'group.put': (group) => {
      const seen = policy.group(group.name)?.revision ?? 0;
      const { preview, impact, impactTotal, ...plan } = policy.plans.putGroup(group);
      const { members, warnings, createdAtMs } = preview;
      const output: Plan<GroupView & PolicyImpactView>['output'] = ({ revision }) => ({
        ...group,
        revision,
        ...createdAt(createdAtMs),
        members,
        warnings,
        impact,
        impactTotal,
      });
      return { ...change(plan), output, seen };
    },
    'group.delete': ({ name }) => {
      const before = groupViewOf(policy, name);
      return {
        ...change(policy.plans.deleteGroup(name)),
        output: ({ revision }) => ({ ...before, revision }),
        seen: before.revision,
      };
    },
    'grant.list': (input, { principal, permits }) => {
      const scope = { operation: 'grant.list', principal, input };
      const isPermitted = permits('grant.list');
      const { prefix = '', secret } = input;
      const items = policy.grantNames({ prefix, after: paging.start(scope) });
      const gives = (name: Name): boolean =>
        policy.grant(name)?.value.secrets.some((granted) => granted.secret === secret) === true;
      const isShown = (name: Name): boolean =>
        (secret === undefined || gives(name)) && isPermitted(`grants/${name}`);
      const view = (name: Name): GrantView => grantViewOf(policy, name);
      return answer(paging.page({ scope, items, placeOf: (name) => name, isShown, view }));
    },
    'grant.get': ({ group }) => answer(grantViewOf(policy, group), policy.grant(group)?.revision),
    'grant.put': (grant) => {
      const seen = policy.grant(grant.group)?.revision ?? 0;
      const { createdAtMs, impact, impactTotal, ...plan } = policy.plans.putGrant(grant);
      const output: Plan<GrantView & PolicyImpactView>['output'] = ({ revision }) => ({
        ...grant,
        revision,
        ...createdAt(createdAtMs),
        warnings: warningsOf(plan),
        impact,
        impactTotal,
      });
      return { ...change(plan), requires: secretsOf(grant), output, seen };
    },
    'grant.delete': ({ group }) => {
      const before = grantViewOf(policy, group);
      return {
        ...change(policy.plans.deleteGrant(group)),
        output: ({ revision }) => ({ ...before, revision }),
        seen: before.revision,
      };
    },
    'policy.diff': ({ documents, prune }) =>
      answer(
        changeViewOf(
          policy.plans.reviewDocuments(documents, { prune: prune ?? false, pointer: '/documents' }),
        ),
      ),
    'policy.apply': ({ documents, prune }) => {
      const plan = policy.plans.putDocuments(documents, {
        prune: prune ?? false,
        pointer: '/documents',
      });
      const output = changeViewOf(plan);
      const { detail, ...rest } = change(plan);
      return {
        ...rest,
        detail: { ...detail, ...changedNames(plan) },
        requires: touchedBy(plan, documents),
        output: () => output,
      };
    },
  };
}

function change(plan: PolicyPlan): Pick<Plan<never>, 'writes' | 'expectations' | 'detail'> {
  const changed = plan.changes.filter((entry) => entry.change !== 'unchanged');
  const kinds = ['create', 'update', 'delete'] as const;
  const counts = kinds.map((kind) => [
    kind,
    changed.filter((entry) => entry.change === kind).length,
  ]);
  return {
    writes: plan.writes,
    expectations: plan.expectations,
    detail: Object.fromEntries(
      counts.filter(([, count]) => count !== 0).map(([kind, count]) => [kind, `${count}`]),
    ),
  };
}

/** As many names as one fact on the audit log holds; the counts beside it say how many there are. */
const namesCharsMax = 440;

/** `grant/payments-api group/payments-api`: which groups and grants a whole policy changed. */
function changedNames(plan: PolicyPlan): Readonly<Record<string, string>> {
  const names = plan.changes
    .filter((entry) => entry.change !== 'unchanged')
    .map(({ kind, name }) => `${kind.toLowerCase()}/${name}`);
  let text = '';
  for (const [index, name] of names.entries()) {
    if (text.length + name.length >= namesCharsMax) {
      return { changed: `${text} and ${names.length - index} more`.trimStart() };
    }
    text = text === '' ? name : `${text} ${name}`;
  }
  return text === '' ? {} : { changed: text };
}

function secretsOf(grant: Pick<Grant, 'secrets'>): readonly string[] {
  return grant.secrets.map(({ secret }) => `secrets/${secret}`);
}

/** Documents that stay as they are need no right on what they name. */
function touchedBy(plan: PolicyPlan, documents: readonly PolicyDocument[]): readonly string[] {
  const changed = plan.changes.filter((entry) => entry.change !== 'unchanged');
  const grants = new Set(changed.filter(({ kind }) => kind === 'Grant').map(({ name }) => name));
  const given = documents.flatMap((document) =>
    document.kind === 'Grant' && grants.has(document.group) ? secretsOf(document) : [],
  );
  const named = changed.map(
    ({ kind, name }) => `${kind === 'Group' ? 'groups' : 'grants'}/${name}`,
  );
  return [...new Set([...named, ...given])];
}

function changeViewOf(plan: Pick<PolicyPlan, 'changes'> & PolicyImpact): PolicyChange {
  const { changes, impact, impactTotal } = plan;
  return { changes, impact, impactTotal };
}

function createdAt(ms: number | undefined): { readonly createdAt?: string } {
  return ms === undefined ? {} : { createdAt: timestampOf(ms) };
}

function groupViewOf(policy: Policy, name: Name): GroupView {
  const status = policy.group(name);
  if (!status) throw new Fault('resource.unknown', { resource: `groups/${name}` });
  const { value, revision, createdAtMs, members, warnings } = status;
  return { ...value, revision, ...createdAt(createdAtMs), members, warnings };
}

function grantViewOf(policy: Policy, group: Name): GrantView {
  const status = policy.grant(group);
  if (!status) throw new Fault('resource.unknown', { resource: `grants/${group}` });
  const { value, revision, createdAtMs, warnings } = status;
  return { ...value, revision, ...createdAt(createdAtMs), warnings };
}

function warningsOf(plan: PolicyPlan): readonly string[] {
  return plan.changes.flatMap((entry) => entry.warnings);
}
