/** A gateway in this process, and a fleet of simulated enforcers in another, over real mutual TLS. */
import { type ChildProcess, fork } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../src/base/clock.ts';
import { createLog } from '../src/base/log.ts';
import { systemRandom as random } from '../src/base/random.ts';
import { Client } from '../src/client/client.ts';
import { pem } from '../src/enforcer/uplink/join.ts';
import { makeCsr } from '../src/crypto/csr.ts';
import { gatewayConfig } from '../src/gateway/config.ts';
import { type Gateway, startGateway } from '../src/gateway/gateway.ts';
import type { IdentityPlan } from '../src/gateway/identity/identity.ts';
import { initialise } from '../src/gateway/init.ts';
import { parseName, parseSecretName } from '../src/model/name.ts';
import { gatewayPrincipal } from '../src/model/principal.ts';
import { SecretValue } from '../src/model/secret-value.ts';

export interface Fleet extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly client: Client;
  readonly fleetPid: number;
  /** Receipts so far. */
  readonly receipts: () => number;
  put(text: string): Promise<void>;
}

export const benchSecret = parseSecretName('bench/secret');
const log = createLog({ clock, level: 'error', write: (line) => void process.stderr.write(line) });
const joinsTogether = 64;

export async function startFleet(options: {
  readonly nodes: number;
  readonly workloadsEach: number;
}): Promise<Fleet> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-fleet-'));
  const config = gatewayConfig({
    data: join(directory, 'data'),
    listen: '127.0.0.1:0',
    'node-listen': '127.0.0.1:0',
    'key-file': join(directory, 'key'),
  });
  const context = { clock, random, log };
  const made = await initialise(config, { kind: 'keyfile' }, context);
  const gateway = await startGateway(config, context);
  const address = `https://127.0.0.1:${gateway.apiPort}`;
  const client = new Client({
    address,
    trust: { pins: [made.pin] },
    token: made.ownerToken,
    clock,
    random,
  });
  let receipts = 0;
  const { delivery } = gateway.core;
  const receive = delivery.receipt.bind(delivery);
  delivery.receipt = (node, receipt) => {
    receipts += 1;
    receive(node, receipt);
  };
  await client.call(
    'group.put',
    { name: parseName('bench'), match: { docker: { labels: { app: 'bench' } } } },
    { ifRevision: 0 },
  );
  await client.call(
    'grant.put',
    { group: parseName('bench'), secrets: [{ secret: benchSecret }] },
    { ifRevision: 0 },
  );
  const fleetFile = join(directory, 'fleet.json');
  const nodes = await joinAll(gateway.core, options.nodes);
  writeFileSync(
    fleetFile,
    JSON.stringify({
      address: `127.0.0.1:${gateway.nodePort}`,
      workloadsEach: options.workloadsEach,
      ...nodes,
    }),
    { mode: 0o600 },
  );
  const child = await startProgram(fleetFile);
  return {
    gateway,
    client,
    fleetPid: child.pid ?? 0,
    receipts: () => receipts,
    async put(text) {
      using value = SecretValue.copy(Buffer.from(text));
      await client.call('secret.put', { name: benchSecret }, { value });
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await client.close();
      await gateway[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function startProgram(fleetFile: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'fleet-program.ts'), [fleetFile]);
  const exited = once(child, 'exit').then(() => {
    throw new Error('the fleet ended');
  });
  exited.catch(() => {});
  await Promise.race([once(child, 'message'), exited]);
  return child;
}

/** Past the API, whose limits on strangers are made to be in the way of five thousand at once. */
async function joinAll({ identity, audit }: Gateway['core'], count: number) {
  const nodes: { name: string; certificate: string; key: string }[] = [];
  const commit = (action: string, plan: IdentityPlan) =>
    audit.commit({
      writes: plan.writes,
      expectations: plan.expectations,
      entries: [
        {
          principal: gatewayPrincipal,
          action,
          resource: 'nodes',
          outcome: 'ok',
          rule: '',
          requestId: '',
          detail: plan.detail,
        },
      ],
    });
  const join = async (index: number): Promise<void> => {
    const name = parseName(`node-${index}`);
    const { privateKey } = generateKeyPairSync('ed25519');
    const token = identity.nodes.planToken(name);
    await commit('node.token', token);
    const { publicId, secret } = token;
    const certificateRequest = pem('CERTIFICATE REQUEST', makeCsr(privateKey));
    const joined = identity.nodes.planJoin({ publicId, secret, node: name, certificateRequest });
    await commit('node.join', joined);
    nodes.push({
      name,
      certificate: joined.certificate,
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    });
  };
  for (let at = 0; at < count; at += joinsTogether) {
    await Promise.all(
      Array.from({ length: Math.min(joinsTogether, count - at) }, (_, index) => join(at + index)),
    );
  }
  return { nodes, authority: identity.authorityForGateway().certificate.toString() };
}

/** Waits until so many receipts are in; the time it took, in milliseconds. */
export async function untilReceipts(
  fleet: Fleet,
  wanted: number,
  withinMs = 60_000,
): Promise<number> {
  const startedMs = clock.monotonicMs();
  while (fleet.receipts() < wanted) {
    if (clock.monotonicMs() - startedMs > withinMs)
      throw new Error(`${fleet.receipts()} of ${wanted} receipts`);
    await clock.nextTurn();
  }
  return clock.monotonicMs() - startedMs;
}
