/**
 * Goal: nothing that a running container has is taken from it by `group put` or `grant put` without
 * somebody having seen that and agreed; what only adds is not asked about.
 * Method: the real command against a gateway that says what the change would do; what is sent is kept.
 */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { operationExamples } from '../protocol/examples.ts';
import type { OperationRequest } from '../protocol/request.ts';
import type { OperationName } from '../protocol/operations.ts';
import { CliWorld, type CliRun, type CliRunOptions } from '../testing/cli-world.ts';
import { startHttpGateway } from '../testing/http-gateway.ts';

interface Impact {
  readonly gains?: readonly string[];
  readonly loses?: readonly string[];
  readonly updates?: readonly string[];
}

/** What is there now, by the operation that reads it; the example where it is not said. */
type Was = Readonly<Record<string, object>>;

/** @returns what was printed, and whether the change was sent, by the rehearsals and changes asked for. */
async function put(
  argv: readonly string[],
  impact: Impact,
  { before = {}, ...options }: CliRunOptions & { readonly before?: Was } = {},
): Promise<CliRun & { readonly asked: readonly string[] }> {
  const requests: OperationRequest<OperationName>[] = [];
  await using gateway = await startHttpGateway(async (request) => {
    requests.push(request);
    const { output } = operationExamples[request.operation];
    const one = { workload: 'api-1', node: 'node-1', gains: [], loses: [], updates: [], ...impact };
    const isPut = request.operation.endsWith('.put');
    const impacts = isPut ? { impact: [one], impactTotal: 1 } : {};
    return { output: { ...output, ...impacts, ...before[request.operation] }, revision: 42 };
  });
  using world = new CliWorld().reach(gateway);
  const ran = await world.run(argv, options);
  const puts = requests.filter(({ operation }) => operation.endsWith('.put'));
  for (const { ifRevision } of puts) equal(ifRevision, 42, 'based on what was seen');
  return { ...ran, asked: puts.map(({ dryRun }) => (dryRun === true ? 'rehearsed' : 'sent')) };
}

const grant = ['grant', 'put', 'payments-api', '--secret', 'payments/db-password:db-password:0400'];
const group = ['group', 'put', 'payments-api', '--image', 'registry.example/payments/api:*'];
const loses = { loses: ['payments/db-password'] };

for (const [name, argv, get, old] of [
  ['grant put', grant, 'grant.get', { target: '/run/old' }],
  ['group put', group, 'group.get', { match: { image: 'registry.example/old:*' } }],
] as const) {
  const [noun] = name.split(' ');

  test(`${name} asks before a running container loses a secret, and takes --yes`, async () => {
    const nobody = await put(argv, loses);
    deepEqual([nobody.code, nobody.asked], [2, ['rehearsed']]);
    match(nobody.stderr, /api-1 on node-1 loses payments\/db-password[^]*cli\.input-needed/);
    const declined = await put(argv, loses, { typed: ['no\n'] });
    deepEqual(declined.asked, ['rehearsed']);
    match(declined.stderr, /cli\.declined/);
    const agreed = await put(argv, loses, { typed: ['payments-api\n'] });
    deepEqual([agreed.code, agreed.asked], [0, ['rehearsed', 'sent']]);
    const told = await put([...argv, '--yes'], loses);
    deepEqual([told.code, told.asked], [0, ['rehearsed', 'sent']]);
  });

  test(`${name} does not ask where nothing is lost, and says whom it concerns`, async () => {
    for (const impact of [{ gains: ['payments/db-password'] }, { updates: ['mode', 'signal'] }]) {
      const { code, asked, stderr } = await put(argv, impact);
      deepEqual([code, asked], [0, ['rehearsed', 'sent']]);
      match(
        stderr,
        /1 running container affected:\n {2}api-1 on node-1 (gains|changes mode, signal)/,
      );
    }
  });

  test(`${name} shows what it replaces, on standard error; standard output stays data`, async () => {
    const same = await put([...argv, '-o', 'json'], {});
    match(same.stderr, new RegExp(`^${noun}/payments-api is unchanged$`, 'm'));
    doesNotMatch(same.stderr, /replaces/);
    const { stdout, stderr } = await put([...argv, '-o', 'json'], {}, { before: { [get]: old } });
    match(stderr, new RegExp(`^replaces ${noun}/payments-api:\n--- a/${noun}/payments-api$`, 'm'));
    match(stderr, /^-.*old/m);
    doesNotMatch(stderr, /already/);
    for (const text of [same.stdout, stdout]) {
      ok(Array.isArray((JSON.parse(text) as { warnings: unknown }).warnings));
    }
  });

  test(`${name} --dry-run=server shows all of that and sends nothing`, async () => {
    const { code, asked, stderr } = await put([...argv, '--dry-run=server'], loses);
    deepEqual([code, asked], [0, ['rehearsed']]);
    match(stderr, /api-1 on node-1 loses payments\/db-password/);
    match(stderr, /nothing was changed/);
  });
}
