/**
 * What the programs cost: the enforcer with 100 containers (memory, and processor while nothing happens),
 * its watchdog, the gateway's start, and the first words of the command line.
 *
 * Resident memory counts the mapped Node binary, which all Node processes of a machine share; the share
 * that is a process's own stands beside it. `--containers N`, `--seconds N` for others.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '../src/base/clock.ts';
import { parseName, parseSecretName } from '../src/model/name.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import { Installation } from '../src/testing/installation.ts';
import { endsWithUs, temporaryDirectory } from '../src/testing/left-behind.ts';
import { type BenchContainers, startContainers } from './containers.ts';
import { cpuMsOf, memoryOf, Report } from './report.ts';
import { sharedMs } from './shared-clock.ts';

const { values: flags } = parseArgs({
  options: { containers: { type: 'string' }, seconds: { type: 'string' } },
  strict: false,
});
const count = Number(flags['containers'] ?? 100);
const idleSeconds = Number(flags['seconds'] ?? 30);
const starts = 11;
const settleMs = 12_000;
const withinMs = 30_000;
const coffer = join(import.meta.dirname, '..', 'bin', 'coffer.mjs');

const report = new Report('footprint');

async function measureEnforcer(installation: Installation): Promise<void> {
  const enforcer = installation.enforcer?.child.pid ?? 0;
  const watchdog = Number(
    readFileSync(join(installation.directory, 'run', 'watchdog.pid'), 'utf8'),
  );
  // What starting left behind is collected by then.
  await clock.sleep(settleMs);
  const programs = [
    ['enforcer', enforcer],
    ['watchdog', watchdog],
    ['gateway', installation.gateway?.child.pid ?? 0],
  ] as const;
  const before = programs.map(([, pid]) => cpuMsOf(pid));
  await clock.sleep(idleSeconds * 1000);
  for (const [index, [program, pid]] of programs.entries()) {
    const idleMs = cpuMsOf(pid) - (before[index] ?? 0);
    sayProcess(`${program}, ${count} containers`, program, pid, idleMs);
  }
}

function sayProcess(name: string, program: string, pid: number, idleMs: number): void {
  const { residentMib, privateMib, shareMib } = memoryOf(pid);
  const memory = (metric: string, value: number, atMost?: number): void => {
    const target = atMost === undefined ? {} : { target: { atMost } };
    report.add({ case: name, metric, value, unit: 'MiB', ...target });
  };
  memory('resident', residentMib, program === 'enforcer' ? 80 : undefined);
  memory('proportional share', shareMib);
  memory('private', privateMib);
  report.add({
    case: name,
    metric: `processor while idle, over ${idleSeconds} s`,
    value: idleMs / (idleSeconds * 10),
    unit: '%',
    ...(program === 'gateway' ? {} : { target: { atMost: 0.5 } }),
  });
}

async function deliverTo(installation: Installation, containers: BenchContainers): Promise<void> {
  const { client } = installation;
  const [name, secret] = [parseName('bench'), parseSecretName('bench/value')];
  using value = SecretValue.copy(Buffer.from('a value as long as they are'));
  await client.call('secret.put', { name: secret }, { value });
  const match = containers.matching({ bench: 'yes' });
  await client.call('group.put', { name, match }, { ifRevision: 0 });
  await client.call('grant.put', { group: name, secrets: [{ secret }] }, { ifRevision: 0 });
  const startedMs = clock.monotonicMs();
  for (;;) {
    const query = { secret, state: 'current', limit: 500 } as const;
    const { output } = await client.call('holding.list', query);
    if (output.items.length === count) return;
    if (clock.monotonicMs() - startedMs > withinMs)
      throw new Error(`${output.items.length} of ${count} containers hold it`);
    await clock.sleep(20);
  }
}

/** Each from starting `coffer gateway` to the first 200 from /readyz. */
async function gatewayStarts(compiled: 'compiled' | 'nothing compiled') {
  using temporary = temporaryDirectory('coffer-bench-');
  const directory = temporary.path;
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: directory };
  const port = 20_000 + (process.pid % 20_000);
  const given = [
    ...['--data', join(directory, 'data'), '--key-file', join(directory, 'key')],
    ...['--listen', `127.0.0.1:${port}`, '--node-listen', `127.0.0.1:${port + 1}`],
  ];
  const init = spawn(process.execPath, [coffer, 'init', ...given, '--seal', 'keyfile'], { env });
  await once(init, 'exit');
  await started(given, env, port);
  return await repeated(() => {
    if (compiled === 'nothing compiled')
      rmSync(join(directory, '.cache'), { recursive: true, force: true });
    return started(given, env, port);
  });
}

async function started(
  given: readonly string[],
  env: NodeJS.ProcessEnv,
  port: number,
): Promise<number> {
  const startedMs = sharedMs();
  const argv = [coffer, 'gateway', ...given];
  const gateway = endsWithUs(spawn(process.execPath, argv, { env, stdio: 'ignore' }));
  const ended = once(gateway, 'exit');
  try {
    while (!(await isReady(port))) {
      if (sharedMs() - startedMs > withinMs) throw new Error('the gateway does not get ready');
      await clock.sleep(2);
    }
    return sharedMs() - startedMs;
  } finally {
    gateway.kill('SIGTERM');
    await ended;
  }
}

function isReady(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  // Whose certificate it is does not matter here: the port is ours.
  const about = { host: '127.0.0.1', port, path: '/readyz', rejectUnauthorized: false };
  const asked = request({ ...about, agent: false }, (answer) => {
    answer.resume();
    resolve(answer.statusCode === 200);
  });
  asked.on('error', () => resolve(false));
  asked.end();
  return promise;
}

/** From starting a command to its first byte. */
async function firstByte(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const startedMs = sharedMs();
  const child = spawn(process.execPath, [coffer, ...argv], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'readable');
  const tookMs = sharedMs() - startedMs;
  child.stdout.resume();
  await once(child, 'exit');
  return tookMs;
}

async function repeated(act: () => Promise<number>): Promise<readonly number[]> {
  const took: number[] = [];
  for (let turn = 0; turn < starts; turn += 1) took.push(await act());
  return took;
}

async function measureCommands(installation: Installation): Promise<void> {
  const cache = join(installation.directory, 'compile-cache');
  const env = {
    ...installation.environment,
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: installation.directory,
    XDG_CACHE_HOME: cache,
  };
  const list = ['secret', 'list'];
  await firstByte(['--help'], env);
  await firstByte(list, env);
  const help = await repeated(() => firstByte(['--help'], env));
  report.addSpread('coffer --help', 'first byte', help, 'ms', { p50: 100 });
  const listed = await repeated(() => firstByte(list, env));
  report.addSpread('coffer secret list', 'first byte', listed, 'ms', { p50: 200 });
}

{
  const labels = Array.from({ length: count }, () => ({ bench: 'yes' }));
  await using containers = await startContainers('footprint', labels);
  await using installation = await Installation.start({ runtime: containers.runtime });
  await deliverTo(installation, containers);
  await measureEnforcer(installation);
  await measureCommands(installation);
}
const gateway = 'gateway, small store';
const warm = await gatewayStarts('compiled');
report.addSpread(gateway, 'start → ready', warm, 'ms', { p50: 500 });
const cold = await gatewayStarts('nothing compiled');
report.addSpread(gateway, 'start → ready, nothing compiled', cold, 'ms');
process.exit(0);
