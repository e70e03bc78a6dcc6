/**
 * Goal: a node cannot grow the log by its word alone (T8, T13), nothing it says is lost silently, and what
 * is legitimate never notices: a machine that starts anew with all it may run, and every change that an
 * administrator makes.
 * Method: the real delivery, with nodes that answer as they are told. Control in each test: the same
 * storm within the budget, or by somebody who may.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { DeliveryRig, type TestNode, workload } from '../../testing/delivery-rig.ts';

/** Small, so that a test is quick. The first one has the real one. */
const burst = 3000;
const perSecond = 5;
const small = { nodeRate: { perSecond, burst } };

const countOf = (rig: DeliveryRig, action: string): number =>
  rig.requests.audit.kept.filter((entry) => entry.action === action).length;

const unlisted = (rig: DeliveryRig): number =>
  rig.requests.audit.kept
    .filter(({ action }) => action === 'node.unlisted')
    .reduce((sum, { detail }) => sum + Number(detail['count']), 0);

/** Lets everything happen, also what the recorder does in many turns. */
async function settle(rig: DeliveryRig, turns = 2000): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await rig.clock.nextTurn();
}

function answerAll(rig: DeliveryRig, node: TestNode, from = 0): void {
  for (const { workloadId, target, setRevision, files, terms } of node.seen.slice(from)) {
    const there = files.map(({ name, secretId, version }) => ({ name, secretId, version }));
    const outcome = files.length > 0 ? 'placed' : 'gone';
    const receipt = { workloadId, target, setRevision, files: there, terms, outcome } as const;
    rig.delivery.receipt(node.name, { ...receipt, fault: '', tookUs: 1 });
  }
}

/** Says that what was sent is not there any more, though nobody asked. */
function wiped(rig: DeliveryRig, node: TestNode, number: number): void {
  const { id } = workload(number, node.name);
  const target = '/run/secrets';
  const sent = node.seen.findLast((set) => set.workloadId === id && set.target === target);
  rig.delivery.receipt(node.name, {
    ...{ workloadId: id, target, setRevision: sent?.setRevision ?? 1, files: [] },
    ...{ terms: '', outcome: 'wiped', fault: '', tookUs: 0 },
  });
}

test('4,096 workloads with three sets each are served at once when they come anew', async () => {
  const rig = await DeliveryRig.make();
  for (const name of ['payments/key', 'payments/ca']) await rig.requests.put(rig.owner, name, 'v');
  for (const number of [2, 3]) {
    const match = { docker: { name: 'api' } };
    await rig.requests.ask(rig.owner, 'group.put', { name: `api-${number}`, match });
    const secrets = ['payments/key', 'payments/ca'];
    await rig.grant(`api-${number}`, secrets, { target: `/run/secrets/${number}` });
  }
  const count = limits.workloadsPerNodeMax;
  const workloads = Array.from({ length: count }, (_, index) => workload(index + 1, 'node-1'));
  const node = rig.connect('node-1', workloads);
  await settle(rig);
  equal(node.seen.length, 3 * count);
  answerAll(rig, node);
  await settle(rig);
  equal(countOf(rig, 'delivery.receipt'), 3 * count);
  // All of them wiped at once, as after an outage, are listed too, and served again.
  for (const { id } of workloads) wiped(rig, node, Number.parseInt(id.slice(4), 16));
  await settle(rig);
  equal(countOf(rig, 'delivery.receipt'), 4 * count);
  equal(node.seen.length, 4 * count);
  rig.clock.advance(61_000);
  await settle(rig);
  equal(unlisted(rig), 0);
});

test('reports that nobody asked for are listed up to a bound, then counted, and the count is recorded', async () => {
  const rig = await DeliveryRig.make(small);
  const node = rig.connect('node-1', []);
  const extra = 5000;
  for (let count = 0; count < burst + extra; count += 1) wiped(rig, node, 1);
  await settle(rig);
  equal(countOf(rig, 'delivery.receipt'), burst);
  const other = rig.connect('node-2', []);
  wiped(rig, other, 2);
  await settle(rig);
  equal(countOf(rig, 'delivery.receipt'), burst + 1, 'control: another node’s is listed');
  equal(unlisted(rig), 0);
  rig.clock.advance(60_000);
  await settle(rig);
  equal(unlisted(rig), extra);
  const before = countOf(rig, 'delivery.receipt');
  for (let count = 0; count < burst; count += 1) wiped(rig, node, 1);
  await settle(rig);
  equal(countOf(rig, 'delivery.receipt') - before, 60 * perSecond, 'what a minute is worth');
});

test('a node that loses what it is given for ever is served ever more seldom; a change at once', async () => {
  const rig = await DeliveryRig.make(small);
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  const rounds = burst;
  let served = 0;
  for (; served < rounds; served += 1) {
    await rig.settle();
    if (node.seen.length === 0) break;
    answerAll(rig, node);
    wiped(rig, node, 1);
    node.seen.length = 0;
  }
  ok(served <= burst / 3 + 1, `${served} times`);
  const size = rig.requests.audit.size;
  for (let second = 0; second < 60; second += 1) {
    rig.clock.advance(1000);
    await rig.settle();
    answerAll(rig, node);
    wiped(rig, node, 1);
    node.seen.length = 0;
  }
  const grown = rig.requests.audit.size - size;
  ok(grown <= 61 * (perSecond + 4), `${grown} entries in a minute`);
  // Nothing is left in the budget, and what an administrator does needs nothing of it.
  for (let count = 0; count < 200; count += 1) wiped(rig, node, 1);
  await settle(rig, 50);
  node.seen.length = 0;
  rig.delivery.connected('node-1', node, { workloads: [workload(1, 'node-1')], held: [] });
  await rig.settle();
  deepEqual(node.seen, [], 'control: by its word it gets nothing now');
  await rig.requests.put(rig.owner, 'payments/db', 'value 2');
  rig.delivery.changed();
  await rig.settle();
  equal(node.last.files[0]?.text, 'value 2');
});

test('what should leave leaves though the budget is empty; a node that makes it up is shut out', async () => {
  const rig = await DeliveryRig.make(small);
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  const [{ files } = node.last] = node.seen;
  const there = files.map(({ name, secretId, version }) => ({ name, secretId, version }));
  for (let count = 0; count < burst; count += 1) wiped(rig, node, 1);
  await settle(rig);
  const workloads = [workload(1, 'node-1')];
  const place = (target: string) => ({
    ...{ workloadId: workload(1, 'node-1').id, target, setRevision: 1, terms: '' },
    files: there,
  });
  node.seen.length = 0;
  rig.delivery.connected('node-1', node, { workloads, held: [place('/run/secrets/old')] });
  await rig.settle();
  deepEqual(
    node.seen.map(({ target, files: due }) => [target, due.length]),
    [['/run/secrets/old', 0]],
  );
  equal(rig.delivery.admits('node-1'), true);
  const lies = Array.from({ length: 60 }, (_, index) => place(`/run/secrets/${index}`));
  let rounds = 0;
  for (; rounds < 10_000 && rig.delivery.admits('node-1'); rounds += 1) {
    rig.delivery.connected('node-1', node, { workloads, held: lies });
    await rig.settle();
  }
  ok(rounds < 1000, `${rounds} times 120 entries`);
  rig.delivery.connected('node-1', node, { workloads, held: lies });
  const { size } = rig.requests.audit;
  await rig.settle();
  equal(rig.requests.audit.size, size);
});
