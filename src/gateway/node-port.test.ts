/**
 * Goal: what is committed reaches the nodes and the disk: a node that is revoked, or joins again, loses its
 * stream at once, and a value that is destroyed leaves the storage, also where a step fails once. The port
 * opens once, and closes when the gateway seals itself; the housekeeping needs no port.
 * Method: a whole gateway on loopback; a node that joined by its own hand; the files of the store.
 * Controls: the other node's stream stays; before, the value's row is there.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { Client } from '../client/client.ts';
import { SecretValue } from '../model/secret-value.ts';
import {
  decodeFromGateway,
  encodeFromEnforcer,
  streamProtocol,
} from '../protocol/stream-messages.ts';
import { workload } from '../testing/delivery-rig.ts';
import { makeRequestPem, newKey } from '../testing/operation-examples.ts';
import { until } from '../testing/until.ts';
import { gatewayConfig } from './config.ts';
import { startGateway } from './gateway.ts';
import { initialise } from './init.ts';
import { NodePort } from './node-port.ts';
import { StreamServer } from './stream/stream.ts';
import { Unsealed } from './unsealed.ts';

async function setUp(t: TestContext) {
  const directory = mkdtempSync(joinPath(tmpdir(), 'coffer-node-port-'));
  const config = gatewayConfig({
    data: joinPath(directory, 'data'),
    listen: '127.0.0.1:0',
    'node-listen': '127.0.0.1:0',
    'key-file': joinPath(directory, 'key'),
  });
  const context = { clock: systemClock, random: systemRandom, log: silentLog };
  const made = await initialise(config, { kind: 'keyfile' }, context);
  const gateway = await startGateway(config, context);
  const client = new Client({
    address: `https://127.0.0.1:${gateway.apiPort}`,
    trust: { pins: [made.pin] },
    token: made.ownerToken,
    ...context,
  });
  t.after(async () => {
    await client.close();
    await gateway[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  return { config, context, gateway, client };
}

type Here = Awaited<ReturnType<typeof setUp>>;

/** Joins as a node does. @returns what it shows from then on */
async function join({ client }: Here, name: string) {
  const { output } = await client.call('node.token', { name: name as never });
  const key = newKey();
  const certificateRequest = makeRequestPem(key);
  const joined = await client.call('node.join', { token: output.token, certificateRequest });
  return {
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    cert: joined.output.certificate,
    ca: joined.output.authority,
    checkServerIdentity: () => undefined,
  };
}

/** Joins, and opens a stream. */
async function connect(here: Here, name: string) {
  const { gateway } = here;
  const tls = await join(here, name);
  const socket = new WebSocket(`wss://127.0.0.1:${gateway.nodePort}/v1/stream`, tls as object);
  socket.on('error', () => {});
  const heard: string[] = [];
  socket.on('message', (data: Buffer) => {
    const message = decodeFromGateway(data);
    heard.push(message?.kind === 'refused' ? `refused ${message.code}` : `${message?.kind}`);
  });
  await once(socket, 'open');
  return { socket, heard, tls };
}

test('a node that is revoked loses its stream at once, though it has not said hello', {
  timeout: 20_000,
}, async (t) => {
  const here = await setUp(t);
  const [revoked, other] = [await connect(here, 'node-1'), await connect(here, 'node-2')];
  const closed = once(revoked.socket, 'close');
  await here.client.call('node.revoke', { name: 'node-1' as never });
  await closed;
  deepEqual(revoked.heard, ['refused node.refused']);
  const url = `wss://127.0.0.1:${here.gateway.nodePort}/v1/stream`;
  const again = new WebSocket(url, revoked.tls as object);
  again.on('error', () => {});
  const [, response] = await once(again, 'unexpected-response');
  equal((response as { readonly statusCode: number }).statusCode, 403);
  equal(other.socket.readyState, WebSocket.OPEN, 'control');
  other.socket.terminate();
});

test('a node that joins again ends the stream of the machine that had its name, and only that', {
  timeout: 20_000,
}, async (t) => {
  const here = await setUp(t);
  const [older, other] = [await connect(here, 'node-1'), await connect(here, 'node-2')];
  const closed = once(older.socket, 'close');
  await join(here, 'node-1');
  await closed;
  deepEqual(older.heard, ['refused node.refused']);
  equal(other.socket.readyState, WebSocket.OPEN, 'control');
  other.socket.terminate();
});

test('who connects, leaves or is refused is on the audit log, with the address it came from', {
  timeout: 20_000,
}, async (t) => {
  const here = await setUp(t);
  const node = await connect(here, 'node-1');
  const closed = once(node.socket, 'close');
  await here.client.call('node.revoke', { name: 'node-1' as never });
  await closed;
  const url = `wss://127.0.0.1:${here.gateway.nodePort}/v1/stream`;
  const again = new WebSocket(url, node.tls as object);
  again.on('error', () => {});
  await once(again, 'unexpected-response');
  const entries = async () => {
    const { output } = await here.client.call('audit.list', { resource: 'nodes/node-1' });
    return output.items
      .filter(({ action }) => action.endsWith('connect'))
      .map((entry) => ({ ...entry, detail: JSON.stringify(entry.detail) }))
      .map(({ actorKind, source, action, outcome, detail }) =>
        [actorKind, source, action, outcome, detail].join(' '),
      );
  };
  await until('all are recorded', async () => (await entries()).length >= 3);
  deepEqual(await entries(), [
    'node 127.0.0.1 node.connect ok {}',
    'node 127.0.0.1 node.disconnect ok {"reason":"node.refused"}',
    'anonymous 127.0.0.1 node.connect node.refused {"reason":"revoked"}',
  ]);
});

test('what runs on a node that is revoked while it is away is its no more: the machine may join again', {
  timeout: 20_000,
}, async (t) => {
  const here = await setUp(t);
  const facts = workload(1, '');
  const { delivery } = here.gateway.core;
  const hello = (): Buffer =>
    Buffer.from(
      encodeFromEnforcer({
        kind: 'hello',
        protocol: streamProtocol,
        version: 'test',
        bootId: 'boot',
        workloads: [facts],
        held: [],
        checkpoint: '',
        weakenings: [],
      }),
    );
  const owner = (): string | undefined =>
    here.gateway.core.policy.entitlements.workload(facts.id)?.node;
  const first = await connect(here, 'node-1');
  first.socket.send(hello());
  while (owner() !== 'node-1') await systemClock.sleep(5);
  first.socket.terminate();
  while (delivery.connectedNodes().size > 0) await systemClock.sleep(5);
  const second = await connect(here, 'node-2');
  second.socket.send(hello());
  while (!second.heard.includes('welcome')) await systemClock.sleep(5);
  equal(owner(), 'node-1', 'control: another node gets it by no word of its own');
  second.socket.terminate();
  await here.client.call('node.revoke', { name: 'node-1' as never });
  while (owner() !== undefined) await systemClock.sleep(5);
  const third = await connect(here, 'node-3');
  third.socket.send(hello());
  while (owner() !== 'node-3') await systemClock.sleep(5);
  third.socket.terminate();
});

test('a value that is destroyed leaves the files of the store', { timeout: 30_000 }, async (t) => {
  const { config, client } = await setUp(t);
  const name = 'payments/db' as never;
  const put = async (text: string): Promise<void> => {
    using value = SecretValue.copy(Buffer.from(text));
    await client.call('secret.put', { name }, { value });
  };
  // Larger than all else, so that its pages are told by their number.
  await put('x'.repeat(60_000));
  await put('y');
  // By another process: closing a descriptor of ours would end SQLite's lock.
  const bytes = (): number =>
    readdirSync(config.dataDirectory)
      .filter((file) => file.startsWith('store.db-wal'))
      .reduce((sum, file) => {
        const path = joinPath(config.dataDirectory, file);
        return sum + Number(execFileSync('stat', ['-c', '%s', path], { encoding: 'utf8' }));
      }, 0);
  ok(bytes() > 60_000, 'control: the journal holds it');
  await client.call('secret.destroy', { name, version: 1 });
  await until('the journal is cut', () => bytes() <= 60_000, { everyMs: 20 });
});

test('one failed purge and one failed step of the feed end nothing: both come again', {
  timeout: 30_000,
}, async (t) => {
  const here = await setUp(t);
  const { barrier, delivery } = here.gateway.core;
  const counts = { purge: 0, purged: 0, feed: 0, heard: 0 };
  const reached = (what: 'purged' | 'heard', count: number): Promise<unknown> =>
    until(`${what} ${count}`, () => counts[what] >= count);
  const purge = barrier.purge.bind(barrier);
  barrier.purge = async () => {
    counts.purge += 1;
    if (counts.purge === 1) throw new Fault('storage.failed');
    await purge();
    counts.purged += 1;
  };
  const changed = delivery.changed.bind(delivery);
  delivery.changed = () => {
    counts.feed += 1;
    if (counts.feed === 1) throw new Error('a step that fails');
    counts.heard += 1;
    changed();
  };
  const name = 'payments/db' as never;
  for (const text of ['one', 'two']) {
    using value = SecretValue.copy(Buffer.from(text));
    await here.client.call('secret.put', { name }, { value });
  }
  await here.client.call('secret.destroy', { name, version: 1 });
  await reached('purged', 1);
  await reached('heard', 1);
  deepEqual([counts.purge >= 2, counts.feed >= 2], [true, true], 'each failed first');
  const { heard } = counts;
  await here.client.call('secret.revoke', { name });
  await reached('heard', heard + 1);
});

test('opened by several at once it opens once, and after a failure it can be opened', {
  timeout: 30_000,
}, async (t) => {
  const { config, context, gateway } = await setUp(t);
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as AddressInfo;
  const taken = { ...config, nodeListen: { host: '127.0.0.1', port } };
  const { core } = gateway;
  const nodePort = new NodePort({ config: taken, core, ...context });
  const done = { well: 0, bad: 0 };
  const chores = {
    bad: () => {
      done.bad += 1;
      throw new Error('a chore that fails');
    },
    well: () => (done.well += 1),
  };
  const unsealed = new Unsealed({ config, core, nodePort, chores, ...context });
  t.after(() => unsealed.close());
  const tries = await Promise.allSettled([unsealed.open(), unsealed.open()]);
  deepEqual(
    tries.map((one) => (one.status === 'rejected' ? (one.reason as Fault).code : 'open')),
    ['gateway.address-in-use', 'gateway.address-in-use'],
  );
  equal(nodePort.isOpen, false);
  while (done.well < 2) await systemClock.sleep(20);
  ok(done.bad >= 2, 'what fails comes again, and keeps nothing else from being done');
  squatter.close();
  await once(squatter, 'close');
  const listens = t.mock.method(StreamServer, 'listen').mock;
  await Promise.all([unsealed.open(), unsealed.open(), unsealed.open()]);
  await unsealed.open();
  equal(listens.callCount(), 1);
  equal(nodePort.port, port);
  // Closed while it is being opened again, it is closed.
  await unsealed.close();
  const opening = unsealed.open();
  await unsealed.close();
  await opening;
  equal(nodePort.isOpen, false);
});

test('a gateway that seals itself closes the node port, refuses nobody, and can be unsealed', {
  timeout: 30_000,
}, async (t) => {
  const here = await setUp(t);
  const node = await connect(here, 'node-1');
  const { nodePort } = here.gateway;
  const closed = once(node.socket, 'close');
  // As a commit does that finds another gateway's, or a record that does not fit what is known.
  await here.gateway.core.barrier.seal();
  await closed;
  deepEqual(node.heard, []);
  const url = `wss://127.0.0.1:${nodePort}/v1/stream`;
  const refused = new WebSocket(url, node.tls as object);
  const [error] = await once(refused, 'error');
  equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
  using nothing = SecretValue.copy(Buffer.alloc(0));
  await here.client.call('system.unseal', {}, { value: nothing });
  const again = await connect(here, 'node-2');
  again.socket.terminate();
});
