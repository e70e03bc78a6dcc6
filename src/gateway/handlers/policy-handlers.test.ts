/**
 * Goal: a change of policy says what it is about: to who makes it, and on the audit log.
 * Method: real handlers over records in memory, as the owner.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { factsOf } from '../policy/policy-samples.suite.ts';
import { RequestRig } from '../../testing/request-rig.ts';

const api = { name: 'api', match: { docker: { name: 'api-*' } } };
const group = { kind: 'Group', ...api };
const grant = (mode: string) => ({ group: 'api', secrets: [{ secret: 'payments/db', mode }] });

test('policy.apply names on the audit log which groups and grants it changed, and not those it left', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const detailOf = async (documents: readonly object[]): Promise<unknown> => {
    await rig.ask(owner, 'policy.apply', { documents });
    return rig.audit.kept.at(-1)?.detail;
  };
  const documents = [group, { kind: 'Grant', ...grant('0400') }];
  deepEqual(await detailOf(documents), { create: '2', changed: 'group/api grant/api' });
  deepEqual(await detailOf(documents), {});
  const changed = [group, { kind: 'Grant', ...grant('0440') }];
  deepEqual(await detailOf(changed), { update: '1', changed: 'grant/api' });
});

test('policy.apply of very many documents names the first and counts the rest, within one fact', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const documents = Array.from({ length: 300 }, (_, at) => ({ ...group, name: `group-${at}` }));
  await rig.ask(owner, 'policy.apply', { documents });
  const { changed = '', create } = rig.audit.kept.at(-1)?.detail ?? {};
  equal(create, '300');
  ok(changed.length <= 512, `${changed.length}`);
  const named = changed.split(' ').filter((word) => word.startsWith('group/')).length;
  match(changed, new RegExp(` and ${300 - named} more$`));
});

test('grant.put says who is affected by what, rehearsed or done, and warns of a secret that is not there', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  rig.policy.entitlements.setWorkload(factsOf({ name: 'api-1' }));
  await rig.ask(owner, 'group.put', api);
  const rehearsed = await rig.ask(owner, 'grant.put', grant('0400'), { dryRun: true });
  const done = await rig.ask(owner, 'grant.put', grant('0400'), { idempotencyKey: 'k-1' });
  const one = { workload: 'api-1', node: 'node-1', gains: ['payments/db'], loses: [], updates: [] };
  for (const { output } of [rehearsed, done]) {
    deepEqual([output.impact, output.impactTotal], [[one], 1]);
    deepEqual(output.warnings, ['secret-unknown: payments/db']);
  }
  const { revision: ifRevision = 0 } = done;
  const wider = await rig.ask(owner, 'grant.put', grant('0440'), { ifRevision });
  deepEqual(wider.output.impact, [{ ...one, gains: [], updates: ['mode'] }]);
  await rig.put(owner, 'payments/db', 'v');
  const { output } = await rig.ask(owner, 'grant.get', { group: 'api' });
  deepEqual(output.warnings, []);
});

test('access.explain and access.who-can say when there is nothing to deliver, whatever grants say', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const { id } = factsOf({ name: 'api-1' });
  rig.policy.entitlements.setWorkload(factsOf({ name: 'api-1' }));
  await rig.put(owner, 'payments/db', 'v');
  await rig.ask(owner, 'policy.apply', { documents: [group, { kind: 'Grant', ...grant('0400') }] });
  const asked = { workload: id, secret: 'payments/db' };
  const explained = async () => (await rig.ask(owner, 'access.explain', asked)).output;
  const receivers = async () =>
    (await rig.ask(owner, 'access.who-can', { secret: 'payments/db' })).output;
  equal((await explained()).allowed, true);
  deepEqual((await receivers()).warnings, []);
  await rig.ask(owner, 'secret.revoke', { name: 'payments/db' });
  const { allowed, steps } = await explained();
  equal(allowed, false);
  match(steps[0]?.because ?? '', /^version 1, the current one, is revoked/);
  equal(steps[1]?.verdict, 'allows', 'the grant is not to blame');
  match((await receivers()).warnings[0] ?? '', /^secret-withheld: version 1/);
});
