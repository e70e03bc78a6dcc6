/**
 * One rotation to 5,000 connected enforcers: real mutual TLS, decided and audited per node, all
 * acknowledged. Both ends share this machine's cores. `--nodes N` for fewer.
 *
 * The gateway's memory is that of its own process, under the flags that `coffer gateway` runs with.
 */
import { parseArgs } from 'node:util';
import { startFleet } from './fleet.ts';
import { memoryOf, Report } from './report.ts';
import { sharedMs } from './shared-clock.ts';

const { values } = parseArgs({ options: { nodes: { type: 'string' } }, strict: false });
const nodes = Number(values['nodes'] ?? 5000);
const rotations = 10;

const report = new Report('fanout');
await using fleet = await startFleet({ nodes, workloadsEach: 1 });
await fleet.put('first');
await fleet.receipts(nodes);
const took: number[] = [];
for (let turn = 1; turn <= rotations; turn += 1) {
  const sentMs = sharedMs();
  await fleet.put(`value ${turn}`);
  took.push((await fleet.receipts((turn + 1) * nodes)) - sentMs);
}
const name = `${nodes} nodes`;
report.addSpread(name, 'put sent → all receipts', took, 'ms', {
  p50: 1000,
  p99: 1000,
});
const { residentMib, privateMib } = memoryOf(fleet.gatewayPid);
report.add({
  case: name,
  metric: 'gateway resident',
  value: residentMib * 1.048576,
  unit: 'MB',
  target: { atMost: 500 },
});
report.add({ case: name, metric: 'gateway private', value: privateMib * 1.048576, unit: 'MB' });
