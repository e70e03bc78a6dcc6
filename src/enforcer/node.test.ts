/**
 * Goal: what happened on a node while nobody was there to hear is said, once, when somebody is; an enforcer
 * that is told to end leaves what is in place; and its log tells the life of a workload, and no value.
 * Method: a whole enforcer over virtual time, and a gateway whose log is looked at.
 */
import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { LineRig } from '../testing/line-rig.ts';
import type { SimNode } from '../testing/sim-node.ts';

const wipes = (rig: LineRig): number =>
  rig.requests.audit.kept.filter(({ detail }) => detail['receipt'] === 'wiped').length;

test('a wipe in the silence is on the log once, though the next connection breaks before the welcome', async () => {
  for (const breaks of [0, 3]) {
    const rig = await LineRig.make();
    await rig.grant('api', [{ secret: 'shop/db' }], { leaseSeconds: 10 });
    const node = await rig.node('node-a');
    const app = await rig.container(node);
    deepEqual(rig.read(node, app), { db: 'one' });
    rig.network.partition('node-a', true);
    await rig.time.pass(20_000);
    deepEqual([rig.read(node, app), wipes(rig)], [{}, 0]);
    rig.network.partition('node-a', false);
    for (let broken = 0; broken < breaks; broken += 1) {
      const before = rig.network.connection('node-a');
      while (rig.network.connection('node-a') === before) await rig.time.step();
      rig.network.cut('node-a');
    }
    await rig.time.pass(20_000);
    deepEqual([rig.read(node, app), wipes(rig)], [{ db: 'one' }, 1], `${breaks} breaks`);
  }
});

/** One container, on a lease that ends long before silence counts as a broken connection. */
async function onShortLease(): Promise<{ rig: LineRig; node: SimNode; app: WorkloadFacts }> {
  const rig = await LineRig.make();
  await rig.grant('api', [{ secret: 'shop/db' }], { leaseSeconds: 5 });
  const node = await rig.node('node-a');
  return { rig, node, app: await rig.container(node) };
}

test('a wipe that is told to a dead connection is told again until it is surely heard, and nothing follows from it', async () => {
  const { rig, node, app } = await onShortLease();
  rig.network.partition('node-a', true);
  await rig.time.pass(5300);
  deepEqual([rig.read(node, app), rig.network.connection('node-a')?.isOpen], [{}, true]);
  rig.network.cut('node-a');
  rig.network.partition('node-a', false);
  await rig.time.pass(20_000);
  deepEqual([rig.read(node, app), wipes(rig)], [{ db: 'one' }, 1]);
  // Until the second checkpoint nobody knows that it was heard; then it is not said again.
  for (const passMs of [1000, 130_000, 5000]) {
    await rig.time.pass(passMs);
    rig.network.cut('node-a');
    await rig.time.pass(20_000);
  }
  deepEqual([wipes(rig), rig.counts.sent], [2, 2], 'and nothing is placed anew for it');
});

test('a wipe that is told while a connection breaks is on the log', async () => {
  const { rig, node, app } = await onShortLease();
  rig.network.partition('node-a', true);
  const push = rig.lines.push.bind(rig.lines);
  rig.lines.push = (line) => {
    // Said just before the receipt is told.
    if (line.includes('lease.wiped')) {
      rig.network.partition('node-a', false);
      rig.network.cut('node-a');
    }
    return push(line);
  };
  await rig.time.pass(20_000);
  deepEqual([rig.read(node, app), wipes(rig)], [{ db: 'one' }, 1]);
});

test('a wipe in the silence is on the log, though another enforcer lives when the silence ends', async () => {
  for (const restart of ['killEnforcer', 'endEnforcer'] as const) {
    const { rig, node, app } = await onShortLease();
    rig.network.partition('node-a', true);
    await rig.time.pass(5300);
    deepEqual(rig.read(node, app), {});
    node[restart]();
    await rig.time.pass(2000);
    node.startEnforcer();
    rig.network.partition('node-a', false);
    await rig.time.pass(20_000);
    deepEqual([rig.read(node, app), wipes(rig)], [{ db: 'one' }, 1], restart);
  }
});

test('what the watchdog wiped while no enforcer lived is told by the next one, once', async () => {
  for (const isDead of [true, false]) {
    const rig = await LineRig.make();
    await rig.grant('api', [{ secret: 'shop/db' }], { leaseSeconds: 10 });
    const node = await rig.node('node-a');
    const app = await rig.container(node);
    if (isDead) node.killEnforcer();
    await rig.time.pass(20_000);
    deepEqual(rig.read(node, app), isDead ? {} : { db: 'one' });
    for (let restart = 0; restart < 3; restart += 1) {
      node.killEnforcer();
      node.startEnforcer();
      // Until nobody doubts that it was heard.
      await rig.time.pass(130_000);
    }
    deepEqual([rig.read(node, app), wipes(rig)], [{ db: 'one' }, isDead ? 1 : 0]);
  }
});

test('told to end, it leaves what is in place to its successor', async () => {
  const rig = await LineRig.make();
  const node = await rig.node('node-a');
  const app = await rig.container(node);
  const [mount] = node.kernel.mounts.values();
  node.endEnforcer();
  while (node.enforcerIsUp) await rig.time.step();
  while (!node.enforcerIsUp) await rig.time.step();
  await rig.time.pass(5000);
  deepEqual(rig.read(node, app), { db: 'one' });
  deepEqual([...node.kernel.mounts.values()], [mount], 'not even placed again');
  deepEqual(rig.holdings(), ['db 1/1 current']);
});

/** Of the gateway and its nodes, but for the frequent ones. */
function life(rig: LineRig): readonly string[] {
  return rig.lines
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter(({ event }) => /^(?:workload|set|mount)\./.test(String(event)))
    .map(({ level, event, node }) => `${level} ${event}${node === undefined ? '' : ' (gateway)'}`);
}

test('the log tells the life of a workload and of its sets, and nothing that is in them', async () => {
  const rig = await LineRig.make();
  const node = await rig.node('node-a');
  const app = await rig.container(node);
  await rig.put('shop/db', 'unmistakable');
  await rig.time.pass(5000);
  deepEqual(rig.read(node, app), { db: 'unmistakable' });
  node.endEnforcer();
  while (node.enforcerIsUp) await rig.time.step();
  await rig.time.pass(5000);
  await rig.removeGrant('api');
  await rig.time.pass(5000);
  node.stopContainer(app.id);
  await rig.time.pass(5000);
  deepEqual(life(rig), [
    ...['info workload.attested', 'debug set.placed', 'debug set.placed'],
    ...[
      'info workload.attested',
      'debug set.adopted',
      'debug set.withdrawn',
      'info workload.ended',
    ],
  ]);
  ok(!rig.lines.some((line) => line.includes('unmistakable')));
});

test('a mount that stays covered is said to be so once, and again when it happens again', async () => {
  const rig = await LineRig.make();
  const node = await rig.node('node-a');
  const app = await rig.container(node);
  const tampered = (): number => life(rig).filter((line) => line.includes('tampered')).length;
  for (const times of [1, 2]) {
    node.kernel.before = (what) => {
      if (what === 'place') throw new Fault('mount.target-occupied');
    };
    node.kernel.mounts.clear();
    await rig.time.pass(100_000);
    deepEqual(tampered(), 2 * times, 'by the node and by the gateway');
    node.kernel.before = () => {};
    await rig.time.pass(100_000);
    deepEqual(rig.read(node, app), { db: 'one' });
  }
});
