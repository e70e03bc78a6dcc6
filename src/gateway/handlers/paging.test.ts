/**
 * Goal: lists show everything that may be seen, once, in order, and nothing else; a cursor is of no
 * use to anyone but who was given it, for the list that it was given for.
 * Method: walk lists page by page through the real pipeline while things are put and taken in between;
 * change every character of a cursor; use it elsewhere.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import type { Principal } from '../../model/principal.ts';
import { factsOf, workloadIdOf } from '../policy/policy-samples.suite.ts';
import { bind, RequestRig } from '../../testing/request-rig.ts';

const names = Array.from({ length: 25 }, (_, index) => `team-${index % 5}/s${10 + index}`).sort();

async function setUp() {
  const rig = new RequestRig();
  const owner = await rig.owner();
  for (const name of names) await rig.put(owner, name, 'v');
  return { rig, owner };
}

async function walk(
  rig: RequestRig,
  principal: Principal,
  input: Readonly<Record<string, unknown>>,
  between: () => Promise<unknown> = async () => undefined,
): Promise<string[]> {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await rig.ask(principal, 'secret.list', {
      ...input,
      ...(cursor === undefined ? {} : { cursor }),
    });
    seen.push(...page.output.items.map((item) => item.name));
    cursor = page.output.nextCursor;
    await between();
  } while (cursor !== undefined);
  return seen;
}

test('pages together are the whole list, whatever their size, and a full last page has no cursor', async () => {
  const { rig, owner } = await setUp();
  for (const limit of [1, 4, 5, 24, 25, 26, 500]) {
    deepEqual(await walk(rig, owner, { limit }), names, `${limit}`);
  }
  const last = await rig.ask(owner, 'secret.list', { limit: 25 });
  equal(last.output.nextCursor, undefined);
  deepEqual(
    await walk(rig, owner, { limit: 2, prefix: 'team-3/' }),
    names.filter((name) => name.startsWith('team-3/')),
  );
});

test('what is put or deleted while paging makes nothing else missing or double', async () => {
  const { rig, owner } = await setUp();
  let count = 0;
  const seen = await walk(rig, owner, { limit: 3 }, async () => {
    count++;
    // Before and after every place that the walk can be at, and one that it has passed goes.
    await rig.put(owner, `aaa/n${count}`, 'v');
    if (count < 4) await rig.put(owner, `zeta/n${count}`, 'v');
    const listed = [...rig.secrets.reader.list({ prefix: 'aaa/', after: '' })];
    const there = listed.filter(({ secret }) => secret.deletedAtMs === undefined);
    for (const { secret, revision } of there.slice(0, 1)) {
      await rig.ask(owner, 'secret.delete', { name: secret.name }, { ifRevision: revision });
    }
  });
  deepEqual(seen, [...names, 'zeta/n1', 'zeta/n2', 'zeta/n3']);
});

test('a list shows what its reader may see, and its cursor shows nothing', async () => {
  const { rig } = await setUp();
  const reader = await rig.principal('reader', bind('writer', 'secrets/team-2/**'));
  const own = names.filter((name) => name.startsWith('team-2/'));
  deepEqual(await walk(rig, reader, { limit: 2 }), own);
  const page = await rig.ask(reader, 'secret.list', { limit: 2 });
  const text = Buffer.from(page.output.nextCursor ?? '', 'base64url').toString('latin1');
  ok(!text.includes('team'));
});

test('a cursor is refused if anything about it is different', async () => {
  const { rig, owner } = await setUp();
  const other = await rig.principal('other', bind('owner', '**'));
  const page = await rig.ask(owner, 'secret.list', { limit: 2 });
  const cursor = page.output.nextCursor ?? '';
  const ask = (principal: Principal, input: object) =>
    rig.ask(principal, 'secret.list', { limit: 2, ...input });
  await ask(owner, { cursor });
  await ask(owner, { cursor, limit: 7 });
  const code = 'request.invalid';
  await rejects(ask(other, { cursor }), { code });
  await rejects(ask(owner, { cursor, prefix: 'team' }), { code });
  await rejects(rig.ask(owner, 'group.list', { cursor }), { code });
  for (let index = 0; index < cursor.length; index++) {
    const changed = `${cursor.slice(0, index)}${cursor[index] === 'A' ? 'B' : 'A'}${cursor.slice(index + 1)}`;
    await rejects(ask(owner, { cursor: changed }), { code }, `${index}`);
  }
  for (const wrong of ['x', `${cursor}A`, `${cursor}=`, ` ${cursor}`, cursor.slice(1)]) {
    await rejects(ask(owner, { cursor: wrong }), { code });
  }
});

test('the other lists page as well', async () => {
  const { rig, owner } = await setUp();
  for (const name of ['g1', 'g2', 'g3']) {
    await rig.ask(owner, 'group.put', { name, match: { docker: { name } } });
    await rig.ask(owner, 'grant.put', { group: name, secrets: [{ secret: 'team-0/s10' }] });
    await rig.ask(owner, 'node.token', { name: `n-${name}` });
  }
  rig.holdings = ['a', 'b', 'c'].map((file) => ({
    workload: 'api',
    workloadId: `wld_${file}`,
    node: 'node-1',
    secret: 'team-0/s10',
    file,
    version: 1,
    wanted: 1,
    state: 'current',
  }));
  const operations = [
    'group.list',
    'grant.list',
    'node.list',
    'holding.list',
    'audit.list',
  ] as const;
  for (const operation of operations) {
    const whole = await rig.ask(owner, operation, { limit: 3 });
    const first = await rig.ask(owner, operation, { limit: 2 });
    const cursor = first.output.nextCursor ?? '';
    const second = await rig.ask(owner, operation, { limit: 1, cursor });
    deepEqual([...first.output.items, ...second.output.items], whole.output.items, operation);
  }
});

test('a page looks at a bounded number of names, and the next goes on from there', async () => {
  const rig = new RequestRig();
  const reader = await rig.principal('reader', bind('writer', 'secrets/zz/**'));
  const total = limits.pageScanMax + 10;
  const apply = rig.secrets.projection.apply.bind(rig.secrets.projection);
  const owner = await rig.owner();
  await rig.put(owner, 'zz/last', 'v');
  const [row = ''] = rig.records
    .dump()
    .split('\n')
    .filter((line) => line.startsWith('secret/'));
  const template = Buffer.from(row.split(' ')[2] ?? '', 'base64').toString();
  for (let index = 0; index < total; index++) {
    const bytes = Buffer.from(template.replace('zz/last', `aa/n${index}`));
    apply({ id: `${index}`, revision: 1, bytes });
  }
  const first = await rig.ask(reader, 'secret.list', {});
  equal(first.output.items.length, 0);
  ok(first.output.nextCursor !== undefined);
  deepEqual(await walk(rig, reader, {}), ['zz/last']);
});

test('a page of workloads, or how many there are, costs what it shows and not what there is', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const count = 20_000;
  let looked = 0;
  for (let number = 0; number < count; number += 1) {
    const facts = { ...factsOf({ node: number < 300 ? 'small' : 'large' }) };
    const id = workloadIdOf(number);
    Object.defineProperty(facts, 'id', {
      enumerable: true,
      get: () => {
        looked += 1;
        return id;
      },
    });
    rig.policy.entitlements.setWorkload(facts);
  }
  const lookedBy = async (ask: () => Promise<unknown>): Promise<number> => {
    const before = looked;
    await ask();
    return looked - before;
  };
  const list = (input: object) => rig.ask(owner, 'workload.list', { ...input });
  ok((await lookedBy(() => list({}))) >= count, 'control: the first page sorts all, once');
  let { output } = await list({ limit: 50 });
  for (let page = 0; page < 5; page += 1) {
    const { nextCursor } = output;
    const next = async () => ({ output } = await list({ limit: 50, cursor: nextCursor }));
    ok((await lookedBy(next)) < 1000);
    equal(output.items[0]?.id, workloadIdOf((page + 1) * 50));
  }
  ok((await lookedBy(() => list({ node: 'small', limit: 50 }))) < 300 * 20, 'what is on the node');
  const status = await rig.ask(owner, 'system.status', {});
  equal(status.output.workloads, count);
  equal(await lookedBy(() => rig.ask(owner, 'system.status', {})), 0);
});

test('lists of groups, grants, nodes and workloads are narrowed by what they are asked for', async () => {
  const { rig, owner } = await setUp();
  for (const name of ['api', 'api-2', 'web']) {
    await rig.ask(owner, 'group.put', { name, match: { docker: { name: `${name}-*` } } });
    const secret = name === 'web' ? 'team-0/s10' : 'team-1/s11';
    await rig.ask(owner, 'grant.put', { group: name, secrets: [{ secret }] });
    await rig.ask(owner, 'node.token', { name });
  }
  for (const [number, name] of ['api-1', 'api-9', 'web-1'].entries()) {
    const labels = { tier: name === 'api-1' ? 'backend' : 'front' };
    rig.policy.entitlements.setWorkload(factsOf({ id: workloadIdOf(number + 1), name, labels }));
  }
  type Listed = { readonly name?: string; readonly group?: string };
  const names = async (operation: 'group.list', input: object): Promise<readonly unknown[]> =>
    (await rig.ask(owner, operation, { ...input })).output.items.map(
      (item: Listed) => item.name ?? item.group,
    );
  const list = names as (operation: string, input: object) => Promise<readonly unknown[]>;
  deepEqual(await list('group.list', { prefix: 'api' }), ['api', 'api-2']);
  deepEqual(await list('grant.list', { prefix: 'api-' }), ['api-2']);
  deepEqual(await list('grant.list', { secret: 'team-0/s10' }), ['web']);
  deepEqual(await list('node.list', { state: 'revoked' }), []);
  deepEqual(await list('workload.list', { prefix: 'api-' }), ['api-1', 'api-9']);
  deepEqual(await list('workload.list', { selector: 'tier=front' }), ['api-9', 'web-1']);
  deepEqual(await list('workload.list', { selector: 'tier=front', group: 'api' }), ['api-9']);
});
