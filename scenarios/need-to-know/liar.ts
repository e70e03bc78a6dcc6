/** G20: a node that asks for everything gets only what is due to containers that run there. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { makeCsr } from '../../src/crypto/csr.ts';
import { pem } from '../../src/enforcer/uplink/join.ts';
import type { HeldSet, SetReceipt } from '../../src/model/assignment.ts';
import type { SecretId } from '../../src/model/id.ts';
import type { WorkloadFacts, WorkloadId } from '../../src/model/workload.ts';
import type { FromEnforcer } from '../../src/protocol/stream-messages.ts';
import { readInside, type Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { FakeEnforcer } from './fake-enforcer.ts';

const target = '/run/secrets';
const groups = ['payments', 'billing', 'stock'] as const;

/** The victims' containers on node-1, and what they hold. */
export interface Victims {
  readonly pids: readonly number[];
  readonly ids: readonly string[];
  readonly secretIds: readonly SecretId[];
}

export async function startVictims(story: Story): Promise<Victims> {
  const pids: number[] = [];
  const secretIds: SecretId[] = [];
  for (const app of groups) {
    const { id } = await story.put(`${app}/token`, `only for ${app} on node-1`);
    secretIds.push(id as SecretId);
    await story.grantTo(app, { node: 'node-1', docker: { labels: { app } } }, [`${app}/token`]);
    const container = await story.container({ name: app, labels: { app } });
    pids.push(await container.pid());
  }
  const has = (pid: number, index: number): boolean =>
    readInside(pid, `${target}/token`) === `only for ${groups[index]} on node-1`;
  await until('the victims have their secrets', () => pids.every(has));
  const { output } = await story.client.call('workload.list', { limit: 500 });
  const ids = groups.map((app) => output.items.find(({ name }) => name === app)?.id ?? '');
  return { pids, ids, secretIds };
}

export async function asksForEverything(story: Story, victims: Victims): Promise<void> {
  using liar = await FakeEnforcer.join(story, 'liar');
  const requests = times(5000, 100_000);
  const perConnection = 100;
  for (let count = 0; count < requests; count += perConnection) {
    await liar.connect();
    await liar.hello(
      victims.ids.flatMap((id, index) => [claimOf(id, index), claimOf(inventedId(), index)]),
      victims.ids.map((id, index) => heldOf(victims, id, index)),
    );
    for (let sent = 0; sent < perConnection && liar.isConnected; sent += 1) {
      liar.send(lieOf(victims, count + sent));
      if (sent % 10 === 9) liar.sendBytes(pick(liar.sent));
    }
    // Read in order: once this is answered, all of it was heard.
    const answers = liar.refusals.length;
    liar.send(renewalOfAnotherKey());
    await until('it was heard', () => liar.refusals.length > answers);
    liar.disconnect();
    await until('it is gone', () => !liar.isConnected);
  }
  deepEqual(liar.received, [], 'not one byte of a secret');
  const refused = (await story.audit('delivery.claim')).filter(({ actor }) => actor === 'liar');
  for (const id of victims.ids) {
    const about = refused.filter(({ resource }) => resource === `workloads/${id}`);
    ok(about.length > 0, 'each lie about somebody else is on record');
    ok(about.every(({ outcome }) => outcome === 'workload.elsewhere'));
  }
  for (const [index, pid] of victims.pids.entries()) {
    equal(readInside(pid, `${target}/token`), `only for ${groups[index]} on node-1`);
  }
  for (const app of groups) {
    const [holding, ...more] = await story.holdings(`${app}/token`);
    deepEqual(more, []);
    equal(holding?.node, 'node-1');
    equal(holding.state, 'current', 'no receipt that it invented counts');
  }
}

/**
 * Control: what is due on its own node it gets. That it may say of its containers what it likes is said too.
 */
export async function getsItsOwn(story: Story): Promise<void> {
  await story.put('anywhere/token', 'for any node');
  await story.grant('anywhere', ['anywhere/token']);
  using liar = await FakeEnforcer.join(story, 'own');
  await liar.connect();
  const own = { ...claimOf(inventedId(), 0), labels: { app: 'anywhere' } };
  await liar.hello([own]);
  await until('it has it', () => liar.received.includes('for any node'));
  const { output } = await story.client.call('group.list', {});
  const warned = output.items.find(({ name }) => name === 'anywhere')?.warnings ?? [];
  ok(
    warned.includes('labels-only'),
    `a group that rests on labels is flagged: ${warned.join(' ')}`,
  );
}

/** A renewal is for the node that asks and the key that it has. */
export async function renewsAnotherKey(story: Story): Promise<void> {
  using liar = await FakeEnforcer.join(story, 'renewer');
  await liar.connect();
  await liar.hello([]);
  liar.send(renewalOfAnotherKey());
  await until('it is refused', () => liar.refusals.length > 0);
  deepEqual(liar.refusals, ['certificate.refused']);
}

function renewalOfAnotherKey(): FromEnforcer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { kind: 'renew', certificateRequest: pem('CERTIFICATE REQUEST', makeCsr(privateKey)) };
}

let invented = 0;

function inventedId(): string {
  invented += 1;
  return `wld_${invented.toString(16).padStart(32, '0')}`;
}

/** Facts as they would be if the container ran here: its labels, and the victims' node for good measure. */
function claimOf(id: string, index: number): WorkloadFacts {
  const app = groups[index % groups.length] ?? 'payments';
  return {
    id: id as WorkloadId,
    runtime: 'docker',
    containerId: id.slice(4).repeat(2),
    name: app,
    node: 'node-1',
    image: { reference: 'coffer-test/busybox', id: '', digests: [] },
    labels: { app },
    startedAtMs: 0,
    process: {
      pid: 1,
      startTicks: 1,
      mountNamespace: 1,
      userNamespace: 1,
      cgroup: '/',
      uid: 0,
      gid: 0,
      userNamespaced: false,
    },
    isolation: { privileged: false, hostPid: false, readOnlyRoot: false },
    proof: {
      containerId: 'kernel',
      name: 'kernel',
      node: 'kernel',
      imageReference: 'kernel',
      imageId: 'kernel',
      imageDigests: 'kernel',
      labels: 'kernel',
      kubernetes: 'kernel',
      process: 'kernel',
      isolation: 'kernel',
    },
  };
}

function heldOf({ secretIds }: Victims, workloadId: string, index: number): HeldSet {
  const secretId = secretIds[index % secretIds.length] ?? ('' as SecretId);
  const files = index % 2 === 0 ? [] : [{ name: 'token', secretId, version: 1 }];
  return { workloadId, target, setRevision: index + 1, files, terms: '' };
}

function lieOf(victims: Victims, turn: number): FromEnforcer {
  const id = pick(victims.ids);
  const outcomes: readonly SetReceipt['outcome'][] = ['gone', 'failed', 'placed', 'wiped', 'stale'];
  const lies: readonly (() => FromEnforcer)[] = [
    () => ({ kind: 'workload-started', workload: claimOf(id, turn) }),
    () => ({ kind: 'workload-started', workload: claimOf(inventedId(), turn) }),
    () => ({ kind: 'workload-stopped', workloadId: id }),
    () => {
      const outcome = pick(outcomes);
      const held = { ...heldOf(victims, id, turn), setRevision: 1_000_000 + turn };
      return { kind: 'receipt', receipt: { ...held, outcome, fault: '', tookUs: 1 } };
    },
    () => ({ kind: 'health', mounts: 1, tampered: [id], weakenings: [] }),
    () => ({ kind: 'checkpoint-seen', size: turn, cosignature: '', refused: '' }),
    () => ({ kind: 'lease-seen', serial: 1_000_000 + turn }),
  ];
  return (lies[turn % lies.length] ?? pick(lies))();
}

function pick<T>(items: readonly T[]): T {
  const item = items[Math.floor(Math.random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}
