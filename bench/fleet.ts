/**
 * A gateway, and a fleet of simulated enforcers connected to it over real mutual TLS: each in a process
 * of its own, so that what the gateway uses can be told from what measures it.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { nodeFor } from '../bin/node-flags.mjs';
import { systemClock as clock } from '../src/base/clock.ts';
import { systemRandom as random } from '../src/base/random.ts';
import { Client } from '../src/client/client.ts';
import { parseName, parseSecretName } from '../src/model/name.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import { endsWithUs, temporaryDirectory } from '../src/testing/left-behind.ts';
import type {
  FleetGatewayReady,
  FleetJoined,
  FromFleet,
  FromFleetGateway,
  ToFleet,
  ToFleetGateway,
} from './fleet-messages.ts';
import { sharedMs } from './shared-clock.ts';

export interface Fleet extends AsyncDisposable {
  readonly client: Client;
  /** The process of the gateway. */
  readonly gatewayPid: number;
  put(text: string): Promise<void>;
  /**
   * Waits until the gateway has had so many receipts since it started.
   *
   * @returns When it had them, as `sharedMs` counts.
   */
  receipts(count: number): Promise<number>;
  /** Waits until so many sets have arrived at the fleet since it started. */
  arrived(sets: number): Promise<void>;
  /** Of a fleet that holds its receipts: says them. */
  release(): void;
}

const benchSecret = parseSecretName('bench/secret');
const withinMs = 120_000;

export async function startFleet(options: {
  readonly nodes: number;
  readonly workloadsEach: number;
  /** At once, unless `hold`: then when they are released. */
  readonly receipts?: 'hold';
}): Promise<Fleet> {
  const temporary = temporaryDirectory('coffer-fleet-');
  const directory = temporary.path;
  const children: ChildProcess[] = [];
  const start = (program: string, argv: readonly string[], settings = {}): ChildProcess => {
    const child = endsWithUs(fork(join(import.meta.dirname, program), argv, settings));
    children.push(child);
    return child;
  };
  const end = (): void => {
    for (const child of children) child.kill('SIGKILL');
    temporary[Symbol.dispose]();
  };
  try {
    const { nodes, workloadsEach, receipts = '' } = options;
    const { pin, ownerToken } = (await answer(
      start('fleet-gateway.ts', [directory, 'join', `${nodes}`]),
      'joined',
    )) as FleetJoined;
    const { flags, environment } = nodeFor('gateway');
    const gateway = start('fleet-gateway.ts', [directory, 'serve'], {
      execArgv: [...flags],
      env: { ...process.env, ...environment },
    });
    const ports = (await answer(gateway, 'ready')) as FleetGatewayReady;
    const address = `https://127.0.0.1:${ports.apiPort}`;
    const trust = { pins: [pin] };
    const client = new Client({ address, trust, token: ownerToken, clock, random });
    await grant(client);
    const fleet = start('fleet-program.ts', [
      join(directory, 'fleet.json'),
      `127.0.0.1:${ports.nodePort}`,
      `${workloadsEach}`,
      receipts,
    ]);
    await answer(fleet, 'connected');
    return {
      client,
      gatewayPid: gateway.pid ?? 0,
      async put(text) {
        using value = SecretValue.copy(Buffer.from(text));
        await client.call('secret.put', { name: benchSecret }, { value });
      },
      async receipts(count) {
        gateway.send({ kind: 'until', receipts: count } satisfies ToFleetGateway);
        const reached = await answer(gateway, 'reached');
        return reached.kind === 'reached' ? reached.atMs : sharedMs();
      },
      async arrived(sets) {
        fleet.send({ kind: 'until', sets } satisfies ToFleet);
        await answer(fleet, 'arrived');
      },
      release() {
        fleet.send({ kind: 'release' } satisfies ToFleet);
      },
      async [Symbol.asyncDispose]() {
        await client.close();
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

/** The next thing this child says. @throws Error if it ends, or takes too long. */
async function answer(child: ChildProcess, what: string): Promise<FromFleetGateway | FromFleet> {
  const done = new AbortController();
  const { signal } = done;
  const late = clock.sleep(withinMs, signal).then(() => `after ${withinMs} ms`);
  const ended = once(child, 'exit', { signal }).then(() => 'it ended');
  const said = once(child, 'message', { signal });
  for (const other of [late, ended, said]) (other as Promise<unknown>).catch(() => {});
  const first = await Promise.race([said, ended, late]);
  done.abort();
  if (typeof first === 'string') throw new Error(`no word of ${what}: ${first}`);
  return first[0] as FromFleetGateway | FromFleet;
}

async function grant(client: Client): Promise<void> {
  const name = parseName('bench');
  const match = { docker: { labels: { app: 'bench' } } };
  await client.call('group.put', { name, match }, { ifRevision: 0 });
  const secrets = [{ secret: benchSecret }];
  await client.call('grant.put', { group: name, secrets }, { ifRevision: 0 });
}
