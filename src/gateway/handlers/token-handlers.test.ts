/**
 * Goal: a token is shown once and kept as a hash; it gives what was asked and no more than its maker has
 * (V4, V6, G17); once revoked or over it is good for nothing, also in streams that began before (V5).
 * Method: the real pipeline over records in memory. Controls: the same request by who may, or before.
 */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import type { Principal } from '../../model/principal.ts';
import { bind, RequestRig } from '../../testing/request-rig.ts';

const ci = { name: 'ci', role: 'writer', paths: ['secrets/payments/**'] };

async function created(rig: RequestRig, owner: Principal, more: object = {}) {
  const { output } = await rig.ask(owner, 'token.create', { ...ci, ...more });
  return { token: output.token, principal: await rig.identity.authenticate(output.token, 'test') };
}

test('a token does what its role allows on its paths, is kept as a hash, and is listed', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const { token, principal } = await created(rig, owner);
  match(token, /^coffer_[0-9a-f]{32}_[A-Za-z0-9_-]{43}$/);
  deepEqual([principal.kind, principal.name], ['machine', 'ci']);
  await rig.put(principal, 'payments/db', 'v');
  await rejects(rig.put(principal, 'mail/db', 'v'), { code: 'policy.denied' });
  await rejects(rig.ask(principal, 'token.create', { ...ci, name: 'x' }), {
    code: 'policy.denied',
  });
  const secret = token.slice(-43);
  ok(!rig.records.dump().includes(secret) && !JSON.stringify(rig.audit.kept).includes(secret));
  const { output } = await rig.ask(owner, 'token.list', {});
  deepEqual(
    output.items.map(({ name, kind, bindings, endsAt }) => [name, kind, bindings, endsAt]),
    [
      ['ci', 'machine', [{ role: 'writer', paths: ['secrets/payments/**'] }], undefined],
      ['owner', 'user', [{ role: 'owner', paths: ['**'] }], undefined],
    ],
  );
  const entry = rig.audit.kept.find(({ action }) => action === 'token.create');
  equal(entry?.resource, 'tokens/ci');
  deepEqual(entry?.detail['role'], 'writer');
  await rejects(rig.ask(owner, 'token.create', ci), { code: 'principal.exists' });
  await rejects(rig.ask(owner, 'token.create', { ...ci, name: 'owner' }), {
    code: 'principal.exists',
  });
});

test('whoever has a token may ask who they are, and hears of nobody else', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const { principal } = await created(rig, owner, { hours: 1 });
  const { output: self } = await rig.ask(principal, 'token.whoami', {});
  deepEqual(
    [self.name, self.kind, self.method, self.bindings],
    ['ci', 'machine', 'token', [{ role: 'writer', paths: ['secrets/payments/**'] }]],
  );
  const all = await rig.ask(owner, 'token.list', {});
  equal(self.endsAt, all.output.items.find(({ name }) => name === 'ci')?.endsAt);
  const entry = rig.audit.kept.find(({ action }) => action === 'token.whoami');
  deepEqual([entry?.rule, entry?.outcome], ['self', 'ok']);
  await rejects(rig.ask(principal, 'token.list', {}), { code: 'policy.denied' }, 'control');
  const { output: lasting } = await rig.ask(owner, 'token.whoami', {});
  deepEqual([lasting.name, lasting.endsAt], ['owner', undefined]);
});

test('nobody gives what they do not have', async () => {
  const rig = new RequestRig();
  const maker = await rig.principal(
    'maker',
    bind('owner', 'tokens/**', 'secrets/payments/**'),
    bind('operator', 'groups/*'),
  );
  const ask = (role: string, ...paths: string[]) =>
    rig.ask(maker, 'token.create', { name: `t${rig.audit.size}`, role, paths });
  const code = 'policy.denied';
  for (const [role, ...paths] of [
    ['owner', '**'],
    ['owner', 'secrets/**'],
    ['writer', 'secrets/*/db'],
    ['writer', 'secrets/payments/db', 'secrets/mail/db'],
    ['writer', 'groups/api'],
    ['operator', 'groups/**'],
    ['operator', 'groups/a/b'],
    ['owner', 'groups/api'],
  ] as const) {
    await rejects(ask(role, ...paths), { code }, `${role} ${paths.join(' ')}`);
    equal(rig.audit.kept.at(-1)?.outcome, 'denied');
  }
  equal(rig.identity.tokens.list().length, 1);
  await ask('owner', 'secrets/payments/**');
  await ask('writer', 'secrets/payments/*/db', 'secrets/payments/a');
  await ask('operator', 'groups/api');
  await ask('operator', 'groups/*');
  equal(rig.identity.tokens.list().length, 5, 'control: what they have, they give');
});

test('what is revoked is good for nothing from then on; its name is free, its id is not', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const { token, principal } = await created(rig, owner);
  await rig.put(principal, 'payments/db', 'v');
  const { output } = await rig.ask(owner, 'token.revoke', { name: 'ci' });
  equal(output.id, principal.id);
  await rejects(rig.identity.authenticate(token, 'test'), { code: 'auth.failed' });
  // Also for who was let in a moment before.
  await rejects(rig.put(principal, 'payments/db', 'w'), { code: 'policy.denied' });
  await rejects(rig.ask(owner, 'token.revoke', { name: 'ci' }), { code: 'resource.unknown' });
  const again = await created(rig, owner);
  ok(again.principal.id !== principal.id);
  await rejects(rig.put(principal, 'payments/db', 'w'), { code: 'policy.denied' });
  await rig.put(again.principal, 'payments/db', 'w');
});

test('a token ends when it should', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const { token, principal } = await created(rig, owner, { hours: 2 });
  const { clock } = rig as unknown as { readonly clock: { advance(byMs: number): void } };
  clock.advance(2 * 3_600_000 - 1);
  await rig.put(principal, 'payments/db', 'v');
  clock.advance(1);
  await rejects(rig.identity.authenticate(token, 'test'), { code: 'auth.failed' });
  await rejects(rig.put(principal, 'payments/db', 'v'), { code: 'policy.denied' });
  const { output } = await rig.ask(owner, 'token.list', {});
  ok((output.items.find(({ name }) => name === 'ci')?.endsAt ?? '') > '', 'it is listed still');
});

test('the last who may do everything for ever cannot be revoked, nor two by each other', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const code = 'token.last-owner';
  await rejects(rig.ask(owner, 'token.revoke', { name: 'owner' }), { code });
  const everything = { role: 'owner', paths: ['**'] };
  await rig.ask(owner, 'token.create', { ...everything, name: 'brief', hours: 1 });
  await rig.ask(owner, 'token.create', { role: 'auditor', paths: ['**'], name: 'auditor' });
  await rejects(rig.ask(owner, 'token.revoke', { name: 'owner' }), { code });
  const other = await created(rig, owner, { ...everything, name: 'other' });
  const outcomes = await Promise.allSettled([
    rig.ask(owner, 'token.revoke', { name: 'other' }),
    rig.ask(other.principal, 'token.revoke', { name: 'owner' }),
  ]);
  equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  const names = rig.identity.tokens.list().map(({ principal }) => principal.name);
  equal(names.filter((name) => name === 'owner' || name === 'other').length, 1);
});

test('a stream ends with the right to it', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const { principal } = await created(rig, owner, { name: 'w', role: 'auditor', paths: ['**'] });
  const { output } = await rig.ask(principal, 'audit.tail', {});
  const events = (output as unknown as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  const first = events.next();
  await rig.put(owner, 'payments/db', 'v');
  equal((await first).done, false, 'control: before, it goes on');
  const next = events.next();
  await rig.ask(owner, 'token.revoke', { name: 'w' });
  await rejects(next, { code: 'policy.denied' });
  await events.return?.();
});
