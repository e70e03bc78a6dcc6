/**
 * What it costs to have it: the enforcer's memory with 100 containers and its idle processor time, the
 * watchdog's, the gateway's start to ready, and the CLI's first byte.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock as clock } from '../src/base/clock.ts';
import { parseName, parseSecretName } from '../src/model/name.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import { Installation } from '../src/testing/installation.ts';
import { startContainers } from './containers.ts';
import { cpuMsOf, memoryOf, quantile, Report } from './report.ts';

const containers = 100;
const idleSeconds = 20;
const starts = 5;
const helps = 20;
const coffer = join(import.meta.dirname, '..', 'bin', 'coffer.mjs');

const report = new Report('footprint');
const labels = { app: 'footprint' };
await using made = await startContainers(
  'footprint',
  Array.from({ length: containers }, () => labels),
);
await using installation = await Installation.start({ runtime: made.runtime });
const { client } = installation;

using value = SecretValue.copy(Buffer.from('footprint'));
const secret = parseSecretName('bench/footprint');
const group = parseName('footprint');
await client.call('secret.put', { name: secret }, { value });
await client.call('group.put', { name: group, match: made.matching(labels) }, { ifRevision: 0 });
await client.call('grant.put', { group, secrets: [{ secret }] }, { ifRevision: 0 });
for (let held = 0; held < containers; ) {
  const { output } = await client.call('holding.list', { secret, state: 'current', limit: 500 });
  held = output.items.length;
  await clock.sleep(100);
}
await clock.sleep(5000);

const watchdogFile = join(installation.directory, 'run', 'watchdog.pid');
const programs = [
  ['enforcer, 100 containers', installation.enforcer?.child.pid],
  ['watchdog', existsSync(watchdogFile) ? Number(readFileSync(watchdogFile, 'utf8')) : undefined],
  ['gateway', installation.gateway?.child.pid],
] as const;
const before = programs.map(([, pid]) => (pid === undefined ? 0 : cpuMsOf(pid)));
await clock.sleep(idleSeconds * 1000);
for (const [index, [name, pid]] of programs.entries()) {
  if (pid === undefined) continue;
  const { residentMib, privateMib } = memoryOf(pid);
  const isEnforcer = index === 0;
  report.add({
    case: name,
    metric: 'resident',
    value: residentMib,
    unit: 'MiB',
    ...(isEnforcer ? { target: { atMost: 80 } } : {}),
  });
  report.add({ case: name, metric: 'private', value: privateMib, unit: 'MiB' });
  const idle = ((cpuMsOf(pid) - (before[index] ?? 0)) / (idleSeconds * 1000)) * 100;
  report.add({
    case: name,
    metric: 'processor when idle',
    value: idle,
    unit: '%',
    ...(isEnforcer ? { target: { atMost: 0.5 } } : {}),
  });
}

const ready: number[] = [];
for (let turn = 0; turn < starts; turn += 1) {
  await installation.gateway?.stop();
  const startedMs = clock.monotonicMs();
  // Its log says so once the store is unsealed and both ports answer: what /readyz asks for.
  await installation.startGateway();
  ready.push(clock.monotonicMs() - startedMs);
}
report.add({
  case: 'gateway',
  metric: 'start to ready, median',
  value: quantile(ready, 0.5),
  unit: 'ms',
  target: { atMost: 500 },
});
report.add({
  case: 'gateway',
  metric: 'start to ready, worst',
  value: quantile(ready, 1),
  unit: 'ms',
});

report.add({
  case: 'coffer --help',
  metric: 'first byte, median',
  value: quantile(await firstBytes(['--help']), 0.5),
  unit: 'ms',
  target: { atMost: 100 },
});
report.add({
  case: 'coffer secret list',
  metric: 'first byte, median',
  value: quantile(await firstBytes(['secret', 'list']), 0.5),
  unit: 'ms',
  target: { atMost: 200 },
});

async function firstBytes(argv: readonly string[]): Promise<readonly number[]> {
  const took: number[] = [];
  for (let turn = 0; turn < helps; turn += 1) {
    const startedMs = clock.monotonicMs();
    const env = {
      ...installation.environment,
      PATH: process.env['PATH'] ?? '',
      HOME: installation.directory,
    };
    const child = spawn(process.execPath, [coffer, ...argv], {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    took.push(clock.monotonicMs() - startedMs);
    child.stdout.resume();
    await once(child, 'close');
  }
  return took;
}
