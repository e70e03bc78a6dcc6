/** Operations on groups and grants, whole documents of them, and the questions asked of policy. */
import { limits } from '../base/limits.ts';
import * as schema from '../base/schema.ts';
import { grantSchema, secretNameSchema, workloadUpdates } from '../model/grant.ts';
import { groupMatchSchema, nameSchema } from '../model/group.ts';
import { operation } from './operation.ts';
import { pageMembers, pageOf, shortText, timestamp } from './page.ts';

const revision = schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
/** Left out where an earlier version made it. */
const createdAt = schema.optional(timestamp);
const nameOnly = schema.object({ name: nameSchema });
/** Names that begin so. */
const prefix = schema.string({ max: 64 });

export const groupView = schema.object({
  name: nameSchema,
  match: groupMatchSchema,
  revision,
  createdAt,
  /** Running workloads that match now. */
  members: schema.integer({ min: 0, max: 10_000_000 }),
  /**
   * Why the group deserves a second look: `labels-only`, `matches-nothing`, `matches-everything`,
   * `kubernetes-unreported`, `target-nested: DIRECTORY` where it is written.
   */
  warnings: schema.array(shortText, { max: limits.warningsMax }),
});
export type GroupView = schema.Infer<typeof groupView>;

export const grantView = schema.object({
  ...grantSchema.members,
  revision,
  createdAt,
  /**
   * `secret-unknown: NAME` for what is granted and does not exist, or not yet; `target-nested: DIRECTORY` of
   * another grant that is inside this one's target, or around it, in a running container of both.
   */
  warnings: schema.array(shortText, { max: limits.warningsMax }),
});
export type GrantView = schema.Infer<typeof grantView>;

const impactMembers = {
  /** Running workloads whose secrets change, or how they have them; the first 1,000 of `impactTotal`. */
  impact: schema.array(
    schema.object({
      workload: shortText,
      node: shortText,
      gains: schema.array(secretNameSchema, { max: limits.setFilesMax }),
      loses: schema.array(secretNameSchema, { max: limits.setFilesMax }),
      /** What changes about the secrets that it keeps. */
      updates: schema.array(schema.oneOf(workloadUpdates), { max: workloadUpdates.length }),
    }),
    { max: limits.impactWorkloadsMax },
  ),
  impactTotal: schema.integer({ min: 0, max: 10_000_000 }),
};
export const policyImpact = schema.object(impactMembers);
export type PolicyImpactView = schema.Infer<typeof policyImpact>;

/** One YAML document, as data. */
export const policyDocument = schema.tagged('kind', {
  Group: schema.object({
    kind: schema.oneOf(['Group'] as const),
    name: nameSchema,
    match: groupMatchSchema,
  }),
  Grant: schema.object({ kind: schema.oneOf(['Grant'] as const), ...grantSchema.members }),
});
export type PolicyDocument = schema.Infer<typeof policyDocument>;

const documentsInput = schema.object({
  documents: schema.array(policyDocument, { max: limits.documentsMax }),
  /** Also delete groups and grants that no document names. */
  prune: schema.optional(schema.boolean()),
});

/** What a change of policy does, or would do. */
export const policyChange = schema.object({
  changes: schema.array(
    schema.object({
      kind: schema.oneOf(['Group', 'Grant'] as const),
      name: nameSchema,
      change: schema.oneOf(['create', 'update', 'delete', 'unchanged'] as const),
      /** The document before and after, as YAML text. Policy holds no values. */
      before: schema.optional(schema.string({ max: limits.documentTextCharsMax })),
      after: schema.optional(schema.string({ max: limits.documentTextCharsMax })),
      warnings: schema.array(shortText, { max: limits.warningsMax }),
    }),
    { max: limits.documentChangesMax },
  ),
  ...impactMembers,
});
export type PolicyChange = schema.Infer<typeof policyChange>;

export const explanation = schema.object({
  allowed: schema.boolean(),
  /** Each rule that was looked at, in order, and what it said. */
  steps: schema.array(
    schema.object({
      rule: shortText,
      verdict: schema.oneOf(['allows', 'does-not-match', 'denies'] as const),
      because: shortText,
    }),
    { max: limits.explainStepsMax },
  ),
});
export type Explanation = schema.Infer<typeof explanation>;

export const policyOperations = {
  'group.list': operation({
    summary: 'List groups',
    method: 'GET',
    path: '/v1/groups',
    body: 'none',
    reply: 'json',
    input: schema.object({ ...pageMembers, prefix: schema.optional(prefix) }),
    output: pageOf(groupView),
    resource: () => 'groups',
    effect: 'read',
    access: 'permission',
  }),
  'group.get': operation({
    summary: 'Show a group, and how many running workloads it matches',
    method: 'GET',
    path: '/v1/groups/{name}',
    body: 'none',
    reply: 'json',
    input: nameOnly,
    output: groupView,
    resource: (input) => `groups/${input.name}`,
    effect: 'read',
    access: 'permission',
    revisioned: true,
  }),
  'group.put': operation({
    summary: 'Create or replace a group',
    method: 'PUT',
    path: '/v1/groups/{name}',
    body: 'json',
    reply: 'json',
    input: schema.object({ name: nameSchema, match: groupMatchSchema }),
    output: schema.object({ ...groupView.members, ...impactMembers }),
    resource: (input) => `groups/${input.name}`,
    effect: 'change',
    access: 'permission',
    preconditioned: true,
    revisioned: true,
  }),
  'group.delete': operation({
    summary: 'Delete a group that no grant uses',
    method: 'DELETE',
    path: '/v1/groups/{name}',
    body: 'none',
    reply: 'json',
    input: nameOnly,
    output: groupView,
    resource: (input) => `groups/${input.name}`,
    effect: 'change',
    access: 'permission',
    preconditioned: true,
    revisioned: true,
  }),
  'grant.list': operation({
    summary: 'List grants',
    method: 'GET',
    path: '/v1/grants',
    body: 'none',
    reply: 'json',
    input: schema.object({
      ...pageMembers,
      prefix: schema.optional(prefix),
      /** Those that give this secret. */
      secret: schema.optional(secretNameSchema),
    }),
    output: pageOf(grantView),
    resource: () => 'grants',
    effect: 'read',
    access: 'permission',
  }),
  'grant.get': operation({
    summary: 'Show what a group is granted',
    method: 'GET',
    path: '/v1/grants/{group}',
    body: 'none',
    reply: 'json',
    input: schema.object({ group: nameSchema }),
    output: grantView,
    resource: (input) => `grants/${input.group}`,
    effect: 'read',
    access: 'permission',
    revisioned: true,
  }),
  'grant.put': operation({
    summary: 'Create or replace what a group is granted',
    method: 'PUT',
    path: '/v1/grants/{group}',
    body: 'json',
    reply: 'json',
    input: grantSchema,
    output: schema.object({ ...grantView.members, ...impactMembers }),
    resource: (input) => `grants/${input.group}`,
    effect: 'change',
    access: 'permission',
    preconditioned: true,
    revisioned: true,
  }),
  'grant.delete': operation({
    summary: 'Withdraw everything that a group is granted',
    method: 'DELETE',
    path: '/v1/grants/{group}',
    body: 'none',
    reply: 'json',
    input: schema.object({ group: nameSchema }),
    output: grantView,
    resource: (input) => `grants/${input.group}`,
    effect: 'change',
    access: 'permission',
    preconditioned: true,
    revisioned: true,
  }),
  'policy.diff': operation({
    summary: 'Show what applying documents would change, and in which running workloads',
    method: 'POST',
    path: '/v1/policy:diff',
    body: 'json',
    reply: 'json',
    input: documentsInput,
    output: policyChange,
    resource: () => 'policy',
    effect: 'read',
    access: 'permission',
  }),
  'policy.apply': operation({
    summary: 'Apply groups and grants from files, all or none',
    method: 'POST',
    path: '/v1/policy:apply',
    body: 'json',
    reply: 'json',
    input: documentsInput,
    output: policyChange,
    resource: () => 'policy',
    effect: 'change',
    access: 'permission',
  }),
  'access.explain': operation({
    summary: 'Explain why a workload receives a secret, or why it does not',
    method: 'GET',
    path: '/v1/access:explain',
    body: 'none',
    reply: 'json',
    input: schema.object({
      /** A workload's id, or its name if that is unique. */
      workload: schema.string({ min: 1, max: 256 }),
      secret: secretNameSchema,
    }),
    output: explanation,
    resource: (input) => `secrets/${input.secret}`,
    effect: 'read',
    access: 'permission',
  }),
  'access.who-can': operation({
    summary: 'List the groups, and the running workloads, that receive a secret',
    method: 'GET',
    path: '/v1/access:who-can',
    body: 'none',
    reply: 'json',
    input: schema.object({ secret: secretNameSchema }),
    output: schema.object({
      groups: schema.array(nameSchema, { max: limits.receiversMax }),
      workloads: schema.array(
        schema.object({
          id: shortText,
          name: shortText,
          node: shortText,
          group: nameSchema,
          file: shortText,
        }),
        { max: limits.receiversMax },
      ),
      /** `secret-unknown: NAME`: it is granted and does not exist, or not yet. `secret-withheld: …`: nobody has it. */
      warnings: schema.array(shortText, { max: limits.warningsMax }),
    }),
    resource: (input) => `secrets/${input.secret}`,
    effect: 'read',
    access: 'permission',
  }),
} as const;
