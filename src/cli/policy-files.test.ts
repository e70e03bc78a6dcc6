/**
 * Goal: policy that exists can be written to files and applied again, and nothing changes by that.
 * Method: groups and grants with everything they can have, in a whole gateway; what is printed as YAML goes
 * back in. Control: one line of it is changed.
 */
import { deepEqual, equal, match } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { startCliGateway } from '../testing/cli-gateway.ts';
import { type CliRun, CliWorld } from '../testing/cli-world.ts';

const groups = `kind: Group
name: web
match:
  image: registry.example/web@sha256:${'a'.repeat(64)}
  node: node-1
  docker: { name: "web-*", labels: { tier: "0100", odd.key: "no" } }
---
kind: Group
name: pods
match:
  kubernetes:
    namespace: payments
    serviceAccount: api
    pod: api-*
    container: app
    labels: { tier: backend }
---
kind: Group
name: plain
match: { process: { name: worker, labels: { app: x } } }
---
kind: Group
name: bare
match: { node: node-2 }
`;
const grants = `kind: Grant
group: web
target: /run/coffer
secrets:
  - { secret: web/tls-key, file: tls.key, mode: "0440", uid: 33, gid: 44 }
  - { secret: web/tls-crt }
onChange: { signal: SIGHUP }
onLeaseLoss: keep
leaseSeconds: 120
---
kind: Grant
group: plain
secrets: [{ secret: web/tls-crt }]
`;

async function withPolicy(t: TestContext): Promise<(...argv: string[]) => Promise<CliRun>> {
  const gateway = await startCliGateway();
  t.after(() => gateway[Symbol.asyncDispose]());
  const world = new CliWorld();
  t.after(() => world[Symbol.dispose]());
  world.env['COFFER_ADDR'] = gateway.server;
  world.env['COFFER_TOKEN'] = gateway.ownerToken;
  world.env['COFFER_PIN'] = gateway.pin;
  const run = async (...argv: string[]): Promise<CliRun> => {
    const at = argv.indexOf('<<<');
    if (at < 0) return await world.run(argv);
    return await world.run(argv.slice(0, at), { stdin: argv[at + 1] ?? '' });
  };
  for (const name of ['web/tls-key', 'web/tls-crt'])
    equal((await run('secret', 'generate', name)).code, 0);
  writeFileSync(world.path('policy.yaml'), `${groups}---\n${grants}`);
  const { code, stderr } = await run('apply', '-f', world.path('policy.yaml'));
  equal(code, 0, stderr);
  return run;
}

test('lists of groups and grants as YAML are the policy, and applying it changes nothing', async (t) => {
  const run = await withPolicy(t);
  const listed = [];
  for (const noun of ['group', 'grant']) {
    const { stdout } = await run(noun, 'list', '--all', '-o', 'yaml');
    listed.push(stdout);
  }
  const policy = listed.join('---\n');
  equal(policy.match(/^kind: /gm)?.length, 6);
  const same = await run('diff', '--prune', '-f', '-', '<<<', policy);
  deepEqual([same.code, same.stdout, same.stderr], [0, '', 'No differences.\n']);
  const applied = await run('apply', '--prune', '-f', '-', '-o', 'json', '<<<', policy);
  const { changes } = JSON.parse(applied.stdout) as { changes: { change: string }[] };
  deepEqual([...new Set(changes.map(({ change }) => change))], ['unchanged']);
  const other = policy.replace('leaseSeconds: 120', 'leaseSeconds: 121');
  const { code, stdout } = await run('diff', '--prune', '-f', '-', '-o', 'name', '<<<', other);
  deepEqual([code, stdout], [10, 'grant/web\n'], 'control');
});

test('one group or grant as YAML is a document, and a put shows the same', async (t) => {
  const run = await withPolicy(t);
  for (const [noun, name] of [
    ['group', 'web'],
    ['group', 'pods'],
    ['grant', 'web'],
  ] as const) {
    const { stdout } = await run(noun, 'get', name, '-o', 'yaml');
    match(stdout, /^kind: (Group|Grant)\n/);
    equal((await run('diff', '-f', '-', '<<<', stdout)).code, 0, stdout);
  }
  const put = await run('group', 'put', 'bare', '--node', 'node-2', '-o', 'yaml');
  equal(put.stdout, 'kind: Group\nname: bare\nmatch:\n  node: node-2\n');
});

test('where there is nothing it is said, and what is written is empty', async (t) => {
  const run = await withPolicy(t);
  const none = await run('group', 'list', '--prefix', 'none', '-o', 'yaml');
  deepEqual([none.code, none.stdout, none.stderr], [0, '', 'No groups found.\n']);
});

test('as JSON they are what the gateway says, with revision and warnings', async (t) => {
  const run = await withPolicy(t);
  const { stdout } = await run('group', 'get', 'web', '-o', 'json');
  const body = JSON.parse(stdout) as Record<string, unknown>;
  deepEqual(Object.keys(body).toSorted(), [
    'createdAt',
    'match',
    'members',
    'name',
    'revision',
    'warnings',
  ]);
});

test('apply -o name names each object; diff those that differ', async (t) => {
  const run = await withPolicy(t);
  const document =
    'kind: Group\nname: bare\nmatch: { node: node-3 }\n---\nkind: Group\nname: new\nmatch: { node: n }\n';
  const asNames = ['-f', '-', '-o', 'name', '<<<', `${document}---\n${groups.split('---\n')[0]}`];
  equal((await run('diff', ...asNames)).stdout, 'group/bare\ngroup/new\n');
  equal((await run('apply', '--dry-run=server', ...asNames)).stdout, 'group/bare\ngroup/new\n');
  equal((await run('apply', ...asNames)).stdout, 'group/bare\ngroup/new\ngroup/web\n');
});
