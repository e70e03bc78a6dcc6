/**
 * Goal: what scripts rely on: exit codes, clean standard output, and no value anywhere it could be seen.
 * Method: commands run in this process with a world of their own, against the real HTTPS server with a
 * `handle` of the test's.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { type FaultCode, faults, type FaultSpec } from '../base/fault-table.ts';
import { operationExamples } from '../protocol/examples.ts';
import type { OperationRequest } from '../protocol/request.ts';
import type { OperationName } from '../protocol/operations.ts';
import { CliWorld, type CliRunOptions } from '../testing/cli-world.ts';
import { startExampleGateway } from '../testing/example-gateway.ts';
import { startHttpGateway } from '../testing/http-gateway.ts';
import { exitCodes } from './help-text.ts';

const canary = 'canary-5f1d0a3c9be84e77';

test('a value is nowhere in what is written, at any log level, nor in an argument', async () => {
  const seen: string[] = [];
  await using gateway = await startExampleGateway(({ value }) => {
    value?.use((bytes) => seen.push(bytes.toString('utf8')));
  });
  using world = new CliWorld().reach(gateway);
  writeFileSync(world.path('value'), canary);
  const ways: readonly (readonly [readonly string[], CliRunOptions])[] = [
    [[], { stdin: canary }],
    [['--from-file', world.path('value')], {}],
    [['--from-env', 'DB_PASSWORD'], { env: { DB_PASSWORD: canary } }],
    [[], { typed: [`${canary}\r`, `${canary}\r`] }],
  ];
  for (const level of ['debug', 'info', 'warn', 'error']) {
    for (const [words, options] of ways) {
      for (const more of [[], ['-o', 'json'], ['-o', 'yaml'], ['--curl'], ['--dry-run=server']]) {
        const argv = ['secret', 'put', 'payments/db-password', ...words, ...more];
        const env = { ...options.env, COFFER_LOG: level };
        const { code, transcript } = await world.run(argv, { ...options, env });
        equal(code, 0, transcript);
        equal(transcript.includes(canary), false, `${level} ${argv.join(' ')}`);
      }
    }
  }
  ok(seen.length > 0 && seen.every((value) => value === canary), 'and yet it arrived');
});

test('a debug log names operations and requests, so that the canary test has something to look at', async () => {
  await using gateway = await startExampleGateway();
  using world = new CliWorld().reach(gateway);
  const { stderr } = await world.run(['secret', 'list'], { env: { COFFER_LOG: 'debug' } });
  match(stderr, /"event":"cli.called","operation":"secret.list","requestId":"req_/);
});

test('NAME=value is refused, with the command to use, and not repeated', async () => {
  using world = new CliWorld();
  for (const word of [`payments/db=${canary}`, `${canary}=x`, `NOT A NAME ${canary}=1`]) {
    const { code, transcript } = await world.run(['secret', 'put', word]);
    equal(code, 2);
    match(transcript, /coffer secret put \S+` and type the value/);
    equal(word.startsWith(canary) || !transcript.includes(canary), true);
  }
});

test('a word too many and an unknown option are refused without showing what they held', async () => {
  using world = new CliWorld();
  for (const words of [
    [canary],
    [`--value=${canary}`],
    [`--value=${canary}\n=`],
    ['more', canary],
  ]) {
    const { code, transcript } = await world.run(['secret', 'put', 'payments/db', ...words]);
    equal(code, 2);
    match(transcript, /too many arguments for 'put'|unknown option '--value'/);
    equal(transcript.includes(canary), false);
  }
});

const twice: readonly (readonly [readonly string[], RegExp])[] = [
  [
    ['group', 'put', 'a', '--docker-label', 'x=1', '--docker-label', 'x=2'],
    /--docker-label gives x twice/,
  ],
  [
    ['group', 'put', 'a', '--kubernetes-label', 'x=1', '--kubernetes-label', 'x=1'],
    /gives x twice/,
  ],
  [
    ['secret', 'update', 'a', '--label', 'x=1', '--label', 'y=1', '--label', 'x=2'],
    /gives x twice/,
  ],
  [['secret', 'update', 'a', '--label', 'x=1', '--no-labels'], /exclude each other/],
  [['secret', 'update', 'a'], /say what to change/],
  [['group', 'put', 'a', '--image', 'one', '--image', 'two'], /'--image.* It was given before/],
  [['secret', 'revoke', 'a', '--version', '1', '--version', '2'], /It was given before/],
  [['secret', 'put', 'a', '--stage', 'current', '--stage', 'pending'], /It was given before/],
];

for (const [argv, shape] of twice) {
  test(`${argv.join(' ')}: nobody guesses what was meant`, async () => {
    const asked: string[] = [];
    await using gateway = await startExampleGateway(({ operation }) => asked.push(operation));
    using world = new CliWorld().reach(gateway);
    const { code, stderr } = await world.run(argv);
    deepEqual([code, asked], [2, []]);
    match(stderr, shape);
  });
}

test('what may be given several times may, and what a wrapper gives may be given again', async () => {
  await using gateway = await startExampleGateway();
  using world = new CliWorld().reach(gateway);
  const labels = ['--label', 'x=1', '--label', 'y=1=1', '--description', ''];
  for (const argv of [
    ['secret', 'update', 'a', ...labels],
    ['secret', 'list', '-o', 'json', '-o', 'name'],
    ['secret', 'update', 'a', '--no-labels'],
  ]) {
    const { code, stderr } = await world.run(argv);
    equal(code, 0, stderr);
  }
});

test('a noun without a verb shows its verbs, also those that another program does', async () => {
  using world = new CliWorld();
  const { code, stdout } = await world.run(['backup']);
  equal(code, 0);
  match(stdout, /create <file>[^]*verify <file>[^]*restore <file>/);
});

test('the exit code of every fault is one that the help explains', () => {
  for (const [code, spec] of Object.entries<FaultSpec>(faults)) {
    ok(Object.hasOwn(exitCodes, spec.exit), `${code} exits with ${spec.exit}`);
  }
});

const refusals: readonly (readonly [FaultCode, number])[] = [
  ['resource.unknown', 3],
  ['policy.denied', 4],
  ['auth.failed', 5],
  ['request.conflict', 6],
  ['request.stale', 6],
  ['secret.exists', 6],
  ['gateway.stopping', 7],
  ['storage.failed', 7],
  ['barrier.sealed', 8],
  ['gateway.bug', 1],
  ['request.invalid', 2],
];

for (const [code, exit] of refusals) {
  test(`a refusal with ${code} exits with ${exit} and says what, where, what next and the request`, async () => {
    const facts = code === 'policy.denied' ? { action: 'secret.get', resource: 'secrets/a' } : {};
    await using gateway = await startHttpGateway(async () => {
      throw new Fault(code, facts);
    });
    using world = new CliWorld().reach(gateway);
    const { code: exited, stdout, stderr } = await world.run(['secret', 'get', 'a']);
    equal(exited, exit);
    equal(stdout, '');
    match(
      stderr,
      new RegExp(`^error: coffer secret get: [A-Z][^\\n]* \\[${code.replace('.', '\\.')}\\]\\n`),
    );
    match(stderr, /\n {2}server {3}https:\/\/127\.0\.0\.1:\d+ \(from COFFER_ADDR\)\n/);
    match(stderr, /\n {2}next {5}\S/);
    match(stderr, /\n {2}request {2}req_[0-9a-f]+\n$/);
    const isDenied = code === 'policy.denied';
    equal(stderr.includes('No role of yours allows secret.get on secrets/a'), isDenied);
  });
}

test('a gateway that is not there, and one that is not the one that is meant, exit with 7', async () => {
  await using gateway = await startExampleGateway();
  using world = new CliWorld().reach(gateway);
  const otherPin = `sha256:${'0'.repeat(64)}`;
  const untrusted = await world.run(['secret', 'list', '--pin', otherPin]);
  equal(untrusted.code, 7);
  match(untrusted.stderr, /gateway\.untrusted/);
  const absent = await world.run(['secret', 'list', '--server', 'https://127.0.0.1:1']);
  equal(absent.code, 7);
  match(absent.stderr, /gateway\.unreachable/);
});

test('--timeout ends the command with 124, and being interrupted with 130', async () => {
  let reached = Promise.withResolvers<void>();
  await using gateway = await startHttpGateway(() => {
    reached.resolve();
    return new Promise(() => undefined);
  });
  using world = new CliWorld().reach(gateway);
  const late = await world.run(['secret', 'list', '--timeout', '1']);
  equal(late.code, 124);
  match(late.stderr, /cli\.timeout/);
  const interrupt = new AbortController();
  reached = Promise.withResolvers();
  const running = world.run(['secret', 'list'], { signal: interrupt.signal });
  await reached.promise;
  interrupt.abort();
  const interrupted = await running;
  equal(interrupted.code, 130);
  match(interrupted.stderr, /cli\.interrupted/);
});

test('Ctrl-C ends what waits for the end of a pipe, and nothing was sent', async () => {
  const asked: string[] = [];
  await using gateway = await startExampleGateway(({ operation }) => asked.push(operation));
  using world = new CliWorld().reach(gateway);
  for (const argv of [
    ['secret', 'put', 'payments/db'],
    ['apply', '-f', '-'],
    ['context', 'add', 'lab', '--server', 'https://127.0.0.1:1', '--token-file', '-'],
  ]) {
    const interrupt = new AbortController();
    const options = { stdin: 'half', staysOpen: true, signal: interrupt.signal } as const;
    const running = world.run(argv, { ...options, onInput: () => interrupt.abort() });
    equal((await running).code, 130, argv.join(' '));
  }
  deepEqual(asked, []);
});

test('colour goes to terminals only, and only where it is wanted', async () => {
  using world = new CliWorld();
  const esc = '\u001b';
  const colourOf = async (options: CliRunOptions, more: readonly string[] = []): Promise<boolean> =>
    (await world.run(['doctor', ...more], options)).stdout.includes(esc);
  equal(await colourOf({}), false);
  equal(await colourOf({ onTerminal: true }), true);
  equal(await colourOf({ onTerminal: true, env: { NO_COLOR: '1' } }), false);
  equal(await colourOf({ onTerminal: true, env: { TERM: 'dumb' } }), false);
  equal(await colourOf({ env: { FORCE_COLOR: '1' } }), true);
  equal(await colourOf({ onTerminal: true }, ['--color', 'never']), false);
  equal(await colourOf({}, ['--color', 'always']), true);
});

test('the colour of a failure is what --color says', async () => {
  using world = new CliWorld();
  const isColoured = async (options: CliRunOptions, ...more: string[]): Promise<boolean> =>
    (await world.run(['secret', 'lisst', ...more], options)).stderr.includes('\u001b');
  equal(await isColoured({}), false);
  equal(await isColoured({}, '--color', 'always'), true);
  equal(await isColoured({}, '--color=always'), true);
  equal(await isColoured({ typed: [] }), true);
  equal(await isColoured({ typed: [] }, '--color', 'never'), false);
});

test('options without a command are wrong usage, in the form that was asked for', async () => {
  using world = new CliWorld();
  const text = await world.run(['-q']);
  deepEqual([text.code, text.stdout], [2, '']);
  match(text.stderr, /no command was given/);
  const json = await world.run(['-o', 'json']);
  deepEqual([json.code, json.stdout], [2, '']);
  equal((JSON.parse(json.stderr) as { code: string }).code, 'cli.usage');
  match((await world.run([])).stdout, /^coffer: secrets/);
});

test('names that strangers chose cannot command the terminal', async () => {
  const evil = 'api\u001b]0;owned\u0007\u202e\u009b31m';
  await using gateway = await startHttpGateway(async () => ({
    output: { items: [{ ...operationExamples['workload.list'].output.items[0], name: evil }] },
  }));
  using world = new CliWorld().reach(gateway);
  for (const format of ['table', 'wide', 'json', 'yaml', 'name', 'jsonpath={.items[*].name}']) {
    const { stdout } = await world.run(['workload', 'list', '-o', format], { onTerminal: true });
    equal(/[\u001b\u0007\u009b\u202e]/.test(stdout), false, format);
  }
});

test('lists put pages together, say when there are more, and sort', async () => {
  const [item] = operationExamples['node.list'].output.items;
  const names = Array.from({ length: 7 }, (_, at) => `node-${7 - at}`);
  await using gateway = await startHttpGateway(async ({ input }) => {
    const { limit = 50, cursor = '0' } = input as { limit?: number; cursor?: string };
    const [start, size] = [Number(cursor), Math.min(limit, 3)];
    const items = names.slice(start, start + size).map((name) => ({ ...item, name }));
    const more = start + size < names.length ? { nextCursor: String(start + size) } : {};
    return { output: { items, ...more } };
  });
  using world = new CliWorld().reach(gateway);
  const all = await world.run(['node', 'list', '-o', 'name', '--sort-by', 'name']);
  deepEqual(
    all.stdout.trim().split('\n'),
    names.toSorted().map((name) => `node/${name}`),
  );
  equal(all.stderr, '');
  const some = await world.run(['node', 'list', '-o', 'json', '--limit', '4']);
  const body = JSON.parse(some.stdout) as { items: unknown[]; nextCursor: string };
  equal(body.items.length, 4);
  equal(body.nextCursor, '4');
  match(some.stderr, /Only the first 4 are shown/);
});

const aged = [
  ['secret list', 'secret.list', 'createdAt', 'age'],
  ['token list', 'token.list', 'createdAt', 'age'],
  ['node list', 'node.list', 'joinedAt', 'age'],
  ['node list', 'node.list', 'lastSeenAt', 'last seen'],
  ['workload list', 'workload.list', 'startedAt', 'age'],
  ['where', 'holding.list', 'since', 'since'],
] as const;

for (const [command, operation, member, column] of aged) {
  test(`${command} --sort-by '${column}': the youngest first, what is not known last`, async () => {
    const [item] = operationExamples[operation].output.items;
    const entries = Object.entries(item ?? {}).filter(([key]) => key !== member);
    const timeless = Object.fromEntries<unknown>(entries);
    const yearOf = (year: number) => ({ ...timeless, [member]: `${year}-03-01T09:30:00.000Z` });
    const unknown = member === 'createdAt' ? [] : [timeless];
    const items = [yearOf(2025), ...unknown, yearOf(2026), yearOf(1999), yearOf(2024)];
    await using gateway = await startHttpGateway(async () => ({ output: { items } }));
    using world = new CliWorld().reach(gateway);
    const sort = ['--sort-by', column, '-o', 'json'];
    const { stdout, stderr } = await world.run([...command.split(' '), ...sort]);
    equal(stderr, '');
    const shown = (JSON.parse(stdout) as { items: Record<string, string>[] }).items;
    deepEqual(
      shown.map((one) => one[member]?.slice(0, 4)),
      ['2026', '2025', '2024', '1999', ...unknown.map(() => undefined)],
    );
  });
}

test('a change carries an idempotency key, and a deletion the revision that was seen', async () => {
  const asked: OperationRequest<OperationName>[] = [];
  await using gateway = await startExampleGateway((request) => asked.push(request));
  using world = new CliWorld().reach(gateway);
  const { code } = await world.run(['secret', 'delete', 'payments/db-password', '--yes']);
  equal(code, 0);
  const deletion = asked.find(({ operation }) => operation === 'secret.delete');
  equal(deletion?.ifRevision, 42);
  match(deletion?.idempotencyKey ?? '', /^cli_[0-9a-f]{32}$/);
});

test('status of a store that was set back says what to find out and what goes on, and exits with 7', async () => {
  await using gateway = await startHttpGateway(async ({ operation }) => {
    const { output } = operationExamples[operation];
    const state =
      operation === 'system.status' ? { state: 'rollback-suspected' } : { sealed: false };
    return { output: { ...output, ...state } };
  });
  using world = new CliWorld().reach(gateway);
  const { code, stdout, stderr } = await world.run(['status', '-o', 'json', '--quiet']);
  equal(code, 7);
  equal((JSON.parse(stdout) as { state: string }).state, 'rollback-suspected');
  match(stderr, /coffer accept-rollback/);
});
