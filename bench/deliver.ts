/**
 * Deliveries decided, audited, sealed and on the wire, per core of the gateway: 20 nodes with 250
 * workloads each, rotated again and again. Per core means: by the processor time that the gateway's
 * process used, which includes receiving the receipts and recording them.
 */
import { startFleet } from './fleet.ts';
import { cpuMsOf, Report } from './report.ts';
import { sharedMs } from './shared-clock.ts';

const nodes = 20;
const workloadsEach = 250;
const seconds = 5;

const report = new Report('deliver');
await using fleet = await startFleet({ nodes, workloadsEach });
const each = nodes * workloadsEach;
let turn = 0;
const rotate = async (): Promise<void> => {
  turn += 1;
  await fleet.put(`value ${turn}`);
  await fleet.receipts(turn * each);
};
// Two to warm up, not counted.
await rotate();
await rotate();
const cpuBeforeMs = cpuMsOf(fleet.gatewayPid);
const startedMs = sharedMs();
const before = turn;
while (sharedMs() - startedMs < seconds * 1000) await rotate();
const delivered = (turn - before) * each;
const wallS = (sharedMs() - startedMs) / 1000;
const cpuS = (cpuMsOf(fleet.gatewayPid) - cpuBeforeMs) / 1000;
const name = `${nodes} nodes × ${workloadsEach} workloads`;
report.add({
  case: name,
  metric: 'deliveries per second of processor, receipts included',
  value: delivered / cpuS,
  unit: '/s',
  target: { atLeast: 20_000 },
});
report.add({
  case: name,
  metric: 'deliveries per second, receipts included',
  value: delivered / wallS,
  unit: '/s',
});
