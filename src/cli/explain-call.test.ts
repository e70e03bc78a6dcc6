/**
 * Goal: the line that `--curl` prints makes the call that the command would, and trusts nobody whom the
 * command does not trust; what `--policy` prints is enough, and all of it is needed.
 * Method: the printed line is run by a shell with the real curl. A token that may do what was printed carries
 * out the command. Controls: another gateway gets no token from either; with one path less it is denied.
 */
import { deepEqual, doesNotMatch, equal, match, notEqual, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Client } from '../client/client.ts';
import { pinOf } from '../client/connection.ts';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { SecretValue } from '../model/secret-value.ts';
import { parseName, parsePathPattern, parseSecretName } from '../model/name.ts';
import { operationExamples } from '../protocol/examples.ts';
import { startCliGateway } from '../testing/cli-gateway.ts';
import { CliWorld } from '../testing/cli-world.ts';
import {
  goodToken,
  type HttpGateway,
  makeTestCertificate,
  startHttpGateway,
} from '../testing/http-gateway.ts';

const skip =
  spawnSync('curl', ['--version']).status === 0 ? false : 'needs curl: apt-get install curl';

/** Runs a line as a person would who pasted it. */
async function shell(line: string, input = ''): Promise<{ code: number; stdout: string }> {
  const env = { PATH: process.env['PATH'], COFFER_TOKEN: goodToken };
  const child = spawn('sh', ['-c', line], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout };
}

/** Every way to say whom to trust, as flags of a command. */
type Trusts = (gateway: HttpGateway, world: CliWorld) => readonly string[];

function authorityAt(gateway: HttpGateway, world: CliWorld): string {
  const path = world.path('the authority.pem');
  writeFileSync(path, gateway.certificate.authorityPem);
  return path;
}

const trusts: Readonly<Record<string, Trusts>> = {
  'a file of authorities': (gateway, world) => ['--ca', authorityAt(gateway, world)],
  'the pin of the authority': ({ certificate }) => [
    '--pin',
    pinOf(certificate.authority.certificate),
  ],
  'the pin of the gateway itself': ({ certificate }) => ['--pin', pinOf(certificate.leaf)],
};

async function startNoting(
  names: Parameters<typeof makeTestCertificate>[0] = {},
): Promise<{ readonly gateway: HttpGateway; readonly asked: string[] } & AsyncDisposable> {
  const asked: string[] = [];
  const certificate = makeTestCertificate(names);
  const gateway = await startHttpGateway(
    async ({ operation, value }) => {
      asked.push(operation);
      value?.use((bytes) => asked.push(bytes.toString('utf8')));
      return { output: operationExamples[operation].output, revision: 42 };
    },
    { certificate: certificate.chain, key: certificate.key },
  );
  return {
    gateway: { ...gateway, certificate },
    asked,
    [Symbol.asyncDispose]: async () => await gateway[Symbol.asyncDispose](),
  };
}

for (const [how, trustOf] of Object.entries(trusts)) {
  test(`what --curl prints with ${how} works, from flags and from a context`, {
    skip,
  }, async () => {
    await using noting = await startNoting();
    await using other = await startNoting();
    using world = new CliWorld();
    const server = `https://127.0.0.1:${noting.gateway.server.port}`;
    const trust = ['--server', server, ...trustOf(noting.gateway, world)];
    const add = ['context', 'add', 'lab', ...trust, '--no-token', '--no-check'];
    equal((await world.run(add)).code, 0);
    const put = ['secret', 'put', 'payments/db', '--stage', 'pending'];
    for (const flags of [trust, ['--context', 'lab']]) {
      const { code, stdout: line, stderr } = await world.run([...put, ...flags, '--curl']);
      equal(code, 0, stderr);
      doesNotMatch(line, /insecure|-k /);
      deepEqual(noting.asked.splice(0), [], 'nothing was asked yet');
      const made = await shell(line, 'horse');
      equal(made.code, 0, line);
      equal((JSON.parse(made.stdout) as { name: string }).name, 'payments/db-password');
      deepEqual(noting.asked.splice(0), ['secret.put', 'horse']);
      const strange = line.replaceAll(
        String(noting.gateway.server.port),
        String(other.gateway.server.port),
      );
      notEqual((await shell(strange, 'horse')).code, 0, 'control: another gateway');
    }
    deepEqual(other.asked, []);
  });
}

test('a gateway that is pinned itself is found under a name that is not in its certificate', {
  skip,
}, async () => {
  await using noting = await startNoting({ dnsNames: ['gateway.example'], ipAddresses: [] });
  using world = new CliWorld();
  const server = `https://127.0.0.1:${noting.gateway.server.port}`;
  const pin = pinOf(noting.gateway.certificate.leaf);
  const list = ['secret', 'get', 'a', '--server', server, '--pin', pin, '--curl'];
  const { stdout: line } = await world.run(list);
  match(line, /--connect-to gateway\.example:\d+:127\.0\.0\.1:\d+ .*https:\/\/gateway\.example:/);
  equal((await shell(line)).code, 0, line);
  const direct = line.replace('//gateway.example:', '//127.0.0.1:');
  notEqual((await shell(direct)).code, 0, 'control: by the address curl refuses it');
});

test('a gateway without the pinned key: --curl prints nothing', async () => {
  await using noting = await startNoting();
  using world = new CliWorld();
  const server = `https://127.0.0.1:${noting.gateway.server.port}`;
  const pin = `sha256:${'0'.repeat(64)}`;
  const { code, stdout } = await world.run(['status', '--server', server, '--pin', pin, '--curl']);
  deepEqual([code, stdout], [7, '']);
});

test('apply --curl is the application; the rehearsal only with --dry-run', async () => {
  await using noting = await startNoting();
  using world = new CliWorld().reach(noting.gateway);
  const stdin = 'kind: Group\nname: web\nmatch: { node: node-1 }\n';
  const apply = ['apply', '-f', '-', '--curl'];
  const real = await world.run(apply, { stdin });
  match(real.stdout, /policy:apply\n$/);
  match(real.stdout, /"name":"web"/);
  const rehearsal = await world.run([...apply, '--dry-run=server'], { stdin });
  match(rehearsal.stdout, /policy:apply\?dryRun=server'\n$/);
  deepEqual(noting.asked, []);
});

test('a command that asks no gateway has no call to print, and does nothing', async () => {
  using world = new CliWorld();
  const add = ['context', 'add', 'lab', '--server', 'https://127.0.0.1:1', '--no-token'];
  const { code, stderr } = await world.run([...add, '--no-check', '--curl']);
  equal(code, 2);
  match(stderr, /makes no HTTP call/);
  equal((await world.run(['context', 'list', '-o', 'name'])).stdout, '', 'it was not added');
});

test('what --policy prints is enough for the command, and each path of it is needed', async () => {
  await using real = await startCliGateway();
  const options = { address: real.server, trust: { pins: [real.pin] } };
  const owner = new Client({
    ...options,
    ...{ token: real.ownerToken, clock: systemClock, random: systemRandom },
  });
  using value = SecretValue.copy(Buffer.from('horse'));
  for (const name of ['payments/db', 'payments/key']) {
    await owner.call('secret.put', { name: parseSecretName(name) }, { value });
  }
  const node = parseName('node-1');
  await owner.call('group.put', { name: parseName('web'), match: { node } }, { ifRevision: 0 });
  using world = new CliWorld();
  const document = 'kind: Grant\ngroup: web\nsecrets: [{ secret: payments/db }]\n';
  writeFileSync(world.path('policy.yaml'), document);
  Object.assign(world.env, { COFFER_ADDR: real.server });
  let made = 0;
  const tokenFor = async (paths: readonly string[]): Promise<string> => {
    const name = parseName(`token-${(made += 1)}`);
    const { output } = await owner.call('token.create', {
      ...{ name, role: 'owner', paths: paths.map(parsePathPattern) },
    });
    return output.token;
  };
  for (const argv of [
    ['grant', 'put', 'web', '--secret', 'payments/db', '--secret', 'payments/key'],
    ['apply', '-f', world.path('policy.yaml'), '--yes'],
    ['audit', 'verify'],
    ['secret', 'delete', 'payments/key', '--yes'],
  ]) {
    const line = [...argv, '--pin', real.pin];
    const { stdout } = await world.run([...line, '--policy']);
    const printed = stdout.trim().split('\n');
    const paths = [...new Set(printed.map((row) => row.split(' ')[1] ?? ''))];
    ok(paths.length > 0);
    // Every path less one; the dry run, so that none of it is done already.
    const rehearse = argv[0] === 'audit' ? line : [...line, '--dry-run=server'];
    for (const path of paths) {
      const others = paths.filter((one) => one !== path);
      const COFFER_TOKEN = await tokenFor(others.length > 0 ? others : ['secrets/none/of/it']);
      const { code } = await world.run(rehearse, { env: { COFFER_TOKEN } });
      equal(code, 4, `control: ${argv.join(' ')} without ${path}`);
    }
    const { code, stderr } = await world.run(line, {
      env: { COFFER_TOKEN: await tokenFor(paths) },
    });
    equal(code, 0, stderr);
  }
  await owner.close();
});
