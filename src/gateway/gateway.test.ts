/**
 * Goal: the API's certificate is renewed while the gateway runs, under the key and the pin that people
 * have, or taken up if it is their own; a restored store without one comes up, and then has one; what a start
 * leaves when it fails.
 */
import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { connect } from 'node:tls';
import { type Clock, systemClock } from '../base/clock.ts';
import { createLog } from '../base/log.ts';
import { machineWeakenings } from '../base/machine-weakenings.ts';
import { systemRandom } from '../base/random.ts';
import { Client } from '../client/client.ts';
import { keyPin } from '../crypto/certificate-identity.ts';
import { SecretValue } from '../model/secret-value.ts';
import { makeTestCertificate } from '../testing/http-gateway.ts';
import { until } from '../testing/until.ts';
import { ApiCertificateKeeper } from './api-certificate.ts';
import { gatewayConfig } from './config.ts';
import { isInMemory } from './data-directory.ts';
import { startGateway } from './gateway.ts';
import { initialise } from './init.ts';

/** Real time, from another day. */
class ShiftedClock implements Clock {
  byMs = 0;
  wallMs = (): number => systemClock.wallMs() + this.byMs;
  bootMs = systemClock.bootMs;
  monotonicMs = systemClock.monotonicMs;
  setTimer = systemClock.setTimer;
  sleep = systemClock.sleep;
  nextTurn = systemClock.nextTurn;
}

async function setUp(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-gateway-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const config = gatewayConfig({
    data: join(directory, 'data'),
    listen: '127.0.0.1:0',
    'node-listen': '127.0.0.1:0',
    'key-file': join(directory, 'key'),
  });
  const clock = new ShiftedClock();
  const events: string[] = [];
  const log = createLog({ clock, level: 'info', write: (line) => events.push(line) });
  const context = { clock, random: systemRandom, log };
  const made = await initialise(config, { kind: 'keyfile' }, context);
  return { config, clock, context, events, made };
}

/** What the API shows, leaf and root. */
async function shownAt(port: number): Promise<{ leaf: X509Certificate; root: X509Certificate }> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const chain = socket.getPeerCertificate(true);
  socket.destroy();
  return {
    leaf: new X509Certificate(chain.raw),
    root: new X509Certificate(chain.issuerCertificate.raw),
  };
}

test('the API’s certificate is renewed while it runs; key and pin stay', async (t) => {
  const { config, clock, context, events, made } = await setUp(t);
  await using gateway = await startGateway(config, context);
  const before = await shownAt(gateway.apiPort);
  equal(gateway.pin, made.pin);
  clock.byMs = 61 * 24 * 3_600_000;
  await until('the certificate is renewed', () =>
    events.some((line) => line.includes('gateway.api-certificate-renewed')),
  );
  const after = await shownAt(gateway.apiPort);
  notEqual(after.leaf.serialNumber, before.leaf.serialNumber);
  ok(after.leaf.validToDate > before.leaf.validToDate);
  ok(after.leaf.publicKey.equals(before.leaf.publicKey), 'the same key');
  ok(after.root.publicKey.equals(before.root.publicKey), 'the same pin');
  equal(gateway.pin, made.pin);
  const stored = readFileSync(join(config.dataDirectory, 'api.crt'), 'utf8');
  equal(new X509Certificate(stored).serialNumber, after.leaf.serialNumber);
});

test('a certificate that was made while the clock was ahead is made anew once it is right', async (t) => {
  const { config, clock, context, events } = await setUp(t);
  const hourMs = 3_600_000;
  clock.byMs = 61 * 24 * hourMs;
  await using gateway = await startGateway(config, context);
  while (!events.some((line) => line.includes('gateway.api-certificate-renewed'))) {
    await systemClock.sleep(50);
  }
  const ahead = await shownAt(gateway.apiPort);
  ok(ahead.leaf.validFromDate.getTime() > systemClock.wallMs() + 60 * 24 * hourMs);
  equal(events.filter((line) => line.includes('"gateway.certificate-renewed"')).length, 0);
  clock.byMs = 0;
  while (!events.some((line) => line.includes('"gateway.certificate-renewed"'))) {
    await systemClock.sleep(50);
  }
  while ((await shownAt(gateway.apiPort)).leaf.validFromDate.getTime() > systemClock.wallMs()) {
    await systemClock.sleep(50);
  }
});

test('a store that was restored without its certificate makes one under the same pin', async (t) => {
  const { config, context, made } = await setUp(t);
  for (const name of ['api.crt', 'api.key', 'ca.crt']) rmSync(join(config.dataDirectory, name));
  await using gateway = await startGateway(config, context);
  equal(gateway.pin, made.pin);
  equal(statSync(join(config.dataDirectory, 'api.key')).mode & 0o777, 0o600);
  const shown = await shownAt(gateway.apiPort);
  ok(shown.leaf.verify(shown.root.publicKey));
});

test('a second gateway on the same store, and a port in use, are refused and leave nothing', async (t) => {
  const { config, context } = await setUp(t);
  {
    await using _gateway = await startGateway(config, context);
    await rejects(startGateway(config, context), { code: 'storage.locked' });
  }
  const squatter = createServer().listen(0, '127.0.0.1');
  t.after(() => squatter.close());
  await once(squatter, 'listening');
  const address = squatter.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const taken = { ...config, nodeListen: { host: '127.0.0.1', port } };
  await rejects(startGateway(taken, context), { code: 'gateway.address-in-use' });
  const takenApi = { ...config, listen: { host: '127.0.0.1', port } };
  await rejects(startGateway(takenApi, context), { code: 'gateway.address-in-use' });
  // Nothing of the failed starts holds the store or a port.
  await using _again = await startGateway(config, context);
});

test('a start removes what a crash left of a backup', async (t) => {
  const { config, context } = await setUp(t);
  const left = join(config.dataDirectory, 'backup-0123456789abcdef.db');
  writeFileSync(left, '');
  await using _gateway = await startGateway(config, context);
  equal(existsSync(left), false);
});

test('a data directory that cannot be made is a fault that names it', async (t) => {
  const { config, context } = await setUp(t);
  const path = join(config.dataDirectory, 'store.db', 'below');
  const elsewhere = { ...config, dataDirectory: path };
  await rejects(initialise(elsewhere, { kind: 'keyfile' }, context), { code: 'storage.missing' });
});

async function weakeningsAt(port: number, token: string): Promise<readonly string[]> {
  const options = { port, path: '/v1/status', rejectUnauthorized: false };
  const asked = get({ ...options, headers: { authorization: `Bearer ${token}` } });
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const { weakenings } = (await json(response)) as { readonly weakenings: readonly string[] };
  return weakenings;
}

test('status lists what the gateway knows to be weak: of its seal, its storage, the machine', async (t) => {
  const { config, context, made } = await setUp(t);
  await using gateway = await startGateway(config, context);
  const found = await weakeningsAt(gateway.apiPort, made.ownerToken);
  ok(found.includes('key-file-same-device'), 'beside the data directory');
  deepEqual(
    found.filter((code) => ['swap-on', 'core-dumps-on', 'inspector-on'].includes(code)),
    machineWeakenings(),
  );
  equal(found.includes('storage-in-memory'), await isInMemory(config));
  equal(await isInMemory({ dataDirectory: '/dev/shm' }), true, 'control: a tmpfs');
  equal(await isInMemory({ dataDirectory: '/proc' }), false, 'control: none');
  deepEqual(
    found.filter((code) => code.startsWith('api-certificate')),
    [],
  );
});

test('an API certificate that is temporary, signed by itself or over is a weakening', async (t) => {
  const { config, clock, context } = await setUp(t);
  deepEqual(new ApiCertificateKeeper(config, context).weakenings(), [], 'control');
  const restored = { ...config, dataDirectory: join(config.dataDirectory, 'none') };
  const temporary = new ApiCertificateKeeper(restored, context);
  deepEqual(temporary.weakenings(), ['api-certificate-temporary']);
  // An authority stands for a certificate that somebody made and signed by itself.
  const { authority, authorityPem } = makeTestCertificate();
  const tls = {
    certificateFile: join(config.dataDirectory, 'own.crt'),
    keyFile: join(config.dataDirectory, 'own.key'),
  };
  writeFileSync(tls.certificateFile, authorityPem);
  writeFileSync(tls.keyFile, authority.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const own = new ApiCertificateKeeper({ ...config, tls }, context);
  deepEqual(own.weakenings(), ['api-certificate-self-signed']);
  clock.byMs = 20 * 365 * 24 * 3_600_000;
  deepEqual(own.weakenings(), ['api-certificate-self-signed', 'api-certificate-expired']);
});

test('a certificate of one’s own is taken up when its files change, and kept while they are no good', async (t) => {
  const { config, clock, context, events } = await setUp(t);
  const [first, second, old] = [
    makeTestCertificate(),
    makeTestCertificate(),
    makeTestCertificate(),
  ];
  const certificateFile = join(config.dataDirectory, 'own.crt');
  const keyFile = join(config.dataDirectory, 'own.key');
  writeFileSync(certificateFile, first.chain);
  writeFileSync(keyFile, first.key);
  const tls = { certificateFile, keyFile };
  await using gateway = await startGateway({ ...config, tls }, context);
  const shown = async (): Promise<string> => (await shownAt(gateway.apiPort)).leaf.serialNumber;
  const keptFor = (problem: string): Promise<number> =>
    until(problem, () =>
      events.some(
        (line) => line.includes('gateway.api-certificate-kept') && line.includes(problem),
      ),
    );
  equal(await shown(), first.leaf.serialNumber);
  // One after the other, as most do it.
  writeFileSync(certificateFile, second.chain);
  await keptFor('they do not match');
  equal(await shown(), first.leaf.serialNumber);
  writeFileSync(keyFile, second.key);
  await until('it is taken up', async () => (await shown()) === second.leaf.serialNumber);
  equal(gateway.pin, keyPin(second.leaf));
  writeFileSync(certificateFile, 'no certificate');
  await keptFor('no certificate and key');
  rmSync(keyFile);
  await keptFor('ENOENT');
  clock.byMs = 2 * 3_600_000;
  writeFileSync(keyFile, old.key);
  writeFileSync(certificateFile, old.chain);
  await keptFor('has expired');
  equal(await shown(), second.leaf.serialNumber);
  const kept = events.filter((line) => line.includes('gateway.api-certificate-kept')).length;
  ok(kept <= 6, 'once for each change');
});

test('a gateway that is started for another trust domain than its store is says so, and stays sealed', async (t) => {
  const { config, context } = await setUp(t);
  const other = { ...config, trustDomain: 'other.example' };
  const detail = { given: 'other.example', stored: 'cofferdam' };
  await rejects(startGateway(other, context), { code: 'gateway.trust-domain', detail });
  {
    await using gateway = await startGateway(config, context);
    equal(gateway.core.barrier.state, 'ready', 'control');
  }
  const byHand = gatewayConfig({ data: `${config.dataDirectory}-2`, listen: '127.0.0.1:0' });
  t.after(() => rmSync(byHand.dataDirectory, { recursive: true, force: true }));
  const passphrase = 'a passphrase of some length';
  const seal = { kind: 'passphrase', passphrase: Buffer.from(passphrase) } as const;
  const { pin } = await initialise(byHand, seal, context);
  await using gateway = await startGateway({ ...byHand, trustDomain: 'other.example' }, context);
  await using client = closing(
    new Client({
      address: `https://127.0.0.1:${gateway.apiPort}`,
      trust: { pins: [pin] },
      ...context,
    }),
  );
  using value = SecretValue.copy(Buffer.from(passphrase));
  await rejects(client.call('system.unseal', {}, { value }), { code: 'gateway.trust-domain' });
  equal(gateway.core.barrier.state, 'sealed');
});

test('init tells clients to pin a certificate of one’s own, and makes nothing if it is no good', async (t) => {
  const { config, context } = await setUp(t);
  const own = makeTestCertificate();
  const files = ['own.crt', 'own.key'].map((name) => join(config.dataDirectory, name));
  const [certificateFile = '', keyFile = ''] = files;
  writeFileSync(certificateFile, own.chain);
  const dataDirectory = join(config.dataDirectory, 'second');
  const tls = { certificateFile, keyFile };
  const second = { ...config, dataDirectory, keyFile: join(config.dataDirectory, 'key'), tls };
  const init = () => initialise(second, { kind: 'keyfile' }, context);
  await rejects(init(), { code: 'gateway.certificate-unreadable' });
  equal(existsSync(dataDirectory), false);
  writeFileSync(keyFile, own.key);
  const made = await init();
  deepEqual([made.pin, made.authorityFile], [keyPin(own.leaf), undefined]);
  await using gateway = await startGateway(second, context);
  const trust = { pins: [made.pin] };
  const address = `https://127.0.0.1:${gateway.apiPort}`;
  await using client = closing(new Client({ address, trust, token: made.ownerToken, ...context }));
  equal((await client.call('system.status', {})).output.state, 'ready', 'it is what clients need');
});

function closing(client: Client): Client & AsyncDisposable {
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}
