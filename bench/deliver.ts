/**
 * Deliveries decided, audited, sealed and on the wire, per core of the gateway: 20 nodes with 250
 * workloads each, rotated again and again. Per core means: by the processor time the gateway used.
 */
import { systemClock as clock } from '../src/base/clock.ts';
import { startFleet, untilReceipts } from './fleet.ts';
import { Report } from './report.ts';

const nodes = 20;
const workloadsEach = 250;
const seconds = 5;

const report = new Report('deliver');
await using fleet = await startFleet({ nodes, workloadsEach });
const each = nodes * workloadsEach;
await fleet.put('first');
await untilReceipts(fleet, each);
await fleet.put('warm');
await untilReceipts(fleet, 2 * each);
const cpuBefore = process.cpuUsage();
const startedMs = clock.monotonicMs();
const before = fleet.receipts();
for (let turn = 0; clock.monotonicMs() - startedMs < seconds * 1000; turn += 1) {
  const sofar = fleet.receipts();
  await fleet.put(`value ${turn}`);
  await untilReceipts(fleet, sofar + each);
}
const delivered = fleet.receipts() - before;
const wallS = (clock.monotonicMs() - startedMs) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const name = `${nodes} nodes × ${workloadsEach} workloads`;
report.add({
  case: name,
  metric: 'deliveries per second of processor',
  value: delivered / ((user + system) / 1e6),
  unit: '/s',
  target: { atLeast: 20_000 },
});
report.add({
  case: name,
  metric: 'deliveries per second, receipts recorded too',
  value: delivered / wallS,
  unit: '/s',
});
await fleet[Symbol.asyncDispose]();
process.exit(0);
