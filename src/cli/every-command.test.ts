/**
 * Goal: what all commands have in common: a name and help as promised, JSON where it is asked for, and
 * an end: none waits for a person who is not there.
 * Method: every command that the catalogue has, with a line that it would take, in this process against
 * a gateway that answers with the examples of the contract. Control: a command that waits is planted.
 */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { operationExamples } from '../protocol/examples.ts';
import { type OperationName, operationNamed, operationNames } from '../protocol/operations.ts';
import type { OperationRequest } from '../protocol/request.ts';
import { type CliRun, type CliRunOptions, CliWorld } from '../testing/cli-world.ts';
import { startExampleGateway } from '../testing/example-gateway.ts';
import { type CatalogueEntry, catalogue } from './catalogue.ts';
import type { CommandSpec } from './command-spec.ts';
import { exitCodes } from './help-text.ts';
import { optionsOf } from './parser.ts';
import type { Permission } from './permissions.ts';

async function allCommands(): Promise<readonly CommandSpec[]> {
  const specs = new Map<string, CommandSpec>();
  for (const entry of catalogue) {
    const module = await entry.load?.();
    for (const spec of module?.commands ?? []) specs.set(spec.name, spec);
  }
  return [...specs.values()];
}

/** What never ends by itself, besides the `--watch` of lists: it shows what happens from now on. */
const following: ReadonlySet<string> = new Set(['audit tail']);

/** What shell scripts are, and JSON is not. */
const scripts: ReadonlySet<string> = new Set(
  ['bash', 'zsh', 'fish', 'powershell'].map((shell) => `completion ${shell}`),
);

/** A line that each command would take. */
function lineFor(spec: CommandSpec, world: CliWorld): string[] {
  writeFileSync(world.path('policy.yaml'), 'kind: Group\nname: api\nmatch: { node: node-1 }\n');
  writeFileSync(world.path('value'), 'horse');
  const words = (spec.words ?? []).map(({ name, kind }) => {
    if (name === 'sequence') return '1041';
    if (kind === 'file') return world.path(`${spec.name.replaceAll(' ', '-')}.out`);
    if (kind === 'secret' || kind === 'deleted-secret') return 'payments/db-password';
    return kind === 'node' ? 'node-1' : 'payments-api';
  });
  const extra: Readonly<Record<string, readonly string[]>> = {
    'secret put': ['--from-file', world.path('value')],
    'secret update': ['--label', 'tier=backend'],
    'group put': ['--image', 'registry.example/api:*'],
    'grant put': ['--secret', 'payments/db-password'],
    'secret destroy': ['--version', '1'],
    apply: ['-f', world.path('policy.yaml')],
    diff: ['-f', world.path('policy.yaml')],
    'token create': ['--role', 'writer', '--path', 'secrets/payments/**'],
    'context add': ['--server', 'https://gateway.example:8443', '--no-check'],
    'accept-rollback': ['--reason', 'restored a backup'],
  };
  return [...spec.name.split(' '), ...words, ...(extra[spec.name] ?? [])];
}

/**
 * @param limitMs - Long enough for any machine; only what never ends reaches it.
 * @returns undefined if it had not come to an end by then.
 */
async function endOf(
  world: CliWorld,
  argv: readonly string[],
  options: CliRunOptions,
  limitMs = 60_000,
): Promise<CliRun | undefined> {
  const limit = AbortSignal.timeout(limitMs);
  const over = new Promise<undefined>((resolve) => {
    limit.addEventListener('abort', () => resolve(undefined));
  });
  const ran = await Promise.race([world.run(argv, { ...options, signal: limit }), over]);
  return limit.aborted ? undefined : ran;
}

/** Interrupts it, as Ctrl-C does, once it has shown something. */
async function followed(world: CliWorld, argv: readonly string[]): Promise<CliRun> {
  const interrupt = new AbortController();
  const onOutput = (): void => interrupt.abort();
  return await world.run(argv, { signal: interrupt.signal, onOutput });
}

test('every command has a summary and examples that begin with coffer, and names that C1 allows', async () => {
  const specs = await allCommands();
  ok(specs.length > 45, `${specs.length} commands`);
  for (const spec of specs) {
    ok(spec.examples.length >= 2, `${spec.name} has two examples`);
    ok(
      spec.examples.every((line) => line.includes('coffer ')),
      spec.name,
    );
    match(spec.name, /^[a-z-]+( [a-z-]+)?$/);
    match(spec.summary, /^[A-Z].*[^.]$/, spec.name);
    const flags = optionsOf(spec).map(({ flags }) => /--[a-z-]+/.exec(flags)?.[0]);
    equal(new Set(flags).size, flags.length, `${spec.name} has a flag twice`);
  }
});

test('every operation that people use has a command', async () => {
  const names = (await allCommands()).map(({ name }) => name);
  const elsewhere: Readonly<Record<string, string>> = {
    'policy.diff': 'diff',
    'policy.apply': 'apply',
    'access.explain': 'explain',
    'access.who-can': 'who-can',
    'holding.list': 'where',
    'system.status': 'status',
    'system.seal-status': 'status',
    'system.unseal': 'unseal',
    'system.seal': 'seal',
    'system.rotate-root-key': 'rotate-root-key',
    'system.accept-rollback': 'accept-rollback',
    'system.backup': 'backup create',
    'event.watch': 'secret list',
    'token.whoami': 'whoami',
    'node.join': '',
  };
  for (const operation of Object.keys(operationExamples)) {
    const command = elsewhere[operation] ?? operation.replace('.', ' ');
    ok(command === '' || names.includes(command), operation);
  }
});

/** Where nobody answers: a pipe that stays open, and the terminal of a CI job. */
const unattended: readonly (readonly [where: string, options: CliRunOptions])[] = [
  ['a pipe', { staysOpen: true }],
  ['a terminal in CI', { staysOpen: true, typed: [], env: { CI: '1' } }],
];

for (const [where, options] of unattended) {
  test(`no command waits for a person at ${where}`, async () => {
    await using gateway = await startExampleGateway();
    for (const spec of await allCommands()) {
      if (following.has(spec.name)) continue;
      using world = new CliWorld().reach(gateway);
      // What is piped in is the share itself: its end is the end of the share.
      const ends = spec.name === 'unseal' && options.typed === undefined;
      const run = await endOf(world, lineFor(spec, world), ends ? {} : options);
      ok(run, `${spec.name} waits`);
      ok(Object.hasOwn(exitCodes, run.code), `${spec.name} exits with ${run.code}`);
      equal(run.rawAtEnd, false, spec.name);
      equal(run.stdout.includes('\u001b'), false, `${spec.name} writes ESC into a pipe`);
    }
  });

  test(`control: a command that asks without looking whether it may, waits at ${where}`, async () => {
    using world = new CliWorld();
    const asks: CommandSpec = {
      name: 'ask',
      summary: 'Asks',
      examples: [],
      permissions: () => [],
      run: async (session) => void (await session.input.key()),
    };
    const load = async () => ({ commands: [asks] });
    const entry: CatalogueEntry = { noun: 'ask', group: 'Planted', summary: 'Asks', load };
    const planted = catalogue as CatalogueEntry[];
    planted.push(entry);
    try {
      equal(await endOf(world, ['ask'], options, 200), undefined);
    } finally {
      planted.pop();
    }
  });
}

test('what follows shows what there is at once, and to be interrupted is how it ends', async () => {
  await using gateway = await startExampleGateway();
  let watches = 0;
  for (const spec of await allCommands()) {
    const watch = optionsOf(spec).some(({ flags }) => flags.includes('--watch')) ? ['--watch'] : [];
    if (watch.length === 0 && !following.has(spec.name)) continue;
    watches += 1;
    using world = new CliWorld().reach(gateway);
    const { code, stderr } = await followed(world, [...lineFor(spec, world), ...watch]);
    equal(code, 130, spec.name);
    equal(stderr, '', spec.name);
  }
  ok(watches >= 6);
});

test('with -o json standard output is JSON or nothing, and a failure one line of RFC 9457', async () => {
  await using gateway = await startExampleGateway();
  for (const spec of await allCommands()) {
    if (scripts.has(spec.name)) continue;
    using world = new CliWorld().reach(gateway);
    const yes = spec.destroys === true ? ['--yes'] : [];
    const argv = [...lineFor(spec, world), ...yes, '-o', 'json'];
    const { code, stdout, stderr } = following.has(spec.name)
      ? await followed(world, argv)
      : await world.run(argv);
    if (stdout !== '') ok(JSON.parse(stdout), spec.name);
    if (code === 0 || stdout !== '') continue;
    const last = stderr.trim().split('\n').at(-1) ?? '';
    const problem = JSON.parse(last) as { readonly code: string; readonly hint: string };
    ok(problem.code.includes('.') && problem.hint.length > 0, spec.name);
  }
});

/** What is only nice to know: who may take a secret away need not be allowed to see who has it. */
const canDoWithout: ReadonlySet<string> = new Set(['holding.list', 'group.get']);

test('--policy names everything that a command asks for, and nothing else; then nothing is asked', async () => {
  const asked = new Set<string>();
  let interrupt = new AbortController();
  await using gateway = await startExampleGateway(({ operation, input }) => {
    const { resource } = operationNamed(operation);
    asked.add(`${operation} ${resource(input)}`);
    if (following.has(operation.replace('.', ' '))) interrupt.abort();
  });
  const isPublic = (line: string): boolean => {
    const [operation] = line.split(' ');
    return typeof operationNamed(operation as OperationName).access === 'object';
  };
  for (const spec of await allCommands()) {
    using world = new CliWorld().reach(gateway);
    const line = lineFor(spec, world);
    asked.clear();
    const { code, stdout, stderr } = await world.run([...line, '--policy', '-o', 'json']);
    equal(code, 0, stderr);
    equal(asked.size, 0, `${spec.name} --policy asks`);
    const { items } = JSON.parse(stdout) as { items: readonly Permission[] };
    const named = new Set(items.map(({ action, resource }) => `${action} ${resource}`));
    const yes = spec.destroys === true ? ['--yes'] : [];
    interrupt = new AbortController();
    const ran = await world.run([...line, ...yes], { signal: interrupt.signal });
    const wanted = [...asked].filter(
      (one) => named.has(one) || !(canDoWithout.has(one.split(' ')[0] ?? '') || isPublic(one)),
    );
    ok(new Set(wanted).isSubsetOf(named), `${spec.name} asks for more: ${wanted}`);
    // The examples are no sound log and no open gateway: what looks closely stops before it has asked all.
    if ([0, 10, 130].includes(ran.code))
      deepEqual(new Set(wanted), wantedOf(named, spec), spec.name);
  }
});

/** Without what the gateway looks at by itself while it answers. */
function wantedOf(named: ReadonlySet<string>, { name }: CommandSpec): ReadonlySet<string> {
  const inside: Readonly<Record<string, RegExp>> = {
    'grant put': /^grant\.put secrets\//,
    apply: /^policy\.apply (?!policy$)/,
  };
  return new Set([...named].filter((line) => inside[name]?.test(line) !== true));
}

test('a server dry run asks nobody, changes nothing, and does not claim to have', async () => {
  const asked: OperationRequest<OperationName>[] = [];
  await using gateway = await startExampleGateway((request) => asked.push(request));
  const changes = (): readonly boolean[] =>
    asked
      .splice(0)
      .filter(({ operation }) => operationNamed(operation).effect === 'change')
      .map(({ dryRun }) => dryRun === true);
  // What these show is a plan by itself: what is there, and what would be.
  const plans: ReadonlySet<string> = new Set(['apply', 'group put', 'grant put']);
  let rehearsed = 0;
  for (const spec of await allCommands()) {
    if (spec.changes !== true) continue;
    using world = new CliWorld().reach(gateway);
    const line = lineFor(spec, world);
    const { code, stdout, stderr } = await world.run([...line, '--dry-run=server']);
    equal(code, 0, `${spec.name}: ${stderr}`);
    match(stderr, /dry run \(server\): nothing was changed/, spec.name);
    equal(stdout.endsWith(' (server dry run)\n'), !plans.has(spec.name), spec.name);
    const dry = changes();
    ok(dry.length > 0 && !dry.includes(false), spec.name);
    rehearsed += 1;
    if (spec.destroys !== true || plans.has(spec.name)) continue;
    equal((await world.run(line)).code, 2, `control: ${spec.name} asks`);
    ok(!changes().includes(false));
    const done = await world.run([...line, '--yes']);
    ok(changes().includes(false), `control: ${spec.name} --yes`);
    doesNotMatch(done.stdout, /dry run/);
  }
  ok(rehearsed > 15);
});

test('what cannot be shown is not done: a wrong format is refused before anything is asked', async () => {
  const asked: string[] = [];
  await using gateway = await startExampleGateway(({ operation }) => asked.push(operation));
  for (const spec of await allCommands()) {
    using world = new CliWorld().reach(gateway);
    const yes = spec.destroys === true ? ['--yes'] : [];
    for (const format of ['jsonpath={.name', 'jsonpath={.name[}', 'jsonpath={name}', 'xml']) {
      const { code, stdout } = await world.run([...lineFor(spec, world), ...yes, '-o', format]);
      deepEqual([code, stdout, asked], [2, '', []], `${spec.name} -o ${format}`);
    }
  }
});

test('what is shown once is not left out by -o name', async () => {
  const asked: string[] = [];
  await using gateway = await startExampleGateway(({ operation }) => asked.push(operation));
  using world = new CliWorld().reach(gateway);
  const make = ['token', 'create', 'ci', '--role', 'writer', '--path', 'secrets/a/**'];
  for (const line of [make, ['node', 'token', 'node-1']]) {
    const { code, stderr } = await world.run([...line, '-o', 'name']);
    deepEqual([code, asked], [2, []]);
    match(stderr, /it would be lost/);
    const { stdout } = await world.run([...line, '-o', 'jsonpath={.token}']);
    match(stdout, /^coffer[-_]/, 'control');
    asked.length = 0;
  }
});

test('what the gateway does not rehearse has no --dry-run', async () => {
  const credentials = operationNames.filter((name) => operationNamed(name).credential === true);
  const names = credentials.map((name) => name.replace('.', ' '));
  const specs = (await allCommands()).filter(({ name }) => names.includes(name));
  deepEqual(
    specs.map(({ name, changes }) => [name, changes]),
    [
      ['node token', undefined],
      ['token create', undefined],
    ],
  );
  using world = new CliWorld();
  const { code, stderr } = await world.run(['node', 'token', 'node-1', '--dry-run']);
  equal(code, 2);
  match(stderr, /unknown option '--dry-run/);
});

test('help is there for every command, and shows an example first', async () => {
  using world = new CliWorld();
  for (const spec of await allCommands()) {
    const { code, stdout, stderr } = await world.run([...spec.name.split(' '), '--help']);
    equal(code, 0, spec.name);
    equal(stderr, '');
    ok(stdout.startsWith('Examples:\n  '), spec.name);
    ok(stdout.includes('coffer help options'), `${spec.name} says where the other options are`);
    equal(stdout.includes('--output'), false, `${spec.name} shows its own options alone`);
    const short = await world.run([...spec.name.split(' '), '-h']);
    ok(short.stdout.startsWith(`Usage: coffer ${spec.name}`), spec.name);
    ok(short.stdout.length < stdout.length, spec.name);
  }
  match((await world.run(['help', 'options'])).stdout, /--output <format>[^]*--policy/);
});

test('help about a noun shows examples and its verbs, before anything else', async () => {
  using world = new CliWorld();
  const specs = await allCommands();
  for (const { noun, load, elsewhere = [] } of catalogue) {
    const verbs = specs.filter(({ name }) => name.startsWith(`${noun} `));
    if (!load || verbs.length === 0) continue;
    const { code, stdout } = await world.run([noun]);
    equal(code, 0, noun);
    match(stdout, new RegExp(`^Examples:\n( {2}\\S.*coffer.*\n|  coffer .*\n){2}`), noun);
    for (const { name, summary } of verbs) {
      const [, verb] = name.split(' ');
      ok(new RegExp(`^  ${verb}\\b.*${summary.slice(0, 20)}`, 'm').test(stdout), name);
    }
    for (const [verb] of elsewhere) ok(stdout.includes(`  ${verb} `), verb);
    equal(stdout.includes('--context'), false, noun);
  }
});
