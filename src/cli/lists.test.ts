/**
 * Goal: what lists have in common: rows alone, quiet, the last of the log; and that progress is for people.
 * Method: the real command against a gateway that answers with the examples of the contract; what it is
 * asked is kept.
 */
import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { operationExamples } from '../protocol/examples.ts';
import type { OperationRequest } from '../protocol/request.ts';
import type { OperationName } from '../protocol/operations.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { type CliRun, type CliRunOptions, CliWorld } from '../testing/cli-world.ts';
import { startHttpGateway } from '../testing/http-gateway.ts';

const checkpoint = `cofferdam/test\n1042\n${'A'.repeat(43)}=\n`;

async function run(
  argv: readonly string[],
  options: CliRunOptions = {},
  beforeFirst: () => Promise<void> = async () => undefined,
): Promise<CliRun & { readonly asked: readonly OperationRequest<OperationName>[] }> {
  const asked: OperationRequest<OperationName>[] = [];
  await using gateway = await startHttpGateway(async (request) => {
    asked.push(request);
    if (asked.length === 1) await beforeFirst();
    if (request.operation === 'system.backup') {
      return {
        output: (async function* () {
          yield Buffer.alloc(1_048_576);
          yield Buffer.alloc(1_048_576);
        })(),
      };
    }
    const { output } = operationExamples[request.operation];
    if (request.operation === 'audit.checkpoint') return { output: { ...output, checkpoint } };
    const { nextCursor: _, ...whole } = output as { readonly nextCursor?: string };
    return { output: whole };
  });
  using world = new CliWorld().reach(gateway);
  const words = argv.map((word) => (word === 'FILE' ? world.path('backup.coffer') : word));
  const ran = await world.run(words, options);
  return { ...ran, asked };
}

const lists = [
  ['secret', 'list'],
  ['group', 'list'],
  ['grant', 'list'],
  ['node', 'list'],
  ['workload', 'list'],
  ['audit', 'list'],
  ['where'],
] as const;

for (const words of lists) {
  test(`${words.join(' ')} --no-headers is the rows alone; -A is --all`, async () => {
    const { stdout: whole } = await run(words);
    const { code, stdout } = await run([...words, '--no-headers', '-A']);
    equal(code, 0);
    const [, ...rows] = whole.split('\n');
    const cells = (line: string): string => line.replaceAll(/ +/g, ' ');
    deepEqual(stdout.split('\n').map(cells), rows.map(cells));
  });
}

test('lists hand their filters on', async () => {
  const cases: readonly (readonly [readonly string[], Readonly<Record<string, unknown>>])[] = [
    [['group', 'list', '--prefix', 'pay'], { prefix: 'pay' }],
    [['grant', 'list', '--secret', 'payments/db'], { secret: 'payments/db' }],
    [['node', 'list', '--state', 'revoked'], { state: 'revoked' }],
    [
      ['workload', 'list', '-l', 'tier=backend', '--group', 'api', '--prefix', 'a'],
      { selector: 'tier=backend', group: 'api', prefix: 'a' },
    ],
    [
      ['audit', 'list', '--last', '20', '--outcome', 'denied'],
      { newestFirst: true, outcome: 'denied' },
    ],
    [['audit', 'list'], { newestFirst: true }],
    [['audit', 'list', '--after', '5', '--changes'], { after: 5, changes: true }],
  ];
  for (const [argv, wanted] of cases) {
    const { code, asked, stderr } = await run([...argv, '--limit', '7']);
    equal(code, 0, stderr);
    deepEqual({ ...(asked.at(-1)?.input as object) }, { limit: 7, ...wanted }, argv.join(' '));
  }
});

test('--quiet leaves notices out, and neither data nor warnings nor faults', async () => {
  const loud = await run(['node', 'token', 'node-1']);
  const quiet = await run(['node', 'token', 'node-1', '-q']);
  match(loud.stderr, /On that node/);
  equal(quiet.stderr, '');
  equal(quiet.stdout, loud.stdout);
  match((await run(['secret', 'get', 'A', '-q'])).stderr, /request\.invalid/);
  const asked = await run(['node', 'revoke', 'node-1', '-q'], { typed: ['no\n'] });
  match(asked.stderr, /will be revoked/, 'what a question is about is no notice');
});

test('progress is shown on a terminal once it takes long, and taken away again', async () => {
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => (nowMs += 400) };
  const backup = ['backup', 'create', 'FILE'];
  const seen = await run(backup, { clock, typed: [''] });
  equal(seen.code, 0, seen.stderr);
  match(seen.stderr, /^(?:\r\u001b\[K[\d.]+ MiB received)+\r\u001b\[K$/);
  for (const options of [
    { clock },
    { typed: [''], clock: { ...systemClock, monotonicMs: () => 0 } },
  ]) {
    equal((await run(backup, options)).stderr, '');
  }
  const dumb = { clock, typed: [''], env: { TERM: 'dumb' } };
  equal((await run(backup, dumb)).stderr, '');
  equal((await run([...backup, '-q'], { clock, typed: [''] })).stderr, '');
});

test('a gateway that takes its time is waited for visibly, on a terminal, and only there', async () => {
  const timers: (() => void)[] = [];
  let nowMs = 0;
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    setTimer(delayMs, act) {
      if (delayMs <= 1000) timers.push(act);
      return { cancel: () => undefined };
    },
  };
  const slow = async (options: CliRunOptions): Promise<CliRun> => {
    timers.length = 0;
    nowMs = 0;
    return await run(['status'], options, async () => {
      for (const ms of [300, 1300, 2300]) {
        nowMs = ms;
        timers.shift()?.();
      }
    });
  };
  const seen = await slow({ clock, typed: [] });
  match(
    seen.stderr,
    /^\r\u001b\[KWaiting for https:\S+\r\u001b\[KWaiting for https:\S+, 1 s\r\u001b\[KWaiting for https:\S+, 2 s\r\u001b\[K/,
  );
  for (const options of [{}, { typed: [], env: { TERM: 'dumb' } }]) {
    equal((await slow({ clock, ...options })).stderr.includes('Waiting'), false);
  }
  equal((await run(['status', '-q'], { clock, typed: [] })).stderr, '');
});

test('node get and workload get show the one that is named, and suggest where there is none', async () => {
  const node = await run(['node', 'get', 'node-1', '-o', 'json']);
  equal((JSON.parse(node.stdout) as { name: string }).name, 'node-1');
  for (const named of ['payments-api-1', operationExamples['workload.list'].output.items[0]?.id]) {
    const { stdout } = await run(['workload', 'get', named ?? '', '-o', 'json']);
    equal((JSON.parse(stdout) as { name: string }).name, 'payments-api-1');
  }
  const table = await run(['workload', 'get', 'payments-api-1']);
  match(table.stdout, /^NAME .*\npayments-api-1 .*\n$/);
  for (const [noun, typed, meant] of [
    ['node', 'node-2', 'node-1'],
    ['workload', 'payment-api-1', 'payments-api-1'],
  ] as const) {
    const { code, stdout, stderr } = await run([noun, 'get', typed]);
    deepEqual([code, stdout], [3, '']);
    match(stderr, new RegExp(`There is no ${noun} ${typed}\\. Did you mean ${meant}\\?`));
  }
});

test('workload get asks for an id where several containers have the name', async () => {
  const [item] = operationExamples['workload.list'].output.items;
  const items = [item, { ...item, id: 'wld_2', node: 'node-2' }];
  await using gateway = await startHttpGateway(async () => ({ output: { items } }));
  using world = new CliWorld().reach(gateway);
  const { code, stderr } = await world.run(['workload', 'get', 'payments-api-1']);
  equal(code, 2);
  match(stderr, /give an id instead: wld_0\S+ on node-1, wld_2 on node-2/);
  equal((await world.run(['workload', 'get', 'wld_2'])).code, 0);
});
