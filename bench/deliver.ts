/**
 * Deliveries decided, audited, sealed and on the wire, per core of the gateway: 20 nodes with 250
 * workloads each, rotated again and again. Per core means: by the processor time that the gateway's
 * process used. The fleet holds its receipts until all sets have arrived, so that what receiving and
 * recording them takes can be told from what delivering takes.
 */
import { startFleet } from './fleet.ts';
import { cpuMsOf, Report } from './report.ts';
import { sharedMs } from './shared-clock.ts';

const nodes = 20;
const workloadsEach = 250;
const seconds = 10;

const report = new Report('deliver');
await using fleet = await startFleet({ nodes, workloadsEach, receipts: 'hold' });
const each = nodes * workloadsEach;
let turn = 0;
let deliveringMs = 0;
const rotate = async (): Promise<void> => {
  turn += 1;
  const beforeMs = cpuMsOf(fleet.gatewayPid);
  await fleet.put(`value ${turn}`);
  await fleet.arrived(turn * each);
  deliveringMs += cpuMsOf(fleet.gatewayPid) - beforeMs;
  fleet.release();
  await fleet.receipts(turn * each);
};
// Two to warm up, not counted.
await rotate();
await rotate();
deliveringMs = 0;
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
  metric: 'decided, audited and on the wire, per second of processor',
  value: delivered / (deliveringMs / 1000),
  unit: '/s',
  target: { atLeast: 20_000 },
});
report.add({
  case: name,
  metric: 'the same, with the receipts received and recorded',
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
