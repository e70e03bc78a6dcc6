/**
 * One example of input and output for each operation: shown in the OpenAPI document, sent over the wire
 * by tests, and asked by everybody in the tests of access. Together they are one small installation,
 * in which each of them succeeds (`testing/operation-examples.ts`). Plain data: names are not branded.
 */
import type { MachineWeakening } from '../base/machine-weakenings.ts';
import { parseName } from '../model/name.ts';
import { formatJoinToken } from './join-token.ts';
import type { OperationName } from './operations.ts';

export interface OperationExample {
  readonly input: Readonly<Record<string, unknown>>;
  /** Of `reply: 'events'` one event; of `reply: 'file'` nothing. */
  readonly output: Readonly<Record<string, unknown>>;
}

const time = '2026-03-01T09:30:00.000Z';
const name = 'payments/db-password';
const secretId = 'sec_019caa2e-5d40-7aaa-8bbb-0123456789ab';
const hash = 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=';

const secret = {
  id: secretId,
  name,
  revision: 42,
  description: 'Password of the payments database',
  labels: { tier: 'backend' },
  current: 2,
  previous: 1,
  pending: 0,
  versions: [
    { number: 1, stage: 'previous', state: 'stored', createdAt: time, createdBy: 'ada' },
    { number: 2, stage: 'current', state: 'stored', createdAt: time, createdBy: 'ci-deploy' },
  ],
  createdAt: time,
};
const match = { image: 'registry.example/payments/api:*', docker: { name: 'payments-api-*' } };
const group = {
  name: 'payments-api',
  match,
  revision: 7,
  createdAt: time,
  members: 3,
  warnings: [],
};
const grantInput = {
  group: 'payments-api',
  secrets: [{ secret: name, file: 'db-password', mode: '0400' }],
  onChange: { signal: 'SIGHUP' },
  onLeaseLoss: 'wipe',
};
const grant = { ...grantInput, revision: 9, createdAt: time, warnings: [] };
const documents = [
  { kind: 'Group', name: 'payments-api', match },
  { kind: 'Grant', ...grantInput },
];
const impact = {
  impact: [{ workload: 'payments-api-1', node: 'node-1', gains: [name], loses: [], updates: [] }],
  impactTotal: 1,
};
const policyChange = {
  changes: [
    { kind: 'Group', name: 'payments-api', change: 'create', after: 'kind: Group\n', warnings: [] },
  ],
  ...impact,
};
const token = {
  id: 'prn_019caa2e-5d40-7aaa-8bbb-0123456789ab',
  name: 'ci-payments',
  kind: 'machine',
  bindings: [{ role: 'writer', paths: ['secrets/payments/**'] }],
  createdAt: time,
  endsAt: '2026-05-30T09:30:00.000Z',
};
const nodeWeakenings = ['swap-on'] as const satisfies readonly MachineWeakening[];
const node = {
  id: 'nod_019caa2e-5d40-7aaa-8bbb-0123456789ab',
  name: 'node-1',
  state: 'connected',
  version: '0.1.0',
  joinedAt: time,
  lastSeenAt: time,
  certificateEndsAt: time,
  workloads: 12,
  weakenings: nodeWeakenings,
};
const workload = {
  id: 'wld_0123456789abcdef0123456789abcdef',
  name: 'payments-api-1',
  node: 'node-1',
  runtime: 'docker',
  image: 'registry.example/payments/api:1.4',
  imageDigests: [],
  labels: { tier: 'backend' },
  groups: ['payments-api'],
  startedAt: time,
};
const holding = {
  workload: 'payments-api-1',
  workloadId: workload.id,
  node: 'node-1',
  secret: name,
  file: 'db-password',
  version: 2,
  wanted: 2,
  state: 'current',
  since: time,
};
const entry = {
  sequence: 1041,
  time,
  actor: 'ada',
  actorKind: 'user',
  method: 'token',
  source: '192.0.2.7',
  action: 'secret.put',
  resource: `secrets/${name}`,
  outcome: 'ok',
  rule: 'role:writer',
  requestId: 'req_0123456789abcdef01234567',
  detail: { version: '2' },
  bytes: 'eyJzZXF1ZW5jZSI6MTA0MX0=',
};
const checkpoint = `cofferdam.example/audit\n1042\n${hash}\n\n— cofferdam.example c2lnbmF0dXJl\n`;

export const operationExamples = {
  'secret.list': {
    input: { limit: 50, prefix: 'payments/', selector: 'tier=backend', deleted: false },
    output: { items: [secret], nextCursor: 'b3BhcXVl' },
  },
  'secret.get': { input: { name }, output: secret },
  'secret.put': { input: { name, stage: 'current', createOnly: false }, output: secret },
  'secret.generate': {
    input: { name, rules: { length: 32, charset: 'alphanumeric', exclude: 'l1O0' } },
    output: secret,
  },
  'secret.update': {
    input: { name, labels: { tier: 'backend' }, description: secret.description },
    output: secret,
  },
  'secret.promote': { input: { name }, output: secret },
  'secret.rollback': { input: { name, version: 1 }, output: secret },
  'secret.revoke': { input: { name, version: 1 }, output: secret },
  'secret.destroy': { input: { name, version: 1 }, output: secret },
  'secret.delete': { input: { name }, output: { ...secret, deletedAt: time } },
  'secret.restore': { input: { name }, output: secret },
  'group.list': { input: { limit: 50, cursor: 'b3BhcXVl' }, output: { items: [group] } },
  'group.get': { input: { name: 'payments-api' }, output: group },
  'group.put': { input: { name: 'payments-api', match }, output: { ...group, ...impact } },
  'group.delete': {
    input: { name: 'payments-old' },
    output: { ...group, name: 'payments-old', members: 0 },
  },
  'grant.list': { input: {}, output: { items: [grant] } },
  'grant.get': { input: { group: 'payments-api' }, output: grant },
  'grant.put': { input: grantInput, output: { ...grant, ...impact } },
  'grant.delete': { input: { group: 'payments-api' }, output: grant },
  'policy.diff': { input: { documents }, output: policyChange },
  'policy.apply': { input: { documents, prune: false }, output: policyChange },
  'access.explain': {
    input: { workload: 'payments-api-1', secret: name },
    output: {
      allowed: true,
      steps: [{ rule: 'group payments-api', verdict: 'allows', because: 'image matches' }],
    },
  },
  'access.who-can': {
    input: { secret: name },
    output: {
      groups: ['payments-api'],
      workloads: [
        {
          id: workload.id,
          name: 'payments-api-1',
          node: 'node-1',
          group: 'payments-api',
          file: 'db-password',
        },
      ],
      warnings: [],
    },
  },
  'node.list': { input: { limit: 10 }, output: { items: [node] } },
  'node.token': {
    input: { name: 'node-1' },
    output: { name: 'node-1', token: 'coffer-join-…', endsAt: time },
  },
  'node.join': {
    input: {
      token: formatJoinToken({
        address: 'gateway.example:8443',
        pin: `sha256:${'0'.repeat(64)}`,
        node: parseName('node-1'),
        id: '0'.repeat(32),
        secret: 'A'.repeat(43),
      }),
      certificateRequest: `-----BEGIN CERTIFICATE REQUEST-----\n${'M'.repeat(64)}\n…`,
    },
    output: {
      name: 'node-1',
      certificate: '-----BEGIN CERTIFICATE-----\n…',
      authority: '-----BEGIN CERTIFICATE-----\n…',
      streamAddress: 'gateway.example:8444',
      trustDomain: 'cofferdam.example',
    },
  },
  'node.revoke': { input: { name: 'node-1' }, output: { ...node, state: 'revoked' } },
  'workload.list': { input: { node: 'node-1' }, output: { items: [workload] } },
  'holding.list': {
    input: { secret: name, node: 'node-1', workload: 'payments-api-1', state: 'current' },
    output: { items: [holding] },
  },
  'audit.list': {
    input: { after: 1040, action: 'secret.put', actor: 'ada', outcome: 'ok' },
    output: { items: [entry] },
  },
  'audit.tail': { input: { after: 1040 }, output: entry },
  'audit.checkpoint': {
    input: { since: 1000 },
    output: { checkpoint, verifierKey: 'cofferdam.example+c2lnbmF0+QWJj', consistency: [hash] },
  },
  'audit.prove': {
    input: { sequence: 1041 },
    output: { entry, checkpoint, inclusion: [hash] },
  },
  'event.watch': {
    input: { after: 1040 },
    output: { sequence: 1041, kind: 'secret', name, change: 'put' },
  },
  'token.list': {
    input: { limit: 50 },
    output: { items: [token] },
  },
  'token.create': {
    input: { name: 'ci-payments', role: 'writer', paths: ['secrets/payments/**'], hours: 2160 },
    output: {
      name: 'ci-payments',
      token: `coffer_${'0'.repeat(32)}_${'A'.repeat(43)}`,
      endsAt: time,
    },
  },
  'token.whoami': {
    input: {},
    output: {
      id: token.id,
      name: token.name,
      kind: token.kind,
      method: 'token',
      source: '192.0.2.7',
      bindings: token.bindings,
      endsAt: token.endsAt,
    },
  },
  'token.revoke': {
    input: { name: 'ci-payments-old' },
    output: { ...token, name: 'ci-payments-old' },
  },
  'system.status': {
    input: {},
    output: {
      version: '0.1.0',
      state: 'ready',
      seal: 'keyfile',
      installation: 'ins_019caa2e-5d40-7aaa-8bbb-0123456789ab',
      storage: { kind: 'sqlite', revision: 42 },
      audit: { size: 1042, root: hash, witnesses: 1 },
      secrets: 12,
      groups: 3,
      grants: 3,
      nodesConnected: 1,
      nodes: 1,
      workloads: 12,
      rewrap: { keyId: 'key_019caa2e-5d40-7aaa-8bbb-0123456789ab', remaining: 0 },
      leaseSeconds: 600,
      weakenings: [],
      nodeWeakenings: [{ node: 'node-1', weakenings: nodeWeakenings }],
    },
  },
  'system.seal-status': {
    input: {},
    output: { sealed: true, kind: 'shares', sharesGiven: 1, sharesNeeded: 3 },
  },
  'system.unseal': { input: {}, output: { sealed: false, sharesGiven: 3, sharesNeeded: 3 } },
  'system.seal': { input: {}, output: { sealed: true } },
  'system.rotate-root-key': {
    input: {},
    output: { keyId: 'key_019caa2e-5d40-7aaa-8bbb-0123456789ab', remaining: 24 },
  },
  'system.accept-rollback': {
    input: { reason: 'Restored from the backup of 1 March' },
    output: { state: 'ready' },
  },
  'system.backup': { input: {}, output: {} },
} as const satisfies Record<OperationName, OperationExample>;
