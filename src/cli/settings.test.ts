/**
 * Goal: it is always clear which gateway is meant and which token goes there, and no token ever goes
 * to another gateway than the one it was given for.
 * Method: two gateways that note the tokens they see, and every way to name one.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { pinOf } from '../client/connection.ts';
import { operationExamples } from '../protocol/examples.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { type HttpGateway, startHttpGateway } from '../testing/http-gateway.ts';

const tokens = { a: 'coffer_token-of-gateway-a-0001', b: 'coffer_token-of-gateway-b-0002' };

interface Noted extends AsyncDisposable {
  readonly server: string;
  readonly seen: (string | undefined)[];
  readonly gateway: HttpGateway;
}

async function startNoting(own: string): Promise<Noted> {
  const seen: (string | undefined)[] = [];
  const gateway = await startHttpGateway(
    async () => ({ output: { items: operationExamples['secret.list'].output.items } }),
    {
      authenticate: async (bearer, source) => {
        seen.push(bearer);
        if (bearer !== own) throw new Fault('auth.failed');
        return { kind: 'user', id: 'prn_test', name: 'ada', method: 'token', source };
      },
    },
  );
  return {
    server: `https://127.0.0.1:${gateway.server.port}`,
    seen,
    gateway,
    [Symbol.asyncDispose]: async () => await gateway[Symbol.asyncDispose](),
  };
}

async function twoContexts(world: CliWorld, a: Noted, b: Noted): Promise<void> {
  for (const [name, noted] of [
    ['a', a],
    ['b', b],
  ] as const) {
    const [ca, token] = [world.path(`${name}.pem`), world.path(`${name}.token`)];
    writeFileSync(ca, noted.gateway.certificate.authorityPem);
    writeFileSync(token, tokens[name], { mode: 0o600 });
    const argv = ['context', 'add', name, '--server', noted.server, '--ca', ca, '--no-check'];
    const { code, stderr } = await world.run([...argv, '--token-file', token]);
    equal(code, 0, stderr);
  }
}

test('two gateways at once: each gets its own token, however it is chosen', async () => {
  await using a = await startNoting(tokens.a);
  await using b = await startNoting(tokens.b);
  using world = new CliWorld();
  await twoContexts(world, a, b);
  equal((await world.run(['secret', 'list'])).code, 0, 'the first is current');
  equal((await world.run(['secret', 'list', '--context', 'b'])).code, 0);
  equal((await world.run(['secret', 'list'], { env: { COFFER_CONTEXT: 'b' } })).code, 0);
  writeFileSync(world.path('.coffer.yaml'), 'context: b\n');
  equal((await world.run(['secret', 'list'])).code, 0, 'the project chooses b');
  equal((await world.run(['secret', 'list', '--context', 'a'])).code, 0, 'a flag is stronger');
  equal(a.seen.length, 2);
  equal(b.seen.length, 3);
  ok(a.seen.every((token) => token === tokens.a));
  ok(b.seen.every((token) => token === tokens.b));
});

test('a context keeps its token from every other server', async () => {
  await using a = await startNoting(tokens.a);
  await using b = await startNoting(tokens.b);
  using world = new CliWorld();
  await twoContexts(world, a, b);
  const ca = world.path('b.pem');
  const flagged = await world.run(['secret', 'list', '--server', b.server, '--ca', ca]);
  equal(flagged.code, 5);
  const env = { COFFER_ADDR: b.server, COFFER_CACERT: ca };
  equal((await world.run(['secret', 'list'], { env })).code, 5);
  equal((await world.run(['secret', 'list'], { env: { ...env, COFFER_TOKEN: tokens.b } })).code, 0);
  // The environment is one connection: a context that is named outright overrules all of it.
  const all = { ...env, COFFER_TOKEN: tokens.b };
  equal((await world.run(['secret', 'list', '--context', 'a'], { env: all })).code, 0);
  ok(b.seen.every((token) => token !== tokens.a));
  ok(a.seen.every((token) => token === tokens.a));
});

test('what is no token is refused with its place, not shown, and not sent', async () => {
  await using a = await startNoting(tokens.a);
  using world = new CliWorld();
  const env = { COFFER_ADDR: a.server, COFFER_PIN: pinOf(a.gateway.certificate.leaf) };
  const path = world.path('token');
  const list = async (given: Readonly<Record<string, string>>) =>
    await world.run(['secret', 'list'], { env: { ...env, ...given } });
  for (const text of [
    `${tokens.a}\n${tokens.b}`,
    `${tokens.a} x`,
    'pässwörd-pässwörd-pässwörd',
    'short',
    '\u0000'.repeat(40),
  ]) {
    writeFileSync(path, text, { mode: 0o600 });
    for (const [given, place] of [
      [{ COFFER_TOKEN: text }, 'COFFER_TOKEN holds no token'],
      [{ COFFER_TOKEN_FILE: path }, `there is no token in ${path}`],
    ] as const) {
      const { code, stderr } = await list(given);
      equal(code, 2);
      ok(stderr.includes(place), stderr);
      ok(!stderr.includes(text.slice(-10)), 'it is not shown');
    }
  }
  deepEqual(a.seen, []);
  writeFileSync(path, ` ${tokens.a}\n`);
  equal((await list({ COFFER_TOKEN_FILE: path })).code, 0, 'control');
});

test('a token file that is named and not there is said; what a context may have is not missed', async () => {
  await using a = await startNoting(tokens.a);
  using world = new CliWorld();
  const pin = pinOf(a.gateway.certificate.leaf);
  const add = ['context', 'add', 'a', '--server', a.server, '--pin', pin, '--no-token'];
  equal((await world.run([...add, '--no-check'])).code, 0);
  const path = world.path('nowhere');
  const flag = await world.run(['secret', 'list', '--token-file', path]);
  const variable = await world.run(['secret', 'list'], { env: { COFFER_TOKEN_FILE: path } });
  for (const { code, stderr } of [flag, variable]) {
    equal(code, 1);
    match(stderr, /nowhere[^]*ENOENT[^]*\[cli\.file\]/);
  }
  equal((await world.run(['secret', 'list'])).code, 5, 'control: no token was kept');
  const config = join(world.home, '.config/coffer/config.yaml');
  const kept = readFileSync(config, 'utf8').replace(
    '    server:',
    `    tokenFile: ${path}\n    server:`,
  );
  writeFileSync(config, kept);
  equal((await world.run(['secret', 'list'])).code, 1, 'the context names one');
});

test('COFFER_PIN is enough to know the gateway by, and is the gateway that is meant or none', async () => {
  await using a = await startNoting(tokens.a);
  using world = new CliWorld();
  const pin = pinOf(a.gateway.certificate.leaf);
  const other = `sha256:${'0'.repeat(64)}`;
  const env = { COFFER_ADDR: a.server, COFFER_TOKEN: tokens.a };
  const list = async (given: string) =>
    await world.run(['secret', 'list'], { env: { ...env, COFFER_PIN: given } });
  equal((await list(pin)).code, 0);
  equal((await list(`${other}, ${pin}`)).code, 0);
  const before = a.seen.length;
  match((await list(other)).stderr, /\[gateway\.untrusted\]\n/);
  match((await list('sha256:abc')).stderr, /pin must be sha256:/);
  match((await list('')).stderr, /\[gateway\.untrusted\]\n[^]*COFFER_PIN/, 'nothing is given');
  equal(a.seen.length, before, 'no token was sent');
});

test('a project file counts in the directories below it, up to the top of the working tree', async () => {
  await using a = await startNoting(tokens.a);
  await using b = await startNoting(tokens.b);
  using world = new CliWorld();
  await twoContexts(world, a, b);
  mkdirSync(world.path('tree/src/deep'), { recursive: true });
  writeFileSync(world.path('tree/.coffer.yaml'), 'context: b\n');
  const chosen = async (directory: string): Promise<string> => {
    const run = await world.run(['config', 'explain'], { cwd: world.path(directory) });
    return /^context +(\S+)/m.exec(run.stdout)?.[1] ?? '';
  };
  equal(await chosen('tree'), 'b');
  equal(await chosen('tree/src/deep'), 'a', 'control: what is above belongs to somebody else');
  mkdirSync(world.path('tree/.git'));
  equal(await chosen('tree/src/deep'), 'b');
  mkdirSync(world.path('tree/src/.git'));
  equal(await chosen('tree/src/deep'), 'a', 'a working tree of its own');
});

test('a project file can choose a context and nothing that a token could follow', async () => {
  using world = new CliWorld();
  for (const line of ['server: https://evil.example:443', 'token: x', 'ca: evil.pem']) {
    writeFileSync(world.path('.coffer.yaml'), `${line}\n`);
    const { code, stderr } = await world.run(['secret', 'list']);
    equal(code, 2);
    match(stderr, /is not a known field/);
  }
});

test('tokens are files of their own that others cannot read; one that others can read is refused', async () => {
  await using a = await startNoting(tokens.a);
  await using b = await startNoting(tokens.b);
  using world = new CliWorld();
  await twoContexts(world, a, b);
  const config = join(world.home, '.config/coffer/config.yaml');
  const token = join(world.home, '.local/state/coffer/tokens/a');
  equal(statSync(config).mode & 0o777, 0o600);
  equal(statSync(token).mode & 0o777, 0o600);
  ok(!readFileSync(config, 'utf8').includes(tokens.a));
  chmodSync(token, 0o644);
  const { code, stderr } = await world.run(['secret', 'list']);
  equal(code, 1);
  match(stderr, /cli\.file-unsafe/);
  chmodSync(token, 0o600);
  equal((await world.run(['context', 'rename', 'a', 'c'])).code, 0);
  equal((await world.run(['secret', 'list'])).code, 0, 'the token moved along');
  const asked = await world.run(['context', 'remove', 'c']);
  equal(asked.code, 2, 'nobody was asked, and the only copy of a token is not lost by that');
  match(asked.stderr, /its token: [^\n]*tokens\/c\n[^]*--yes is required/);
  equal((await world.run(['secret', 'list'])).code, 0, 'control: it is still there');
  equal((await world.run(['context', 'remove', 'c', '--yes'])).code, 0);
  equal(existsSync(join(world.home, '.local/state/coffer/tokens/c')), false);
  ok(!readFileSync(config, 'utf8').includes('name: c'));
});

test('a replaced context changes its token alone, and keeps no token for another server', async () => {
  await using a = await startNoting(tokens.a);
  await using b = await startNoting(tokens.b);
  using world = new CliWorld();
  await twoContexts(world, a, b);
  const token = world.path('new-token');
  writeFileSync(token, tokens.b, { mode: 0o600 });
  const replace = ['context', 'add', 'a', '--replace', '--no-check'];
  equal((await world.run([...replace, '--token-file', token])).code, 0);
  equal((await world.run(['secret', 'list'])).code, 5, 'the same gateway, by another token');
  equal(a.seen.at(-1), tokens.b);
  const moved = ['--server', b.server, '--ca', world.path('b.pem'), '--no-token'];
  equal((await world.run([...replace, ...moved])).code, 0);
  equal((await world.run(['secret', 'list'])).code, 5);
  deepEqual(b.seen, [undefined], 'what another gateway gave is not shown to this one');
});

test('XDG directories are used, and a home that cannot be written stops nobody', async () => {
  await using a = await startNoting(tokens.a);
  using world = new CliWorld();
  const ca = world.path('a.pem');
  writeFileSync(ca, a.gateway.certificate.authorityPem);
  const env = { HOME: '/proc/1/nowhere', COFFER_ADDR: a.server, COFFER_CACERT: ca };
  equal((await world.run(['secret', 'list'], { env: { ...env, COFFER_TOKEN: tokens.a } })).code, 0);
  const moved = { XDG_CONFIG_HOME: world.path('config'), XDG_STATE_HOME: world.path('state') };
  const token = world.path('token');
  writeFileSync(token, tokens.a, { mode: 0o600 });
  const add = [
    'context',
    'add',
    'a',
    '--server',
    a.server,
    '--ca',
    ca,
    '--token-file',
    token,
    '--no-check',
  ];
  equal((await world.run(add, { env: moved })).code, 0);
  equal(statSync(world.path('state/coffer/tokens/a')).mode & 0o777, 0o600);
  equal((await world.run(['secret', 'list'], { env: moved })).code, 0);
});

test('config explain says where each value comes from', async () => {
  using world = new CliWorld();
  const env = { COFFER_ADDR: 'https://gateway.example:8443', COFFER_OUTPUT: 'json', CI: 'true' };
  const { stdout } = await world.run(['config', 'explain'], { env });
  const { items } = JSON.parse(stdout) as { items: { setting: string; from: string }[] };
  const from = Object.fromEntries(items.map((item) => [item.setting, item.from]));
  equal(from['server'], 'COFFER_ADDR');
  equal(from['output'], 'COFFER_OUTPUT');
  equal(from['interactive'], 'CI');
});
