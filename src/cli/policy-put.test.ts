/**
 * Goal: nothing that a running container has is taken from it by `group put` or `grant put` without
 * somebody having seen that and agreed; what only adds is not asked about.
 * Method: the real command against a gateway that says what the change would do; what is sent is kept.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
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

/** @returns what was printed, and whether the change was sent, by the rehearsals and changes asked for. */
async function put(
  argv: readonly string[],
  impact: Impact,
  options: CliRunOptions = {},
): Promise<CliRun & { readonly asked: readonly string[] }> {
  const requests: OperationRequest<OperationName>[] = [];
  await using gateway = await startHttpGateway(async (request) => {
    requests.push(request);
    const { output } = operationExamples[request.operation];
    const one = { workload: 'api-1', node: 'node-1', gains: [], loses: [], updates: [], ...impact };
    const isPut = request.operation.endsWith('.put');
    return { output: isPut ? { ...output, impact: [one], impactTotal: 1 } : output, revision: 42 };
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

for (const [name, argv] of [
  ['grant put', grant],
  ['group put', group],
] as const) {
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
    const { stdout, stderr } = await put([...argv, '-o', 'json'], {});
    match(
      stderr,
      new RegExp(
        `replaces ${name.split(' ')[0]}/|${name.split(' ')[0]}/payments-api is this already`,
      ),
    );
    ok(Array.isArray((JSON.parse(stdout) as { warnings: unknown }).warnings));
  });

  test(`${name} --dry-run=server shows all of that and sends nothing`, async () => {
    const { code, asked, stderr } = await put([...argv, '--dry-run=server'], loses);
    deepEqual([code, asked], [0, ['rehearsed']]);
    match(stderr, /loses payments\/db-password[^]*|nothing was changed/);
  });
}
