/**
 * Goal: the numbers of a census are those of a count of everything, though no step looks at more than
 * a slice.
 * Method: more workloads than a step looks at, in every state, on nodes that come and go; every step's
 * range is noted. Control: what changed during a round is not in its numbers, and is in the next one's.
 */
import { deepEqual, equal, notDeepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { DeliveryRig, workload } from '../../testing/delivery-rig.ts';
import { type HoldingsAsked, HoldingCensus, holdingStates } from './delivery.ts';

function countAll(rig: DeliveryRig): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(
    holdingStates.map((state) => [state, 0]),
  );
  for (const { state } of rig.delivery.holdings()) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

test('a round of steps counts what is there, and no step more than its slice', async () => {
  const rig = await DeliveryRig.make();
  const asked: HoldingsAsked[] = [];
  const census = new HoldingCensus({
    delivery: {
      holdings(range = {}) {
        asked.push(range);
        return rig.delivery.holdings(range);
      },
    },
    entitlements: rig.requests.policy.entitlements,
  });
  const zero = Object.fromEntries(holdingStates.map((state) => [state, 0]));
  deepEqual(census.step(), zero, 'nothing is there');

  const many = (first: number, count: number, node: string) =>
    Array.from({ length: count }, (_, index) => workload(first + index, node));
  const nodes = [
    rig.connect('node-1', many(1, 3000, 'node-1')),
    rig.connect('node-2', many(3001, 1500, 'node-2')),
    rig.connect('node-3', many(4501, 500, 'node-3')),
  ];
  await rig.settle(600);
  const [placing, failing, leaving] = nodes;
  ok(placing && failing && leaving);
  for (const { workloadId, setRevision, terms, files } of placing.seen) {
    const held = files.map(({ name, secretId, version }) => ({ name, secretId, version }));
    rig.answer(placing, 'placed', { workloadId, setRevision, terms, files: held });
  }
  for (const { workloadId, setRevision, terms } of failing.seen.slice(0, 700)) {
    const fault = 'mount.full';
    rig.answer(failing, 'failed', { workloadId, setRevision, terms, files: [], fault });
  }
  rig.delivery.disconnected('node-3', leaving);
  const expected = countAll(rig);
  deepEqual(expected, { current: 3000, updating: 800, withdrawing: 0, failed: 700, unknown: 500 });

  asked.length = 0;
  deepEqual([census.step(), census.step()], [zero, zero], 'half way nothing is said yet');
  deepEqual(census.step(), expected);
  equal(new Set(asked.map(({ from }) => from)).size, 3);
  for (const range of asked) {
    const seen = new Set([...rig.delivery.holdings(range)].map(({ workloadId }) => workloadId));
    ok(seen.size <= 2000, `${seen.size} in one step`);
  }

  census.step();
  rig.delivery.disconnected('node-1', placing);
  census.step();
  notDeepEqual(census.step(), countAll(rig), 'control: a part was counted before that');
  for (let step = 0; step < 3; step += 1) census.step();
  deepEqual(census.step(), countAll(rig));
  rig.delivery.close();
});
