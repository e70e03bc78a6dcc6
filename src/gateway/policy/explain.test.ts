/**
 * Goal: explanations and warnings say what is delivered, what comes nearest, and what cannot come at all.
 * Method: the whole room over records in memory, asked about groups that match, nearly match or collide.
 */
import { deepEqual, doesNotMatch, equal, match, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import type { Group, GroupMatch } from '../../model/group.ts';
import type { PolicyDocument } from './policy.ts';
import { api, apiGrant, setUp } from './policy-room.suite.ts';
import { factsOf, name, secret, workloadIdOf } from './policy-samples.suite.ts';

test('whoever asks for pods hears that no node reports any, until one does', async () => {
  const { policy, commit } = setUp();
  const pods: Group = { name: name('pods'), match: { kubernetes: { namespace: 'payments' } } };
  const both = ['matches-nothing', 'kubernetes-unreported'];
  const docker = factsOf({
    id: workloadIdOf(1),
    kubernetes: { namespace: 'payments', pod: 'api-1', podUid: 'u', container: 'app' },
  });
  policy.entitlements.setWorkload(docker);
  deepEqual(policy.plans.putGroup(pods).preview.warnings, both, 'Docker knows pods by labels only');
  deepEqual(policy.plans.putDocuments([{ kind: 'Group', ...pods }]).changes[0]?.warnings, both);
  await commit(policy.plans.putGroup(pods));
  await commit(policy.plans.putGrant({ ...apiGrant, group: pods.name }));
  deepEqual(policy.group(pods.name)?.warnings, both);
  const explained = (): string =>
    policy
      .explainAccess(docker.id, secret('payments/db'))
      .steps.map((step) => step.because)
      .join();
  match(explained(), /kubernetes-unreported: no node reports pods/);

  const other = { ...docker, id: workloadIdOf(2), runtime: 'containerd' as const };
  policy.entitlements.setWorkload({
    ...other,
    kubernetes: { ...docker.kubernetes!, namespace: 'x' },
  });
  deepEqual(policy.group(pods.name)?.warnings, ['matches-nothing'], 'pods are reported now');
  doesNotMatch(explained(), /kubernetes-unreported/);
  policy.entitlements.removeWorkload(other.id);
  deepEqual(policy.group(pods.name)?.warnings, both);
});

test('explainAccess and whoReceives refuse a name that nothing knows, and answer for one that is granted', async () => {
  const { policy, commit } = setUp(['payments/db']);
  policy.entitlements.setWorkload(factsOf({ name: 'api-1' }));
  const id = workloadIdOf(1);
  for (const ask of [
    () => policy.whoReceives(secret('payments/nope')),
    () => policy.explainAccess(id, secret('payments/nope')),
  ]) {
    throws(ask, { code: 'resource.unknown', detail: { resource: 'secrets/payments/nope' } });
  }
  deepEqual(policy.whoReceives(secret('payments/db')), { groups: [], workloads: [], warnings: [] });
  await commit(policy.plans.putGroup(api));
  const early = { ...apiGrant, secrets: [{ secret: secret('payments/later') }] };
  await commit(policy.plans.putGrant(early));
  const { groups, warnings } = policy.whoReceives(secret('payments/later'));
  deepEqual([groups, warnings], [['api'], ['secret-unknown: payments/later']]);
  equal(policy.explainAccess(id, secret('payments/later')).allowed, false);
  deepEqual(policy.grant(api.name)?.warnings, ['secret-unknown: payments/later']);
});

test('explainAccess: what allows, what collides, what nearly matches, and what else the workload has', async () => {
  const { policy, commit } = setUp(['payments/db', 'mail/db', 'top/ungranted']);
  policy.entitlements.setWorkload(factsOf({ name: 'api-1', labels: { tier: 'front' } }));
  const group = (text: string, match: GroupMatch): PolicyDocument => ({
    kind: 'Group',
    name: name(text),
    match,
  });
  const grant = (text: string, given: string): PolicyDocument => ({
    kind: 'Grant',
    group: name(text),
    secrets: [{ secret: secret(given) }],
  });
  await commit(
    policy.plans.putDocuments([
      group('a-api', { docker: { name: 'api-*' } }),
      grant('a-api', 'payments/db'),
      group('b-late', { docker: { name: 'api-1' } }),
      grant('b-late', 'mail/db'),
      group('c-far', { node: 'node-9', docker: { name: 'web', labels: { tier: 'back' } } }),
      grant('c-far', 'payments/db'),
      group('d-near', { docker: { name: 'api-*', labels: { tier: 'back' } } }),
      grant('d-near', 'payments/db'),
      group('e-bare', { docker: {} }),
    ]),
  );
  const id = workloadIdOf(1);
  const yes = policy.explainAccess(id, secret('payments/db'));
  deepEqual(
    [yes.allowed, yes.steps.map((step) => [step.rule, step.verdict])],
    [
      true,
      [
        ['grant a-api', 'allows'],
        ['grant d-near', 'does-not-match'],
        ['grant c-far', 'does-not-match'],
      ],
    ],
  );
  equal(
    yes.steps[1]?.because,
    '1 of 3 conditions do not hold: docker.labels.tier is "front", not "back"',
  );
  const collision = policy.explainAccess(id, secret('mail/db'));
  equal(collision.allowed, false);
  ok(
    collision.steps[0]?.because.startsWith(
      'grant.file-collision: /run/secrets/db is given by group a-api',
    ),
  );
  const none = policy.explainAccess(id, secret('top/ungranted'));
  deepEqual(
    none.steps.map((step) => step.rule),
    ['default', 'grant a-api', 'grant b-late', 'grant e-bare'],
  );
  throws(() => policy.explainAccess(workloadIdOf(9), secret('a')), { code: 'resource.unknown' });

  deepEqual(policy.whoReceives(secret('payments/db')), {
    groups: ['a-api', 'c-far', 'd-near'],
    workloads: [{ id, name: 'api-1', node: 'node-1', group: 'a-api', file: 'db' }],
    warnings: [],
  });
  deepEqual(
    policy.whoReceives(secret('mail/db')).workloads,
    [],
    'a file that collides is received by nobody',
  );
});
