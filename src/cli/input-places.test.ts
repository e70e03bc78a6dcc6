/**
 * Goal: what is wrong with an input is said of the word or option that was typed, not of a JSON pointer.
 * Method: command lines that the contract refuses, here or at a gateway, and what they are told.
 */
import { equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { goodToken, startHttpGateway } from '../testing/http-gateway.ts';
import { writeFileSync } from 'node:fs';

const typed: readonly (readonly [string, RegExp])[] = [
  ['secret destroy payments/db', /coffer secret destroy: --version is required \[/],
  ['token create ci --role writer', /coffer token create: --path is required \[/],
  ['token create ci --path secrets/a', /coffer token create: --role is required \[/],
  ['secret get Payments/DB', /coffer secret get: NAME must be at most 8 names [^\n]* a-z, 0-9/],
  ['group put a --node x --docker-label /=b', /coffer group put: --docker-label must match/],
  ['grant put a --secret A/b', /coffer grant put: --secret must be at most 8 names/],
  ['grant put a --secret a:b:644', /coffer grant put: --secret mode must be four octal digits/],
  ['grant put a --secret a --signal KILL', /coffer grant put: --signal must be one of SIGHUP/],
  ['grant put a', /coffer grant put: --secret must have at least 1 item \[/],
];

for (const [line, expected] of typed) {
  test(`coffer ${line}: the place is what was typed`, async () => {
    using world = new CliWorld();
    const { code, stderr } = await world.run([...line.split(' '), '--server', 'https://a:1']);
    equal(code, 2);
    match(stderr, expected);
  });
}

test('what the gateway says of a place is said of the option, too; what no option is stays a pointer', async () => {
  const errors = [
    { pointer: '/match/node', detail: 'must be a name' },
    { pointer: '/match/kubernetes/serviceAccount', detail: 'is compared exactly' },
    { pointer: '/elsewhere', detail: 'is wrong' },
  ];
  await using gateway = await startHttpGateway(async () => {
    throw new Fault('request.invalid', {}, { errors });
  });
  using world = new CliWorld();
  const ca = world.path('ca.pem');
  writeFileSync(ca, gateway.certificate.authorityPem);
  const env = {
    COFFER_ADDR: `https://127.0.0.1:${gateway.server.port}`,
    COFFER_CACERT: ca,
    COFFER_TOKEN: goodToken,
  };
  const { stderr } = await world.run(['group', 'put', 'a', '--node', 'x'], { env });
  match(stderr, /at {7}--node: must be a name\n/);
  match(stderr, /at {7}--kubernetes-service-account: is compared exactly\n/);
  match(stderr, /at {7}\/elsewhere: is wrong\n/);
});
