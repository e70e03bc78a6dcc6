/**
 * Goal: what happened on a node while nobody was there to hear is said, once, when somebody is; and an
 * enforcer that is told to end leaves what is in place.
 * Method: a whole enforcer over virtual time, and a gateway whose log is looked at.
 */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { LineRig } from '../testing/line-rig.ts';

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
