/**
 * Goal: the command as it is installed: under whatever Node runs it, exit codes and signals pass
 * through, arguments hold no value, and completion works in a shell.
 * Method: bin/coffer.mjs as a child process, as people start it.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { test } from 'node:test';
import { operationExamples } from '../protocol/examples.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { type HttpGateway, startHttpGateway } from '../testing/http-gateway.ts';

const coffer = join(import.meta.dirname, '../../bin/coffer.mjs');

/** The Node that runs this test, and every other one on the PATH. */
const nodes: readonly string[] = [
  ...new Set([
    realpathSync(process.execPath),
    ...(process.env['PATH'] ?? '').split(delimiter).flatMap((directory) => {
      const path = join(directory, 'node');
      const { status } = spawnSync(path, ['--version']);
      return status === 0 ? [realpathSync(path)] : [];
    }),
  ]),
];

function environment(world: CliWorld, gateway?: HttpGateway): NodeJS.ProcessEnv {
  if (gateway) world.reach(gateway);
  return { ...world.env, PATH: process.env['PATH'] };
}

async function outputOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
  await once(child, 'close');
  return text;
}

const asRoot =
  process.getuid?.() === 0 ? false : 'needs root, to give a directory away: sudo npm test';

test('bin/coffer.mjs keeps compiled code only where nobody else can put any', {
  skip: asRoot,
}, () => {
  using world = new CliWorld();
  const { PATH } = process.env;
  const keepsIn = (home: string): boolean => {
    const { status } = spawnSync(process.execPath, [coffer, 'version'], {
      env: { PATH, HOME: home },
    });
    equal(status, 0);
    return existsSync(join(home, '.cache'));
  };
  for (const name of ['own', 'foreign', 'open']) mkdirSync(world.path(name));
  chownSync(world.path('foreign'), 65534, 65534);
  chmodSync(world.path('open'), 0o777);
  // What sudo may leave in the environment: its user could put another .cache there at any moment.
  equal(keepsIn(world.path('foreign')), false);
  equal(keepsIn(world.path('open')), false);
  mkdirSync(join(world.path('foreign'), 'ours'));
  equal(keepsIn(join(world.path('foreign'), 'ours')), false);
  symlinkSync(join(world.path('foreign'), 'ours'), world.path('link'));
  equal(keepsIn(world.path('link')), false);
  equal(keepsIn(world.path('own')), true, 'control');
});

for (const node of nodes) {
  test(`bin/coffer.mjs passes arguments, input, output and exit codes through under ${node}`, () => {
    using world = new CliWorld();
    const env = environment(world);
    const run = (argv: readonly string[], input = '') =>
      spawnSync(node, [coffer, ...argv], { env, input, cwd: world.path('') });
    equal(run(['version']).status, 0);
    equal(run(['secret', 'get', 'a']).status, 2);
    equal(run(['secret', 'list', '--server', 'https://127.0.0.1:1']).status, 7);
    const policy = 'kind: Group\nname: a\nmatch: { node: n }\n';
    const applied = run(['apply', '-f', '-', '--dry-run=client'], policy);
    match(applied.stderr.toString('utf8'), /1 document well formed/);
    equal(applied.status, 0);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`bin/coffer.mjs passes ${signal} on under ${node}, and says how it ended`, async () => {
      const asked = Promise.withResolvers<void>();
      await using gateway = await startHttpGateway(() => {
        asked.resolve();
        return new Promise(() => undefined);
      });
      using world = new CliWorld();
      const env = environment(world, gateway);
      const child = spawn(node, [coffer, 'secret', 'list'], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      await asked.promise;
      child.kill(signal);
      const [code] = (await once(child, 'exit')) as [number | null];
      equal(code, 130);
    });
  }
}

const old = nodes.find((node) => {
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' });
  return !version.startsWith('v26.');
});

test('without the Node that comes with the package it says how to install it', {
  skip: old === undefined && 'needs another Node than 26 on the PATH: apt-get install nodejs',
}, () => {
  using world = new CliWorld();
  cpSync(dirname(coffer), world.path('package/bin'), { recursive: true });
  const run = spawnSync(old ?? '', [world.path('package/bin/coffer.mjs'), 'version']);
  equal(run.status, 1);
  match(run.stderr.toString('utf8'), /npm ci/);
});

test('no process of a put has the value in its arguments', async () => {
  const canary = 'canary-71b6aa0e4d2f9c53';
  const arguments_: string[] = [];
  await using gateway = await startHttpGateway(async ({ operation }) => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        arguments_.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
      } catch {
        // It has ended.
      }
    }
    return { output: operationExamples[operation].output };
  });
  using world = new CliWorld();
  const argv = [coffer, 'secret', 'put', 'payments/db-password'];
  const child = spawn(nodes.at(-1) ?? process.execPath, argv, {
    env: environment(world, gateway),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin?.end(canary);
  match(await outputOf(child), /has a new value/);
  ok(
    arguments_.some((line) => line.includes('payments/db-password')),
    'the process was seen',
  );
  ok(arguments_.every((line) => !line.includes(canary)));
});

test('bash completes nouns, verbs, flags, names of the gateway, and files', async () => {
  await using gateway = await startHttpGateway(async ({ operation }) => ({
    output: { items: (operationExamples[operation].output as { items?: unknown }).items },
  }));
  using world = new CliWorld();
  const bin = world.path('bin');
  mkdirSync(bin);
  const shim = `#!/bin/sh\nexec '${process.execPath}' '${coffer}' "$@"\n`;
  writeFileSync(join(bin, 'coffer'), shim, { mode: 0o755 });
  const env = { ...environment(world, gateway), PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const complete = async (line: string): Promise<string[]> => {
    const words = line.split(' ');
    const list = words.map((word) => `'${word}'`).join(' ');
    const script = `source <(coffer completion bash)
      COMP_WORDS=(${list})
      COMP_CWORD=${words.length - 1}
      _coffer 2>/dev/null
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const child = spawn('bash', ['-c', script], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    return (await outputOf(child)).trim().split('\n');
  };
  deepEqual(await complete('coffer who-'), ['who-can']);
  deepEqual(await complete('coffer secret ge'), ['get', 'generate']);
  // Names of the gateway come within a moment or not at all: on a busy machine it takes more than one try.
  let names = await complete('coffer secret get payments/');
  for (let tries = 1; names[0] === '' && tries < 20; tries += 1) {
    names = await complete('coffer secret get payments/');
  }
  deepEqual(names, ['payments/db-password']);
  deepEqual(await complete('coffer secret put a --stage '), ['current', 'pending']);
  deepEqual(await complete('coffer node list --out'), ['--output']);
  ok((await complete('coffer secret list -o ')).includes('json'));
  deepEqual(await complete('coffer gateway --node-l'), ['--node-listen']);
  deepEqual(await complete('coffer init --seal p'), ['passphrase']);
  deepEqual(await complete('coffer enforcer --runtime '), ['docker', 'process']);
  deepEqual(await complete('coffer -o json backup verify --o'), ['--output']);
  deepEqual(await complete('coffer backup verify '), [''], 'files, by the shell; no verb again');
});

const failures: readonly (readonly [readonly string[], RegExp])[] = [
  [
    ['gateway', '--lisen', ':1'],
    /^error: coffer gateway: --lisen is not known\. Did you mean --listen\? \[request\.invalid\]\n/,
  ],
  [
    ['gateway', '--listen', 'here'],
    /^error: coffer gateway: --listen must be host:port \[request\.invalid\]\n/,
  ],
  [['gateway', 'word'], /^error: coffer gateway: argument is not known \[request\.invalid\]\n/],
  [
    ['gateway', '--data', '/nowhere/at/all'],
    /^error: coffer gateway: There is no [^\n]* \[storage\.missing\]\n/,
  ],
  [['init', '--seal', 'wax'], /^error: coffer init: --seal must be shares/],
  [
    ['init', '--data', '/proc/nope/x'],
    /^error: coffer init: There is no [^\n]* \/proc\/nope\/x \(ENOENT\) \[storage\.missing\]\n/,
  ],
  [
    ['enforcer', '--engine-sokcet', 'x'],
    /^error: coffer enforcer: [^\n]*Did you mean --engine-socket\?/,
  ],
  [['backup', 'verify', '/nowhere'], /^error: coffer backup verify: \/nowhere does not exist \[/],
  [['backup', 'restore'], /^error: coffer backup restore: FILE is needed/],
  [['secret', 'lisst'], /^error: coffer secret: /],
];

for (const [argv, shape] of failures) {
  test(`coffer ${argv.join(' ')}: all programs say what failed in one shape, and what to do next`, () => {
    using world = new CliWorld();
    const env = environment(world);
    const run = spawnSync(process.execPath, [coffer, ...argv], { env, input: '' });
    const stderr = run.stderr.toString('utf8');
    match(stderr, shape);
    match(stderr, /\n {2}next {5}\S[^\n]*\n$/);
    equal(run.stdout.length, 0);
    ok(run.status !== 0);
  });
}

test('a failure of any program is one line of RFC 9457 with -o json, wherever that stands', () => {
  using world = new CliWorld();
  const env = environment(world);
  const run = (argv: readonly string[], more = {}) => {
    const options = { env: { ...env, ...more }, input: '', cwd: world.path('') };
    return spawnSync(process.execPath, [coffer, ...argv], options);
  };
  const failing = [
    ['init', '--seal', 'wax'],
    ['gateway', '--lisen', ':1'],
    ['enforcer', '--runtime', 'wax'],
    ['backup', 'verify', '/nowhere'],
    ['backup', 'restore'],
    ['secret', 'lisst'],
  ];
  const assertJson = (ran: ReturnType<typeof run>, what: string): void => {
    const { code } = JSON.parse(ran.stderr.toString('utf8')) as { code: string };
    match(code, /^(request\.invalid|cli\.usage)$/, what);
    equal(ran.stdout.length, 0);
  };
  for (const argv of failing) {
    const line = argv.join(' ');
    assertJson(run([...argv, '-o', 'json']), line);
    assertJson(run(argv, { COFFER_OUTPUT: 'json' }), line);
    assertJson(run(['-o', 'json', ...argv]), line);
    match(run(argv).stderr.toString('utf8'), /^error: /, 'control');
    match(run([...argv, '--color=always']).stderr.toString('utf8'), /^\u001b\[31merror/);
  }
  const always = { COFFER_COLOR: 'always' };
  match(run(['init', '--seal', 'wax'], always).stderr.toString('utf8'), /^\u001b\[31merror/);
  writeFileSync(world.path('.coffer.yaml'), 'output: json\n');
  assertJson(run(['secret', 'lisst']), 'of a project');
});

test('a command is found behind options of all commands; what serves is started by its name first', () => {
  using world = new CliWorld();
  const env = environment(world);
  const run = (...argv: string[]) =>
    spawnSync(process.execPath, [coffer, ...argv], { env, input: '' });
  const data = world.path('data');
  const init = run('-o', 'json', 'init', '--data', data, '--shares', '1');
  const made = JSON.parse(init.stdout.toString('utf8')) as { shares: readonly string[] };
  equal(made.shares.length, 1);
  const store = join(data, readdirSync(data).find((name) => /\.(db|sqlite)$/.test(name)) ?? '');
  for (const argv of [
    ['-o', 'json', 'backup', 'verify', store],
    ['backup', '-o', 'json', 'verify', store],
    ['backup', 'verify', '-o', 'json', store],
  ]) {
    const { stdout, stderr } = run(...argv);
    const body = JSON.parse(stdout.toString('utf8')) as { path: string; revision: number };
    equal(body.path, store, stderr.toString('utf8'));
    ok(body.revision > 0);
  }
  match(run('backup', 'verify', store).stdout.toString('utf8'), / reads well, at revision/);
  equal(run('backup', 'verify', store, '--data', 'x').status, 2, 'unknown there');
  for (const program of ['gateway', 'enforcer']) {
    const { status, stderr } = run('--context', 'x', program);
    equal(status, 2);
    match(stderr.toString('utf8'), new RegExp(`after the command: coffer ${program} …`));
    match(run('--context', 'x', program, '--help').stdout.toString('utf8'), /Examples:\n/);
  }
});

test('-h is --help for every program', () => {
  using world = new CliWorld();
  const env = environment(world);
  const run = (...argv: string[]) =>
    spawnSync(process.execPath, [coffer, ...argv], { env, input: '' });
  for (const program of [['gateway'], ['init'], ['enforcer'], ['backup', 'verify']]) {
    const help = run(...program, '-h');
    const asked = run('help', ...program);
    equal(asked.stdout.toString('utf8'), help.stdout.toString('utf8'), `help ${program.join(' ')}`);
    equal(help.status, 0, program.join(' '));
    match(help.stdout.toString('utf8'), /Examples:\n/);
  }
});

test('init ends with the commands that fit what it was told', () => {
  using world = new CliWorld();
  const env = environment(world);
  const data = world.path("it's here");
  const argv = ['init', '--data', data, '--listen', '127.0.0.1:9', '--shares', '2'];
  const { stderr, status } = spawnSync(process.execPath, [coffer, ...argv], { env });
  equal(status, 0, stderr.toString('utf8'));
  const [, line = ''] = /\n {2}coffer gateway (.*)\n/.exec(stderr.toString('utf8')) ?? [];
  const words = spawnSync('sh', ['-c', `printf '%s\\n' ${line}`]).stdout.toString('utf8');
  deepEqual(words.trim().split('\n'), ['--data', data, '--listen', '127.0.0.1:9']);
  match(
    stderr.toString('utf8'),
    /context add local --server https:\/\/127\.0\.0\.1:9 --pin sha256:/,
  );
  match(stderr.toString('utf8'), /coffer unseal {4}# 2 times/);
});
