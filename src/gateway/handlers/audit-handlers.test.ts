/**
 * Goal: events tell of every change and every delivery, each to those alone who may read what it is about.
 * Method: real handlers over records in memory; deliveries are written on the log as delivery writes them.
 */
import { deepEqual, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import type { Principal } from '../../model/principal.ts';
import { gatewayPrincipal } from '../../model/principal.ts';
import type { OperationOutput } from '../../protocol/operations.ts';
import { bind, RequestRig } from '../../testing/request-rig.ts';

async function eventsSeenBy(
  rig: RequestRig,
  principal: Principal,
  happen: () => Promise<void>,
  count: number,
): Promise<readonly string[]> {
  const { output } = await rig.ask(principal, 'event.watch', {});
  const events = (output as unknown as AsyncIterable<OperationOutput<'event.watch'>>)[
    Symbol.asyncIterator
  ]();
  const first = events.next();
  await happen();
  const seen: string[] = [];
  for (let next = await first; next.done !== true; next = await events.next()) {
    const { kind, name, change } = next.value;
    seen.push(`${kind} ${name} ${change}`);
    if (seen.length === count) break;
  }
  await events.return?.();
  return seen;
}

function deliver(rig: RequestRig, action: string, resource: string, outcome = 'ok') {
  const entry = { principal: gatewayPrincipal, rule: '', requestId: '', detail: {} };
  const entries = [{ ...entry, action, resource, outcome }] as const;
  return rig.audit.commit({ writes: [], expectations: [], entries });
}

test('event.watch tells of changes that were made and of deliveries, also of those that failed', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const happen = async (): Promise<void> => {
    await rig.put(owner, 'payments/db', 'v');
    await rig.ask(owner, 'secret.get', { name: 'payments/db' });
    await rig.ask(owner, 'secret.promote', { name: 'payments/db' }).catch(() => undefined);
    await deliver(rig, 'delivery.assign', 'secrets/payments/db');
    await deliver(rig, 'delivery.receipt', 'workloads/wld_1', 'mount.full');
    await deliver(rig, 'delivery.claim', 'workloads/wld_1', 'workload.elsewhere');
    await rig.ask(owner, 'node.token', { name: 'node-1' });
  };
  deepEqual(await eventsSeenBy(rig, owner, happen, 4), [
    'secret payments/db put',
    'delivery payments/db assign',
    'delivery wld_1 receipt',
    'node node-1 token',
  ]);
});

test('event.watch is silent about secrets and workloads that the caller may not read', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const team = await rig.principal('team', bind('operator', 'events', 'secrets/team/**'));
  const happen = async (): Promise<void> => {
    await deliver(rig, 'delivery.assign', 'secrets/payments/db');
    await deliver(rig, 'delivery.receipt', 'workloads/wld_1');
    await rig.put(owner, 'payments/db', 'v');
    await deliver(rig, 'delivery.withdraw', 'secrets/team/db');
    await rig.put(owner, 'team/db', 'v');
  };
  deepEqual(await eventsSeenBy(rig, team, happen, 2), [
    'delivery team/db withdraw',
    'secret team/db put',
  ]);
});

test('audit.list gives changes alone, since a time, and the newest first', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  await rig.put(owner, 'payments/db', 'v');
  await rig.ask(owner, 'secret.get', { name: 'payments/db' });
  await rig.ask(owner, 'secret.promote', { name: 'payments/db' }).catch(() => undefined);
  await rig.ask(owner, 'secret.revoke', { name: 'payments/db' }, { dryRun: true });
  await rig.ask(owner, 'secret.revoke', { name: 'payments/db' });
  const list = async (input: object) => {
    const { output } = await rig.ask(owner, 'audit.list', input);
    return output.items.map(({ action, outcome }) => `${action} ${outcome}`);
  };
  const changed = ['secret.put ok', 'secret.revoke ok'];
  deepEqual(await list({ changes: true }), changed);
  deepEqual(await list({ changes: true, newestFirst: true }), changed.toReversed());
  deepEqual(await list({ changes: true, newestFirst: true, limit: 1 }), changed.slice(1));
  deepEqual(
    await list({ action: 'secret.*', resource: 'secrets/payments/*', outcome: 'dry-run' }),
    ['secret.revoke dry-run'],
  );
  deepEqual(await list({ since: '2999-01-01T00:00:00Z' }), []);
  deepEqual(await list({ since: '1970-01-01T00:00:00Z', changes: true }), changed);
  for (const wrong of [
    { since: '2026-02-99T00:00:00Z' },
    { since: 'yesterday' },
    { newestFirst: true, after: 1 },
  ]) {
    await rejects(list(wrong), { code: 'request.invalid' }, JSON.stringify(wrong));
  }
});

test('whoever goes on after what the log does not have is told so, instead of waiting for it', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  await rig.put(owner, 'payments/db', 'v');
  for (const operation of ['event.watch', 'audit.tail'] as const) {
    for (const beyond of [0, 1000]) {
      // A refusal is an entry, too.
      const { size } = rig.audit;
      const after = size + beyond;
      await rejects(rig.ask(owner, operation, { after }), {
        code: 'audit.beyond-end',
        detail: { after, size },
      });
    }
    await rig.ask(owner, operation, { after: rig.audit.size - 1 });
  }
});
