/**
 * The case `https` of `put`: 64 connections over real TLS, each with one writer that waits for its answer.
 * This process makes the load; the gateway is another. Both share the machine's cores.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { nodeFor } from '../bin/node-flags.mjs';
import { systemClock as clock } from '../src/base/clock.ts';
import { endsWithUs, temporaryDirectory } from '../src/testing/left-behind.ts';
import type { PutGatewayReady } from './put-gateway.ts';
import { cpuMsOf, type Report } from './report.ts';
import { sharedMs } from './shared-clock.ts';

const writers = 64;
const seconds = 5;
const valueBytes = 32;
const namesEach = 50;

export async function putOverHttps(report: Report): Promise<void> {
  using directory = temporaryDirectory('coffer-bench-');
  const { flags, environment } = nodeFor('gateway');
  const argv = [directory.path, `${writers}`];
  const gateway = endsWithUs(
    fork(join(import.meta.dirname, 'put-gateway.ts'), argv, {
      execArgv: [...flags],
      env: { ...process.env, ...environment },
    }),
  );
  const ended = once(gateway, 'exit').then(([status]) => {
    throw new Error(`the gateway ended: ${status}`);
  });
  ended.catch(() => {});
  try {
    const [ready] = (await Promise.race([once(gateway, 'message'), ended])) as [PutGatewayReady];
    await measure(report, ready, gateway.pid ?? 0);
  } finally {
    gateway.kill('SIGKILL');
  }
}

async function measure(report: Report, ready: PutGatewayReady, pid: number): Promise<void> {
  const load = { stop: false, latencies: [] as number[] };
  const agent = new Agent({ keepAlive: true, maxSockets: writers, ca: ready.authority });
  const running = ready.tokens.map(async (token, index) => {
    for (let turn = 0; !load.stop; turn += 1) {
      const startedMs = sharedMs();
      const path = `/v1/secrets/bench/w${index}-${turn % namesEach}:put`;
      await put({ agent, port: ready.port, path, token }, Buffer.alloc(valueBytes, index));
      load.latencies.push(sharedMs() - startedMs);
    }
  });
  // Two seconds to warm up, not counted.
  await clock.sleep(2000);
  load.latencies = [];
  const cpuMs = cpuMsOf(pid);
  const startedMs = sharedMs();
  await clock.sleep(seconds * 1000);
  const { latencies } = load;
  const tookS = (sharedMs() - startedMs) / 1000;
  const usedS = (cpuMsOf(pid) - cpuMs) / 1000;
  load.stop = true;
  const puts = latencies.length;
  await Promise.all(running);
  agent.destroy();
  const name = 'https, 64 connections';
  const add = (metric: string, value: number): void =>
    report.add({ case: name, metric, value, unit: '/s' });
  add('puts per second', puts / tookS);
  add("puts per second of the gateway's processor", puts / usedS);
  report.addSpread(name, 'latency', latencies, 'ms');
}

interface Target {
  readonly agent: Agent;
  readonly port: number;
  readonly path: string;
  readonly token: string;
}

async function put({ agent, port, path, token }: Target, value: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/octet-stream',
    'content-length': value.length,
  };
  const about = { agent, host: '127.0.0.1', port, path, method: 'POST', headers };
  const asked = request(about, (answer) => {
    answer.resume();
    answer.on('end', () => {
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`put: status ${answer.statusCode}`));
    });
  });
  asked.on('error', reject);
  asked.end(value);
  return promise;
}
