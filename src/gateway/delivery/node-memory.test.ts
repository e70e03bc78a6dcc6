/**
 * Goal: no node fills the gateway's memory by what it says (T13). Method: delivery is told of workloads with
 * long facts and of sets with many files, more than it should remember, and asked what it knows.
 */
import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import type { SetReceipt } from '../../model/assignment.ts';
import { parseName } from '../../model/name.ts';
import type { WorkloadFacts } from '../../model/workload.ts';
import { DeliveryRig, workload } from '../../testing/delivery-rig.ts';

const node = 'node-1';

/** One of so many characters, and a few more for its id and name. */
function long(number: number, on = node): WorkloadFacts {
  const labels = Object.fromEntries(
    Array.from({ length: 100 }, (_, index) => [`${index}`, 'x'.repeat(2000)]),
  );
  return { ...workload(number, on, 'other'), labels };
}

async function full() {
  const rig = await DeliveryRig.make();
  rig.connect(node, []);
  for (let number = 1; number <= 200; number += 1) rig.delivery.workloadStarted(node, long(number));
  const { entitlements } = rig.requests.policy;
  return { rig, delivery: rig.delivery, count: (on = node) => entitlements.countOn(on) };
}

test('facts are remembered up to a length for each node; what ends makes room', async () => {
  const { delivery, count } = await full();
  const admitted = count();
  ok(admitted > 150 && admitted < 170, `${admitted} of 200 thousand characters each`);
  delivery.workloadStarted(node, long(1));
  equal(count(), admitted, 'said again it takes no more');
  delivery.workloadStarted('node-2', long(900, 'node-2'));
  equal(count('node-2'), 1, 'control: another node has room of its own');
  for (let number = 1; number <= 100; number += 1) {
    delivery.workloadStopped(node, long(number).id);
    delivery.workloadStarted(node, long(300 + number));
  }
  equal(count(), admitted);
});

test('so is what they hold', async () => {
  const { rig, delivery } = await full();
  const { id } = long(150);
  const file = { name: rig.requests.name('f'), secretId: `sec_${'0'.repeat(32)}`, version: 1 };
  const receipt = {
    ...{ workloadId: id, target: '/run/a', setRevision: 1, terms: '', tookUs: 0, fault: '' },
    outcome: 'placed',
    files: Array.from({ length: 5000 }, () => file),
  } as unknown as SetReceipt;
  const holdings = () => [...delivery.holdings({ node: parseName(node) })];
  delivery.receipt(node, receipt);
  equal(holdings().length, 0, 'there is no room for it');
  for (const number of [1, 2, 3]) delivery.workloadStopped(node, long(number).id);
  delivery.receipt(node, receipt);
  ok(holdings().length > 0, 'control: now there is');
});

test('control: a machine with all that it may run, and labels as they are, fits', async () => {
  const rig = await DeliveryRig.make();
  rig.connect(node, []);
  const labels = Object.fromEntries(
    Array.from({ length: 20 }, (_, index) => [`com.example.label-${index}`, 'v'.repeat(100)]),
  );
  for (let number = 1; number <= limits.workloadsPerNodeMax; number += 1) {
    rig.delivery.workloadStarted(node, { ...workload(number, node, 'other'), labels });
  }
  equal(rig.requests.policy.entitlements.countOn(node), limits.workloadsPerNodeMax);
});
