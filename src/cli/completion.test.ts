/**
 * Goal: what is offered is what may stand there, asked of the gateway that was named.
 * Method: the hidden command that shells ask, against two gateways that have other names; without the
 * clock that gives up after a moment, so that a busy machine is no difference.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Clock, systemClock } from '../base/clock.ts';
import { pinOf } from '../client/connection.ts';
import { signals } from '../model/grant.ts';
import { operationExamples } from '../protocol/examples.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { goodToken, type HttpGateway, startHttpGateway } from '../testing/http-gateway.ts';

const patient: Clock = { ...systemClock, setTimer: () => ({ cancel: () => undefined }) };

/** Has one of each kind, called so; and one secret that was deleted. */
async function startCalled(called: string): Promise<HttpGateway> {
  return await startHttpGateway(async ({ operation, input }) => {
    const { items = [] } = operationExamples[operation].output as { items?: readonly object[] };
    const { deleted = false } = input as { deleted?: boolean };
    const name = operation === 'secret.list' ? `${called}/${deleted ? 'gone' : 'key'}` : called;
    const own = operation === 'grant.list' ? { group: name } : { name };
    const all = operation === 'holding.list' ? items : items.map((item) => ({ ...item, ...own }));
    return { output: { items: all } };
  });
}

async function offered(world: CliWorld, ...typed: string[]): Promise<readonly string[]> {
  const { code, stdout, stderr } = await world.run(['__complete', '--', ...typed], {
    clock: patient,
  });
  deepEqual([code, stderr], [0, '']);
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t')[0] ?? '');
}

test('names come from the gateway that was named, with the trust that was named', async () => {
  await using prod = await startCalled('prod');
  await using lab = await startCalled('lab');
  using world = new CliWorld();
  writeFileSync(world.path('token'), goodToken, { mode: 0o600 });
  const addressOf = ({ server }: HttpGateway): string => `https://127.0.0.1:${server.port}`;
  const trustOf = (gateway: HttpGateway): readonly string[] => [
    ...['--server', addressOf(gateway), '--pin', pinOf(gateway.certificate.leaf)],
    ...['--token-file', world.path('token')],
  ];
  for (const [name, gateway] of [
    ['lab', lab],
    ['prod', prod],
  ] as const) {
    const add = ['context', 'add', name, ...trustOf(gateway), '--no-check'];
    const { code, stderr } = await world.run(add);
    equal(code, 0, stderr);
  }
  const get = ['secret', 'get', ''] as const;
  deepEqual(await offered(world, ...get), ['lab/key'], 'the current one');
  deepEqual(await offered(world, '--context', 'prod', ...get), ['prod/key']);
  deepEqual(await offered(world, 'secret', '--context=prod', 'get', ''), ['prod/key']);
  deepEqual(await offered(world, ...trustOf(prod), ...get), ['prod/key']);
  deepEqual(await offered(world, '--server', addressOf(prod), ...get), [], 'not trusted');
  deepEqual(await offered(world, '--context', ''), ['lab', 'prod']);
});

test('each place is offered what may stand there', async () => {
  await using gateway = await startCalled('web');
  using world = new CliWorld().reach(gateway);
  const cases: readonly (readonly [line: string, offered: readonly string[]])[] = [
    ['secret get ', ['web/key']],
    ['secret restore ', ['web/gone']],
    ['where ', ['web/key']],
    ['grant put ', ['web']],
    ['grant put web --secret ', ['web/key']],
    ['grant put web --signal ', signals],
    ['grant list --secret we', ['web/key']],
    ['group put web --node ', ['web']],
    ['where --workload ', ['web']],
    ['workload list --group w', ['web']],
    ['token revoke ', ['web']],
    ['node list --sort-by last', ['last-seen']],
    ['node list --state con', ['connected']],
    ['secret list -o js', ['json', 'jsonpath=']],
    ['backup cre', ['create']],
    ['help ex', ['exit-codes', 'explain']],
    ['help exit-codes ', []],
    ['apply -f ', [':files']],
    ['secret put a --from-file ', [':files']],
    ['secret lst ', []],
  ];
  for (const [line, expected] of cases) {
    deepEqual(await offered(world, ...line.split(' ')), expected, line);
  }
  ok((await offered(world, 'help', '')).includes('secret'));
});

test('a column that is offered can be sorted by', async () => {
  await using gateway = await startCalled('web');
  using world = new CliWorld().reach(gateway);
  for (const list of ['secret list', 'node list', 'workload list', 'token list', 'where']) {
    const words = list.split(' ');
    const columns = await offered(world, ...words, '--sort-by', '');
    ok(columns.length > 5, list);
    for (const column of columns) {
      const { code, stderr } = await world.run([...words, '--sort-by', column]);
      equal(code, 0, stderr);
    }
  }
});
