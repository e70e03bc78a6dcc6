/**
 * Goal: what is withdrawn is withdrawn to the end, whoever is killed on the way (V15): the gateway, the
 * enforcer or both, after each single thing that happens between the decision and the last receipt.
 * Method: both ends of the stream real, over virtual time and records in memory. A run without a kill is
 * the control, and says how many steps there are.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkloadFacts } from '../../model/workload.ts';
import { LineRig } from '../../testing/line-rig.ts';
import type { SimNode } from '../../testing/sim-node.ts';

interface Setting {
  readonly rig: LineRig;
  readonly node: SimNode;
  readonly app: WorkloadFacts;
}

/** The secret's second version is in place. */
async function setUp(): Promise<Setting> {
  const rig = await LineRig.make();
  await rig.put('shop/db', 'two');
  const node = await rig.node('node-a');
  return { rig, node, app: await rig.container(node) };
}

const revisionOf = (rig: LineRig): number =>
  rig.requests.secrets.reader.find('shop/db' as never)?.revision ?? 0;

/** Ways to take something away, and what should be in place afterwards. */
const ways: Readonly<Record<string, (rig: LineRig) => Promise<unknown>>> = {
  revoke: (rig) => rig.ask('secret.revoke', { name: 'shop/db' }),
  // What is current is revoked first: destroying alone is refused.
  destroy: async (rig) => {
    await rig.ask('secret.revoke', { name: 'shop/db' });
    await rig.ask('secret.destroy', { name: 'shop/db', version: 2 });
  },
  delete: (rig) => rig.ask('secret.delete', { name: 'shop/db' }, revisionOf(rig)),
  'grant delete': (rig) => rig.removeGrant('api'),
  'group put': (rig) => rig.group('api', 'nobody'),
};

const victims: Readonly<Record<string, (setting: Setting) => void>> = {
  gateway: ({ rig }) => rig.restartGateway(),
  enforcer: ({ node }) => {
    node.killEnforcer();
    node.startEnforcer();
  },
  both: ({ rig, node }) => {
    node.killEnforcer();
    rig.restartGateway();
    node.startEnforcer();
  },
};

const valueRows = (rig: LineRig): number =>
  rig.requests.records
    .dump()
    .split('\n')
    .filter((row) => row.startsWith('value/')).length;

const isGone = ({ rig, node, app }: Setting): boolean =>
  Object.keys(rig.read(node, app)).length === 0 && rig.holdings().length === 0;

/** How many things happen until it is gone, and acknowledged. */
async function stepsOf(way: (rig: LineRig) => Promise<unknown>): Promise<number> {
  const setting = await setUp();
  ok(!isGone(setting));
  await way(setting.rig);
  for (let steps = 0; steps < 500; steps += 1) {
    if (isGone(setting)) return steps;
    await setting.rig.time.step();
  }
  throw new Error('it did not go');
}

for (const [what, way] of Object.entries(ways)) {
  test(`${what}: whoever is killed at whichever step, nothing is left`, async () => {
    const steps = await stepsOf(way);
    ok(steps >= 3, `control: without a kill it takes ${steps} steps`);
    for (const [whom, kill] of Object.entries(victims)) {
      for (let at = 0; at <= steps; at += 1) {
        const setting = await setUp();
        const { rig, node, app } = setting;
        const rows = valueRows(rig);
        await way(rig);
        for (let step = 0; step < at; step += 1) await rig.time.step();
        kill(setting);
        await rig.time.pass(20_000);
        const where = `${whom} killed after ${at} of ${steps} steps`;
        deepEqual(rig.read(node, app), {}, where);
        deepEqual([...node.kernel.mounts], [], where);
        deepEqual(rig.holdings(), [], where);
        if (what === 'destroy') equal(valueRows(rig), rows - 1, 'its value is in no record');
      }
    }
  });
}

test('a gateway that is killed right after the commit, before anybody was told, does it later', async () => {
  for (const [what, way] of Object.entries(ways)) {
    const setting = await setUp();
    const { rig, node, app } = setting;
    const { delivery } = rig;
    // Nobody is told: delivery hears of no commit any more.
    delivery.changed = () => {};
    await way(rig);
    await rig.time.pass(5000);
    deepEqual(rig.read(node, app), { db: 'two' }, `control: ${what} alone reaches nobody`);
    rig.restartGateway();
    await rig.time.pass(20_000);
    ok(isGone(setting), what);
  }
});
