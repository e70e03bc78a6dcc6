/**
 * Goal: of what is where, a question is answered whole and in order, and costs what it asks for; a node
 * that says hello costs what runs there.
 * Method: every question against the whole list filtered, where one container still holds what nothing
 * grants any more. What is computed for one page and for one hello is counted.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parseSecretName } from '../../model/name.ts';
import { DeliveryRig, type TestNode, workload } from '../../testing/delivery-rig.ts';
import type { HoldingsAsked } from './delivery.ts';

/** Everything that was sent is in place. */
async function placeAll(rig: DeliveryRig, nodes: readonly TestNode[]): Promise<void> {
  await rig.settle();
  for (const node of nodes) {
    for (const { workloadId, setRevision, terms, files } of node.seen) {
      const held = files.map(({ name, secretId, version }) => ({ name, secretId, version }));
      rig.answer(node, 'placed', { workloadId, setRevision, terms, files: held });
    }
  }
  await rig.settle();
}

test('a question leaves out nothing that it asks for, and answers in order', async () => {
  const rig = await DeliveryRig.make();
  const { requests, owner } = rig;
  await requests.put(owner, 'mail/key', 'value');
  for (const name of ['web', 'late']) {
    await requests.ask(owner, 'group.put', { name, match: { docker: { name } } });
  }
  await rig.grant('web', ['payments/db', 'mail/key']);
  await rig.grant('late', ['mail/key']);
  await placeAll(rig, [
    rig.connect('node-1', [workload(5, 'node-1'), workload(2, 'node-1', 'web')]),
    rig.connect('node-2', [workload(4, 'node-2', 'web'), workload(1, 'node-2', 'late')]),
    rig.connect('node-3', [workload(3, 'node-3', 'none'), workload(6, 'node-3')]),
  ]);
  const ifRevision = requests.policy.grant(requests.name('late'))?.revision ?? 0;
  await requests.ask(owner, 'grant.delete', { group: 'late' }, { ifRevision });
  rig.delivery.changed();
  await rig.settle();

  const all = [...rig.delivery.holdings()];
  deepEqual(
    all.map(({ workload: name, secret, state }) => `${name} ${secret} ${state}`),
    [
      'late mail/key withdrawing',
      ...['web payments/db current', 'web mail/key current'],
      ...['web payments/db current', 'web mail/key current'],
      ...['api payments/db current', 'api payments/db current'],
    ],
  );
  const ids = [1, 2, 4, 5, 6].map((number) => workload(number, '').id);
  deepEqual([...new Set(all.map(({ workloadId }) => workloadId))], ids, 'in order');
  const secrets = ['payments/db', 'mail/key', 'mail/none'].map(parseSecretName);
  const one = <T>(values: readonly T[]): readonly (T | undefined)[] => [undefined, ...values];
  for (const secret of one(secrets)) {
    for (const node of one(['node-1', 'node-2', 'node-3', 'node-4'])) {
      for (const name of one(['web', 'late', 'none', workload(4, '').id])) {
        for (const from of one([...ids, workload(3, '').id])) {
          const asked: HoldingsAsked = {
            ...(secret === undefined ? {} : { secret }),
            ...(node === undefined ? {} : { node }),
            ...(name === undefined ? {} : { workload: name }),
            ...(from === undefined ? {} : { from }),
          };
          const isAsked = (status: (typeof all)[number]): boolean =>
            (secret ?? status.secret) === status.secret &&
            (node ?? status.node) === status.node &&
            [undefined, status.workload, status.workloadId].includes(name) &&
            status.workloadId >= (from ?? '');
          const found = [...rig.delivery.holdings(asked)].filter(isAsked);
          deepEqual(found, all.filter(isAsked), JSON.stringify(asked));
        }
      }
    }
  }
});

/** How often what a workload wants is computed. */
function countWanted(t: TestContext, rig: DeliveryRig): () => number {
  const { mock } = t.mock.method(rig.requests.policy.entitlements, 'wantedFor');
  return () => {
    const count = mock.callCount();
    mock.resetCalls();
    return count;
  };
}

test('a few holdings among many are found by looking at a few workloads', async (t) => {
  const rig = await DeliveryRig.make();
  const wanted = countWanted(t, rig);
  const workloads = Array.from({ length: 2000 }, (_, index) => workload(index, 'node-1'));
  rig.connect('node-1', workloads);
  rig.connect('node-2', [workload(5000, 'node-2')]);
  await rig.settle();
  wanted();
  const page = rig.delivery
    .holdings({ from: workload(1000, '').id })
    .take(3)
    .toArray();
  deepEqual(
    page.map(({ workloadId }) => workloadId),
    [1000, 1001, 1002].map((number) => workload(number, '').id),
  );
  ok(wanted() <= 4);
  equal([...rig.delivery.holdings({ node: 'node-2' })].length, 1);
  equal(wanted(), 1);
  equal(rig.delivery.shortestLeaseMs('node-1'), 600_000);
  equal(wanted(), 0, 'a renewal of leases computes nothing');
  equal([...rig.delivery.holdings()].length, 2001);
  equal(wanted(), 2001, 'control: to show all is to look at all');
});

test('a hello goes over what runs there a few times, not once for each that runs there', async (t) => {
  const rig = await DeliveryRig.make();
  const { entitlements } = rig.requests.policy;
  const original = entitlements.workloadsOn.bind(entitlements);
  let passed = 0;
  t.mock.method(entitlements, 'workloadsOn', function* (node: string) {
    for (const id of original(node)) {
      passed += 1;
      yield id;
    }
  });
  const workloads = Array.from({ length: 1000 }, (_, index) => workload(index, 'node-1', 'other'));
  rig.connect('node-1', workloads);
  const first = passed;
  rig.connect('node-1', workloads.slice(0, 500));
  ok(first >= 1000 && passed - first >= 500, 'control: it is counted');
  ok(passed < 10 * workloads.length, `${passed}`);
  equal(entitlements.countOn('node-1'), 500);
});
