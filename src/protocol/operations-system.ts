/** Operations on the audit log and on the gateway itself. */
import { limits } from '../base/limits.ts';
import * as schema from '../base/schema.ts';
import { nameSchema } from '../model/group.ts';
import { operation } from './operation.ts';
import { pageMembers, pageOf, shortText, timestamp } from './page.ts';

const treeSize = schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const hash = schema.string({ min: 44, max: 44 });
const hashes = schema.array(hash, { max: 64 });
const empty = schema.object({});
const sealKind = schema.oneOf(['shares', 'passphrase', 'keyfile'] as const);

/** What can be weaker about the gateway than it could be: docs/guides/production.md says what each costs. */
export const gatewayWeakenings = [
  'key-file-beside-data',
  'key-file-same-device',
  'single-share',
  'storage-in-memory',
  'api-certificate-temporary',
  'api-certificate-self-signed',
  'api-certificate-expired',
  'swap-on',
  'core-dumps-on',
  'inspector-on',
] as const;
export type GatewayWeakening = (typeof gatewayWeakenings)[number];

/** As long as an entry may be: what is on the log can be read. */
const entryText = schema.string({ max: limits.auditEntryCharsMax });

export const auditEntryView = schema.object({
  sequence: treeSize,
  time: timestamp,
  actor: entryText,
  actorKind: entryText,
  method: entryText,
  source: entryText,
  action: entryText,
  resource: entryText,
  outcome: entryText,
  /** The rule that decided, for what was decided. */
  rule: entryText,
  requestId: entryText,
  detail: schema.record(schema.string({ max: 64 }), entryText, { max: limits.auditDetailsMax }),
  /** The entry's canonical bytes, base64: what the tree's leaf is the hash of. */
  bytes: schema.string({ max: 4 * Math.ceil(limits.auditEntryBytesMax / 3) }),
});
export type AuditEntryView = schema.Infer<typeof auditEntryView>;

const auditFilter = {
  after: schema.optional(treeSize),
  /** Operations that changed something, and nothing else. */
  changes: schema.optional(schema.boolean()),
  /** Recorded then or later. */
  since: schema.optional(
    schema.string({
      min: 20,
      max: 30,
      pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/,
      description: 'a time in UTC, such as 2026-03-01T10:40:00Z',
    }),
  ),
  action: schema.optional(shortText),
  actor: schema.optional(shortText),
  resource: schema.optional(shortText),
  outcome: schema.optional(shortText),
};

export const systemOperations = {
  'audit.list': operation({
    summary: 'List audit entries, oldest first unless asked otherwise',
    method: 'GET',
    path: '/v1/audit',
    body: 'none',
    reply: 'json',
    input: schema.object({
      ...pageMembers,
      ...auditFilter,
      /** Pages from the end of the log on; not with `after`. */
      newestFirst: schema.optional(schema.boolean()),
    }),
    output: pageOf(auditEntryView),
    resource: () => 'audit',
    effect: 'read',
    access: 'permission',
  }),
  'audit.tail': operation({
    summary: 'Follow the audit log as server-sent events',
    method: 'GET',
    path: '/v1/audit:tail',
    body: 'none',
    reply: 'events',
    input: schema.object(auditFilter),
    output: auditEntryView,
    resource: () => 'audit',
    effect: 'read',
    access: 'permission',
  }),
  'audit.checkpoint': operation({
    summary: 'The signed head of the audit tree',
    method: 'GET',
    path: '/v1/audit:checkpoint',
    body: 'none',
    reply: 'json',
    input: schema.object({ since: schema.optional(treeSize) }),
    output: schema.object({
      /** C2SP checkpoint, signed note text. */
      checkpoint: schema.string({ max: 16_384 }),
      /** The note verifier key, to remember at first sight. */
      verifierKey: shortText,
      /** RFC 6962 consistency proof from the size asked for to this one, base64. */
      consistency: hashes,
    }),
    resource: () => 'audit',
    effect: 'read',
    access: 'permission',
  }),
  'audit.prove': operation({
    summary: 'An inclusion proof for one audit entry',
    method: 'GET',
    path: '/v1/audit:prove',
    body: 'none',
    reply: 'json',
    input: schema.object({ sequence: treeSize }),
    output: schema.object({
      entry: auditEntryView,
      checkpoint: schema.string({ max: 16_384 }),
      inclusion: hashes,
    }),
    resource: () => 'audit',
    effect: 'read',
    access: 'permission',
  }),
  'event.watch': operation({
    summary:
      'Follow changes of secrets, groups, grants and nodes, and deliveries, as server-sent events',
    method: 'GET',
    path: '/v1/events',
    body: 'none',
    reply: 'events',
    input: schema.object({ after: schema.optional(treeSize) }),
    output: schema.object({
      /** Of the audit entry that says so: what to go on after. */
      sequence: treeSize,
      kind: shortText,
      name: shortText,
      change: shortText,
    }),
    resource: () => 'events',
    effect: 'read',
    access: 'permission',
  }),
  'system.status': operation({
    summary: 'Show the state of the gateway: seal, storage, audit, nodes, weakenings',
    method: 'GET',
    path: '/v1/status',
    body: 'none',
    reply: 'json',
    input: empty,
    output: schema.object({
      version: shortText,
      state: schema.oneOf(['sealed', 'ready', 'read-only', 'rollback-suspected'] as const),
      seal: sealKind,
      installation: shortText,
      storage: schema.object({ kind: shortText, revision: treeSize }),
      audit: schema.object({ size: treeSize, root: shortText, witnesses: treeSize }),
      secrets: treeSize,
      groups: treeSize,
      grants: treeSize,
      nodesConnected: treeSize,
      nodes: treeSize,
      workloads: treeSize,
      rewrap: schema.object({ keyId: shortText, remaining: treeSize }),
      leaseSeconds: treeSize,
      /** Everything at the gateway that is weaker than it should be; empty is well. */
      weakenings: schema.array(schema.oneOf(gatewayWeakenings), { max: gatewayWeakenings.length }),
      /** What nodes said of themselves: those that have any and that the caller may list. */
      nodeWeakenings: schema.array(
        schema.object({
          node: nameSchema,
          weakenings: schema.array(shortText, { max: limits.weakeningsMax }),
        }),
        { max: limits.weakNodesMax },
      ),
    }),
    resource: () => 'system',
    effect: 'read',
    access: 'permission',
  }),
  'system.seal-status': operation({
    summary: 'Whether the gateway is sealed, and how many shares are still needed',
    method: 'GET',
    path: '/v1/seal',
    body: 'none',
    reply: 'json',
    input: empty,
    output: schema.object({
      sealed: schema.boolean(),
      kind: sealKind,
      sharesGiven: treeSize,
      sharesNeeded: treeSize,
    }),
    resource: () => 'system',
    effect: 'read',
    access: { publicBecause: 'it says only what anyone can see by trying to unseal' },
    whileSealed: true,
  }),
  'system.unseal': operation({
    summary: 'Supply the passphrase or one share; the body is that, byte for byte',
    method: 'POST',
    path: '/v1/seal:unseal',
    body: 'value',
    reply: 'json',
    input: empty,
    output: schema.object({
      sealed: schema.boolean(),
      sharesGiven: treeSize,
      sharesNeeded: treeSize,
    }),
    resource: () => 'system',
    effect: 'read',
    access: {
      publicBecause: 'while sealed nobody can be authenticated; the unseal material is the proof',
    },
    whileSealed: true,
  }),
  'system.seal': operation({
    summary: 'Forget the root key: nothing is written or delivered until the gateway is unsealed',
    method: 'POST',
    path: '/v1/seal:seal',
    body: 'json',
    reply: 'json',
    input: empty,
    output: schema.object({ sealed: schema.boolean() }),
    resource: () => 'system',
    effect: 'change',
    access: 'permission',
  }),
  'system.rotate-root-key': operation({
    summary: 'Create a new root key and rewrap all keys under it, while running',
    method: 'POST',
    path: '/v1/system:rotate-root-key',
    body: 'json',
    reply: 'json',
    input: empty,
    output: schema.object({ keyId: shortText, remaining: treeSize }),
    resource: () => 'system',
    effect: 'change',
    access: 'permission',
  }),
  'system.accept-rollback': operation({
    summary: 'Accept that the store is older than a checkpoint that a node or person remembers',
    method: 'POST',
    path: '/v1/system:accept-rollback',
    body: 'json',
    reply: 'json',
    input: schema.object({ reason: schema.string({ min: 8, max: 512 }) }),
    output: schema.object({ state: shortText }),
    resource: () => 'system',
    effect: 'change',
    access: 'permission',
  }),
  'system.backup': operation({
    summary: 'A consistent copy of the store, encrypted as it is on disk',
    method: 'POST',
    path: '/v1/system:backup',
    body: 'json',
    reply: 'file',
    input: empty,
    output: empty,
    resource: () => 'system',
    effect: 'read',
    access: 'permission',
  }),
} as const;
