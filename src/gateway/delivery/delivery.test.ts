/**
 * Goal: what delivery promises when others lie, race or fail: nothing leaves that is not due at that
 * moment (G20), no answer of a node makes the gateway busy or large (T13), an older store that was put
 * back serves nobody (T4), and revisions rise whatever a node says (G29).
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { DeliveryRig, workload } from '../../testing/delivery-rig.ts';

test('a set is recorded, sent, acknowledged, and not sent again', async () => {
  const rig = await DeliveryRig.make();
  const node = rig.connect('node-1', [workload(1, 'node-1'), workload(2, 'node-1', 'other')]);
  await rig.settle();
  equal(node.seen.length, 1);
  equal(node.last.files[0]?.text, 'value 1');
  const assigned = rig.requests.audit.kept.filter(({ action }) => action === 'delivery.assign');
  equal(assigned.length, 1);
  rig.answer(node, 'placed');
  await rig.settle();
  equal(node.seen.length, 1);
});

test('a right that is withdrawn while its assignment is being recorded is not served once more', async () => {
  const rig = await DeliveryRig.make();
  const { audit, policy } = rig.requests;
  const commit = audit.commit.bind(audit);
  let revoked = false;
  audit.commit = async (request) => {
    if (request.entries[0].action === 'delivery.assign' && !revoked) {
      revoked = true;
      const ifRevision = policy.grant(rig.requests.name('api'))?.revision ?? 0;
      await rig.requests.ask(rig.owner, 'grant.delete', { group: 'api' }, { ifRevision });
      rig.delivery.changed();
    }
    return commit(request);
  };
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  ok(revoked, 'the race took place');
  deepEqual(node.seen, []);
});

test('a version that is revoked while its assignment is being recorded is not sent', async () => {
  const rig = await DeliveryRig.make();
  await rig.requests.put(rig.owner, 'payments/db', 'value 2');
  const { audit } = rig.requests;
  const commit = audit.commit.bind(audit);
  let revoked = false;
  audit.commit = async (request) => {
    if (request.entries[0].action === 'delivery.assign' && !revoked) {
      revoked = true;
      await rig.requests.ask(rig.owner, 'secret.revoke', { name: 'payments/db', version: 2 });
      rig.delivery.changed();
    }
    return commit(request);
  };
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  ok(revoked);
  ok(!node.seen.some((set) => set.files.some((file) => file.text === 'value 2')));
});

test('a node that answers `gone` for ever is served ever more seldom, and a change at once', async () => {
  const rig = await DeliveryRig.make();
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  for (let round = 0; round < 50; round += 1) {
    await rig.settle();
    rig.answer(node, 'gone');
  }
  await rig.settle();
  equal(node.seen.length, 1, 'not again before a pause');
  rig.clock.advance(1000);
  await rig.settle();
  equal(node.seen.length, 2);
  rig.answer(node, 'gone');
  await rig.settle();
  await rig.requests.put(rig.owner, 'payments/db', 'value 2');
  rig.delivery.changed();
  await rig.settle();
  equal(node.last.files[0]?.text, 'value 2', 'what is new need not wait');
});

test('after a failure the next try waits; a withdrawal does not', async () => {
  const rig = await DeliveryRig.make();
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  const files = node.last.files.map(({ name, secretId, version }) => ({ name, secretId, version }));
  rig.answer(node, 'placed');
  await rig.settle();
  await rig.requests.put(rig.owner, 'payments/db', 'value 2');
  rig.delivery.changed();
  await rig.settle();
  rig.answer(node, 'failed', { files, fault: 'mount.failed' });
  await rig.settle();
  equal(node.seen.length, 2, 'it waits');
  const ifRevision = rig.requests.policy.grant(rig.requests.name('api'))?.revision ?? 0;
  await rig.requests.ask(rig.owner, 'grant.delete', { group: 'api' }, { ifRevision });
  rig.delivery.changed();
  await rig.settle();
  equal(node.seen.length, 3);
  deepEqual(node.last.files, [], 'withdrawn at once');
});

test('after a stale receipt without files the next revision is above what the node has seen', async () => {
  const rig = await DeliveryRig.make();
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  rig.answer(node, 'stale', { setRevision: 5_000_000 });
  rig.clock.advance(1000);
  await rig.settle();
  equal(node.seen.length, 2);
  ok(node.last.setRevision > 5_000_000);
});

test('while a rollback is suspected nothing is sent; once it is accepted, what is due', async () => {
  const rig = await DeliveryRig.make();
  rig.requests.audit.state = 'rollback-suspected';
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  deepEqual(node.seen, []);
  rig.requests.audit.state = 'ready';
  rig.delivery.changed();
  await rig.settle();
  equal(node.seen.length, 1);
});

test('a node cannot make the gateway remember ever more workloads or directories', async () => {
  const rig = await DeliveryRig.make();
  const first = workload(1, 'node-1');
  const node = rig.connect('node-1', [first]);
  await rig.settle();
  rig.answer(node, 'placed');
  await rig.settle();
  const sentBefore = node.seen.length;
  for (let number = 2; number < limits.workloadsPerNodeMax + 100; number += 1) {
    rig.delivery.workloadStarted('node-1', workload(number, 'node-1', 'other'));
  }
  equal(rig.requests.policy.entitlements.countOn('node-1'), limits.workloadsPerNodeMax);
  const file = { ...first.process, name: rig.requests.name('x') };
  for (let number = 0; number < 500; number += 1) {
    rig.delivery.receipt('node-1', {
      ...{ workloadId: first.id, target: `/run/${number}`, setRevision: 1, terms: '' },
      ...{ outcome: 'placed', fault: '', tookUs: 0 },
      files: [{ name: file.name, secretId: `sec_${'0'.repeat(32)}` as never, version: 1 }],
    });
  }
  await rig.settle();
  ok(node.seen.length - sentBefore < 100, 'what it says it holds is withdrawn, within bounds');
});

test('a report about another node’s workload is refused and recorded', async () => {
  const rig = await DeliveryRig.make();
  const victim = workload(1, 'node-1');
  rig.connect('node-1', [victim]);
  const thief = rig.connect('node-2', [victim]);
  await rig.settle();
  rig.delivery.workloadStopped('node-2', victim.id);
  rig.delivery.receipt('node-2', {
    ...{ workloadId: victim.id, target: '/run/secrets', setRevision: 9e9, terms: '' },
    ...{ outcome: 'gone', fault: '', tookUs: 0, files: [] },
  });
  await rig.settle();
  deepEqual(thief.seen, []);
  ok(rig.requests.policy.entitlements.workload(victim.id), 'it runs on');
  const refused = rig.requests.audit.kept.filter(({ action }) => action === 'delivery.claim');
  equal(refused.length, 3);
  ok(refused.every(({ outcome }) => outcome === 'workload.elsewhere'));
});

test('more entries than one commit takes are several commits', async () => {
  const rig = await DeliveryRig.make();
  const names = Array.from({ length: 100 }, (_, index) => `payments/s${index}`);
  for (const name of names) await rig.requests.put(rig.owner, name, 'v');
  await rig.grant('api', names);
  const counts: number[] = [];
  const { audit } = rig.requests;
  const commit = audit.commit.bind(audit);
  audit.commit = (request) => {
    if (request.entries[0].action === 'delivery.assign') counts.push(request.entries.length);
    return commit(request);
  };
  const workloads = Array.from({ length: 120 }, (_, index) => workload(index + 1, 'node-1'));
  const node = rig.connect('node-1', workloads);
  await rig.settle();
  await rig.settle();
  equal(node.seen.length, 120);
  ok(counts.every((count) => count <= limits.commitGroupEntriesMax));
  ok(counts.length > 1);
});

test('a lease shorter than the gateway’s own is known while somebody has it', async () => {
  const rig = await DeliveryRig.make();
  rig.connect('node-1', [workload(1, 'node-1')]);
  equal(rig.delivery.shortestLeaseMs('node-1'), 600_000);
  await rig.grant('api', ['payments/db'], { leaseSeconds: 5 });
  equal(rig.delivery.shortestLeaseMs('node-1'), 5000);
  equal(rig.delivery.shortestLeaseMs('node-2'), Infinity);
});
