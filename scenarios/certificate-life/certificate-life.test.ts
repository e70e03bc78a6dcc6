/**
 * The life of a node's certificate, in seconds instead of a day: a real gateway and a real enforcer, with
 * a network between them that can be cut.
 *
 * 1. The enforcer renews by itself, in time, with the same key, on the stream it has.
 * 2. When the first certificate has ended it is refused, and the enforcer comes back with its new one.
 *    Control: before its end the first one was let in.
 * 3. A node that is cut off past its certificate's end is refused, and says what to do.
 * 4. What it says helps: with a new token it is back.
 */
import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock as clock } from '../../src/base/clock.ts';
import { createLog, silentLog } from '../../src/base/log.ts';
import { systemRandom as random } from '../../src/base/random.ts';
import { Client } from '../../src/client/client.ts';
import { keyPin } from '../../src/crypto/certificate-identity.ts';
import { runEnforcer } from '../../src/enforcer/enforcer.ts';
import { connect, type Credentials, loadCredentials } from '../../src/enforcer/uplink/uplink.ts';
import { gatewayConfig } from '../../src/gateway/config.ts';
import { startGateway } from '../../src/gateway/gateway.ts';
import { initialise } from '../../src/gateway/init.ts';
import { parseName } from '../../src/model/name.ts';
import { NetworkPath } from '../../src/testing/network-path.ts';
import { until } from '../../src/testing/until.ts';

const lifeMs = 6000;
const withinMs = 20_000;
const node = parseName('node-1');

type Line = Readonly<Record<string, unknown>> & { readonly event: string };

class Enforcer implements AsyncDisposable {
  readonly lines: Line[] = [];
  readonly #stateDirectory: string;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(directory: string, joinToken?: string) {
    this.#stateDirectory = join(directory, 'node');
    const config = {
      stateDirectory: this.#stateDirectory,
      runDirectory: join(directory, 'run'),
      runtime: { kind: 'process', directory: join(directory, 'processes') },
      logLevel: 'info',
      watchdog: false,
      ...(joinToken === undefined ? {} : { joinToken: () => joinToken }),
    } as const;
    const write = (line: string): void => void this.lines.push(JSON.parse(line) as Line);
    const log = createLog({ clock, level: 'info', write });
    const { signal } = this.#stop;
    this.#ended = runEnforcer(config, { clock, random, log, version: 'test', signal });
  }

  get credentials(): Credentials {
    const found = loadCredentials(this.#stateDirectory);
    ok(found, 'it has joined');
    return found;
  }

  count(event: string): number {
    return this.lines.filter((line) => line.event === event).length;
  }

  async says(event: string, times = 1): Promise<void> {
    await until(`it says ${event}`, () => this.count(event) >= times, { withinMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

async function setUp(t: TestContext, stack: AsyncDisposableStack) {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-certificate-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = stack.use(await NetworkPath.open());
  const [, nodeListen = '', , nodeAdvertise = ''] = path.gatewayArguments;
  const config = gatewayConfig({
    data: join(directory, 'data'),
    'key-file': join(directory, 'key'),
    listen: '127.0.0.1:0',
    'node-listen': nodeListen,
    'node-advertise': nodeAdvertise,
    'lease-seconds': '10',
  });
  const context = { clock, random, log: silentLog };
  const { ownerToken } = await initialise(config, { kind: 'keyfile' }, context);
  const gateway = stack.use(await startGateway({ ...config, nodeCertificateMs: lifeMs }, context));
  const address = `https://127.0.0.1:${gateway.apiPort}`;
  const trust = { pins: [gateway.pin] };
  const client = new Client({ address, trust, token: ownerToken, clock, random });
  stack.defer(() => client.close());
  const token = async (): Promise<string> =>
    (await client.call('node.token', { name: node })).output.token;
  return { directory, path, token };
}

/** Dials the gateway with these, as the enforcer does, and hangs up. */
async function dial(credentials: Credentials): Promise<void> {
  const link = await connect({ clock, credentials }, AbortSignal.timeout(withinMs));
  link.close('test');
}

async function pastTheEndOf({ certificate }: Credentials): Promise<void> {
  // A second more: certificates end at a whole one, and OpenSSL takes the last one for valid.
  const leftMs = certificate.validToDate.getTime() + 1000 - clock.wallMs();
  await clock.sleep(Math.max(0, leftMs));
}

const skip = process.getuid?.() === 0 ? false : 'needs root: sudo npm run verify';

test('the life of a certificate', { skip, timeout: 120_000 }, async (t) => {
  await using stack = new AsyncDisposableStack();
  const { directory, path, token } = await setUp(t, stack);
  let enforcer = new Enforcer(directory, await token());
  stack.defer(() => enforcer[Symbol.asyncDispose]());
  await enforcer.says('gateway.connected');
  const first = enforcer.credentials;

  await t.test('1. it renews by itself', async () => {
    await enforcer.says('certificate.renewed');
    const { certificate, privateKeyPem } = enforcer.credentials;
    notEqual(certificate.serialNumber, first.certificate.serialNumber);
    ok(certificate.validToDate > first.certificate.validToDate);
    equal(keyPin(certificate), keyPin(first.certificate), 'the same key');
    equal(certificate.subjectAltName, first.certificate.subjectAltName, 'the same name');
    equal(privateKeyPem, first.privateKeyPem);
    equal(enforcer.count('gateway.disconnected'), 0, 'on the stream it had');
  });

  await t.test('2. the first one ends, and is refused', async () => {
    await pastTheEndOf(first);
    await rejects(dial(first), { code: 'certificate.ended' });
    equal(enforcer.count('gateway.disconnected'), 0, 'what is refused disturbs nobody');
    await enforcer.says('certificate.renewed', enforcer.count('certificate.renewed') + 1);
    // Control: one that has not ended is let in, beside which the enforcer's own stream ends.
    await dial(enforcer.credentials);
    await enforcer.says('gateway.connected', 2);
    path.heal();
    await enforcer.says('gateway.connected', 3);
  });

  await t.test('3. cut off past the end, it is refused and says what to do', async () => {
    path.cut();
    await pastTheEndOf(enforcer.credentials);
    enforcer.lines.length = 0;
    path.heal();
    await enforcer.says('gateway.refused');
    const said = enforcer.lines.find(({ event }) => event === 'gateway.refused');
    deepEqual([said?.['code'], said?.['level']], ['certificate.ended', 'error']);
    ok(String(said?.['hint']).includes('coffer node token NAME'));
    await rejects(dial(enforcer.credentials), { code: 'certificate.ended' });
    equal(enforcer.count('gateway.connected'), 0);
  });

  await t.test('4. with a new token it is back', async () => {
    await enforcer[Symbol.asyncDispose]();
    const before = enforcer.credentials;
    enforcer = new Enforcer(directory, await token());
    await enforcer.says('gateway.connected');
    notEqual(keyPin(enforcer.credentials.certificate), keyPin(before.certificate), 'a new key');
  });
});
