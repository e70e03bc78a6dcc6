/**
 * Goal: each thing that can be wrong on the way to the gateway is found by the check that is for it,
 * with what to do; and nothing is found when nothing is wrong.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { HttpOptions } from '../gateway/http/http.ts';
import { operationExamples } from '../protocol/examples.ts';
import { CliWorld, type CliRunOptions } from '../testing/cli-world.ts';
import { startHttpGateway, type TestHandle } from '../testing/http-gateway.ts';
import type { Finding } from './doctor-command.ts';
import { clientVersion } from './system-commands.ts';

const wellStatus = { ...operationExamples['system.status'].output, version: clientVersion() };
const well: TestHandle = async ({ operation }) => ({
  output: operation === 'system.seal-status' ? { ...sealed, sealed: false } : wellStatus,
});
const sealed = operationExamples['system.seal-status'].output;

interface Trouble {
  readonly handle?: TestHandle;
  readonly server?: Partial<HttpOptions>;
  readonly env?: Readonly<Record<string, string>>;
  readonly run?: CliRunOptions;
  readonly argv?: readonly string[];
}

async function examine(trouble: Trouble): Promise<{ code: number; findings: readonly Finding[] }> {
  await using gateway = await startHttpGateway(trouble.handle ?? well, trouble.server);
  using world = new CliWorld().reach(gateway);
  const argv = ['doctor', '-o', 'json', '--state', world.path('no-state'), ...(trouble.argv ?? [])];
  const { code, stdout, stderr } = await world.run(argv, {
    ...trouble.run,
    ...(trouble.env ? { env: trouble.env } : {}),
  });
  ok(stdout !== '', stderr);
  return { code, findings: (JSON.parse(stdout) as { items: Finding[] }).items };
}

const shifted = (ms: number) => ({ ...systemClock, wallMs: () => systemClock.wallMs() + ms });

test('doctor finds nothing when nothing is wrong', async () => {
  const { code, findings } = await examine({
    handle: async (request) =>
      request.operation === 'system.status'
        ? { output: { ...wellStatus, weakenings: [], nodeWeakenings: [] } }
        : await well(request),
  });
  equal(code, 0);
  const bad = findings.filter(({ check, result }) => result !== 'pass' && check !== 'certificate');
  deepEqual(bad, []);
});

const troubles: readonly (readonly [string, Finding['result'], Trouble])[] = [
  ['address', 'fail', { env: { COFFER_ADDR: '' } }],
  ['connection', 'fail', { env: { COFFER_ADDR: 'https://127.0.0.1:1' } }],
  ['connection', 'fail', { env: { COFFER_CACERT: '' } }],
  ['clock', 'warn', { run: { clock: shifted(20_000) } }],
  ['clock', 'fail', { run: { clock: shifted(-300_000) } }],
  ['ready', 'fail', { server: { checks: [{ name: 'storage', isWell: () => false }] } }],
  ['seal', 'fail', { handle: async () => ({ output: sealed }) }],
  ['token', 'fail', { env: { COFFER_TOKEN: 'coffer-test-token-unknown-0000000' } }],
  ['token', 'fail', { env: { COFFER_TOKEN: 'not a token at all' } }],
  ['token', 'fail', { env: { COFFER_TOKEN: '', COFFER_TOKEN_FILE: '/nowhere/token' } }],
  [
    'version',
    'warn',
    {
      handle: async (request) =>
        request.operation === 'system.status'
          ? { output: { ...wellStatus, version: '9.9.9' } }
          : await well(request),
    },
  ],
  [
    'state',
    'fail',
    {
      handle: async (request) =>
        request.operation === 'system.status'
          ? { output: { ...wellStatus, state: 'read-only' } }
          : await well(request),
    },
  ],
  [
    'version',
    'skip',
    {
      handle: async (request) => {
        if (request.operation === 'system.status') throw new Fault('policy.denied');
        return await well(request);
      },
    },
  ],
  ['engine', 'fail', { argv: ['--node', '--engine-socket', '/nowhere/engine.sock'] }],
  ['enforcer', 'warn', { argv: ['--node'] }],
];

for (const [check, result, trouble] of troubles) {
  test(`doctor: ${check} is ${result} with ${JSON.stringify(trouble).slice(0, 60)}`, async () => {
    const { code, findings } = await examine(trouble);
    const found = findings.find((finding) => finding.check === check);
    equal(found?.result, result, JSON.stringify(findings));
    if (result === 'fail' || result === 'warn') ok((found?.fix ?? '').length > 10);
    if (result === 'fail') equal(code, 1);
  });
}

test('doctor on a node sees a state directory that others can read', async () => {
  using world = new CliWorld();
  const state = world.path('state');
  mkdirSync(state);
  chmodSync(state, 0o755);
  const { stdout } = await world.run(['doctor', '--node', '--state', state]);
  match(stdout, /fail +enforcer +.*mode 755\n +fix: chmod 700/);
});

test('doctor on a node sees an engine that is too old for the enforcer', async () => {
  using world = new CliWorld();
  for (const [api, found] of [
    ['1.40', /fail +engine +.*1\.40 of the API; 1\.41 or later/],
    ['1.41', /pass +engine +.*API 1\.41/],
  ] as const) {
    const answer = JSON.stringify({ Version: '19.03', ApiVersion: api, MinAPIVersion: '1.12' });
    const socket = world.path(`engine-${api}.sock`);
    const server = createServer((_request, response) => response.end(answer));
    await once(server.listen(socket), 'listening');
    const { stdout } = await world.run(['doctor', '--node', '--engine-socket', socket]);
    server.close();
    match(stdout, found);
  }
});

const skip = process.getuid?.() === 0 ? false : 'needs root: sudo npm run verify';

test('doctor on a node sees SELinux enforce', { skip }, () => {
  const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
  const examined = (enforce: string): string => {
    const pretend = `mount -t tmpfs none /sys/fs && mkdir /sys/fs/selinux
      echo ${enforce} > /sys/fs/selinux/enforce
      exec "$0" ${coffer} doctor --node`;
    const words = ['--mount', 'sh', '-ec', pretend, process.execPath];
    return spawnSync('unshare', words, { encoding: 'utf8' }).stdout;
  };
  match(examined('1'), /fail +selinux +SELinux is enforcing/);
  match(examined('0'), /pass +selinux/);
});
