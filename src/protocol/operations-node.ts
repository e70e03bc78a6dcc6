/** Operations on nodes, on the workloads that run there, and on what they hold. */
import { limits } from '../base/limits.ts';
import * as schema from '../base/schema.ts';
import { secretNameSchema } from '../model/grant.ts';
import { labelsSchema, nameSchema } from '../model/group.ts';
import { operation } from './operation.ts';
import { pageMembers, pageOf, shortText, timestamp } from './page.ts';

const nameOnly = schema.object({ name: nameSchema });
const node = (input: { readonly name: string }): string => `nodes/${input.name}`;

const nodeState = schema.oneOf(['joining', 'connected', 'disconnected', 'revoked'] as const);

export const nodeView = schema.object({
  id: shortText,
  name: nameSchema,
  state: nodeState,
  /** Of its enforcer, as that last said. */
  version: schema.optional(shortText),
  joinedAt: schema.optional(timestamp),
  lastSeenAt: schema.optional(timestamp),
  certificateEndsAt: schema.optional(timestamp),
  workloads: schema.integer({ min: 0, max: 1_000_000 }),
  /** What weakens this node's promises, in its own words (it may be older or newer): `no-watchdog`, … */
  weakenings: schema.array(shortText, { max: limits.weakeningsMax }),
});
export type NodeView = schema.Infer<typeof nodeView>;

export const workloadView = schema.object({
  id: shortText,
  name: shortText,
  node: nameSchema,
  runtime: shortText,
  image: shortText,
  imageDigests: schema.array(shortText, { max: limits.imageDigestsMax }),
  labels: labelsSchema,
  groups: schema.array(nameSchema, { max: limits.workloadGroupsMax }),
  startedAt: schema.optional(timestamp),
});
export type WorkloadView = schema.Infer<typeof workloadView>;

/** One file in one container: what is there, what should be, and since when. */
export const holdingView = schema.object({
  workload: shortText,
  workloadId: shortText,
  node: nameSchema,
  secret: secretNameSchema,
  file: shortText,
  /** The version that the node said is in place; 0 if none is. It may say any that its message can hold. */
  version: schema.integer({ min: 0, max: 0xffff_ffff }),
  /** The version that should be; 0 if none should. */
  wanted: schema.integer({ min: 0, max: 1_000_000_000 }),
  state: schema.oneOf(['current', 'updating', 'withdrawing', 'failed', 'unknown'] as const),
  /** The fault code of the last attempt, when `failed`. */
  fault: schema.optional(shortText),
  since: schema.optional(timestamp),
});
export type HoldingView = schema.Infer<typeof holdingView>;

export const nodeOperations = {
  'node.list': operation({
    summary: 'List nodes',
    method: 'GET',
    path: '/v1/nodes',
    body: 'none',
    reply: 'json',
    input: schema.object({ ...pageMembers, state: schema.optional(nodeState) }),
    output: pageOf(nodeView),
    resource: () => 'nodes',
    effect: 'read',
    access: 'permission',
  }),
  'node.token': operation({
    summary: 'Create a join token for a node: one use, ten minutes',
    method: 'POST',
    path: '/v1/nodes/{name}:token',
    body: 'json',
    reply: 'json',
    input: nameOnly,
    output: schema.object({
      name: nameSchema,
      /** `coffer-join-…`: names the gateway, pins its key, proves the permission. Shown once. */
      token: schema.string({ max: 2048 }),
      endsAt: timestamp,
    }),
    resource: node,
    effect: 'change',
    access: 'permission',
    credential: true,
  }),
  'node.join': operation({
    summary: 'Exchange a join token and a certificate request for a node certificate',
    method: 'POST',
    path: '/v1/nodes:join',
    body: 'json',
    reply: 'json',
    input: schema.object({
      token: schema.string({ min: 16, max: 2048 }),
      /** PEM, PKCS#10. Its subject is ignored: the token says which node this is. */
      certificateRequest: schema.string({ min: 64, max: 8192 }),
    }),
    output: schema.object({
      name: nameSchema,
      certificate: schema.string({ max: 16_384 }),
      authority: schema.string({ max: 16_384 }),
      streamAddress: schema.string({ max: 512 }),
      trustDomain: schema.string({ max: 255 }),
    }),
    resource: () => 'nodes',
    effect: 'change',
    access: { publicBecause: 'the join token is the proof: one use, one node, ten minutes' },
    credential: true,
  }),
  'node.revoke': operation({
    summary: 'Revoke a node: its connection closes, and it cannot come back',
    method: 'POST',
    path: '/v1/nodes/{name}:revoke',
    body: 'json',
    reply: 'json',
    input: nameOnly,
    output: nodeView,
    resource: node,
    effect: 'change',
    access: 'permission',
    revisioned: true,
  }),
  'workload.list': operation({
    summary: 'List running workloads, as attested',
    method: 'GET',
    path: '/v1/workloads',
    body: 'none',
    reply: 'json',
    input: schema.object({
      ...pageMembers,
      node: schema.optional(nameSchema),
      /** Those that are in this group. */
      group: schema.optional(nameSchema),
      /** Names that begin so. */
      prefix: schema.optional(schema.string({ max: 256 })),
      /** Labels: `tier=backend,stage!=test`. */
      selector: schema.optional(schema.string({ max: 1024 })),
    }),
    output: pageOf(workloadView),
    resource: () => 'workloads',
    effect: 'read',
    access: 'permission',
  }),
  'holding.list': operation({
    summary: 'List which containers hold which version of which secret',
    method: 'GET',
    path: '/v1/holdings',
    body: 'none',
    reply: 'json',
    input: schema.object({
      ...pageMembers,
      secret: schema.optional(secretNameSchema),
      node: schema.optional(nameSchema),
      workload: schema.optional(schema.string({ min: 1, max: 256 })),
      state: schema.optional(
        schema.oneOf(['current', 'updating', 'withdrawing', 'failed', 'unknown'] as const),
      ),
    }),
    output: pageOf(holdingView),
    resource: (input) => (input.secret === undefined ? 'holdings' : `secrets/${input.secret}`),
    effect: 'read',
    access: 'permission',
  }),
} as const;
