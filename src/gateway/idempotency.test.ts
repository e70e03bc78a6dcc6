/**
 * Goal: a request that is repeated with its key is done once, and its first answer comes again; the
 * key is no way to see or use anything else.
 * Method: repeat requests through the real pipeline: at once, later, after a restart over the real
 * barrier and audit log, with other inputs and as others.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import { SecretValue } from '../model/secret-value.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { newOwner } from '../testing/new-owner.ts';
import { bind, FakeSystem, RequestRig, testSettings } from '../testing/request-rig.ts';
import { KeyFilePlace } from '../testing/unsealed-barrier.ts';
import { openCore } from './core.ts';
import { MemoryPhysical } from '../testing/memory-physical.ts';

const name = 'payments/db';
const idempotencyKey = 'a-key';

async function setUp(clock = new ManualClock()) {
  const rig = new RequestRig({ clock });
  return { clock, rig, owner: await rig.owner() };
}

const versionsOf = (rig: RequestRig): number =>
  rig.secrets.reader.find(parseSecretName(name))?.secret.versions.length ?? 0;

test('the same key and input give the first answer again, and do nothing again', async () => {
  const { rig, owner } = await setUp();
  const first = await rig.put(owner, name, 'value', { idempotencyKey });
  await rig.put(owner, name, 'meanwhile');
  const again = await rig.put(owner, name, 'value', { idempotencyKey });
  equal(again.replayed, true);
  deepEqual(again.output, first.output);
  equal(again.revision, first.revision);
  equal(versionsOf(rig), 2);
  deepEqual(rig.audit.kept.at(-1)?.detail, { replayed: 'true' });
  equal(rig.audit.kept.length, 3, 'one entry for each request');
});

test('another input, value, operation or revision is a mismatch, also after a change of mind', async () => {
  const { rig, owner } = await setUp();
  const { revision } = await rig.put(owner, name, 'value', { idempotencyKey });
  const code = 'idempotency.mismatch';
  await rejects(rig.put(owner, name, 'other', { idempotencyKey }), { code });
  await rejects(rig.put(owner, 'payments/other', 'value', { idempotencyKey }), { code });
  const more = { idempotencyKey, ifRevision: revision ?? 0 };
  await rejects(rig.put(owner, name, 'value', more), { code });
  await rejects(rig.ask(owner, 'secret.revoke', { name }, { idempotencyKey }), { code });
  equal(versionsOf(rig), 1);
});

test('an answer to one operation is none to another that takes the same input', async () => {
  const { rig, owner } = await setUp();
  const { revision = 0 } = await rig.put(owner, name, 'value');
  await rig.ask(owner, 'secret.restore', { name }, { idempotencyKey, ifRevision: revision });
  const asked = rig.ask(owner, 'secret.delete', { name }, { idempotencyKey, ifRevision: revision });
  await rejects(asked, { code: 'idempotency.mismatch' });
  await rig.ask(owner, 'secret.delete', { name }, { ifRevision: revision });
});

test('a rehearsal is a rehearsal, also with the key of what was done', async () => {
  const { rig, owner } = await setUp();
  await rig.put(owner, name, 'value', { idempotencyKey });
  const rehearsed = await rig.put(owner, name, 'value', { idempotencyKey, dryRun: true });
  deepEqual([rehearsed.replayed, rehearsed.output.current], [undefined, 2]);
  equal(rig.audit.kept.at(-1)?.outcome, 'dry-run');
  equal((await rig.put(owner, name, 'value', { idempotencyKey })).replayed, true, 'control');
});

test('a key is its principal’s own', async () => {
  const { rig, owner } = await setUp();
  const other = await rig.principal('other', bind('owner', '**'));
  await rig.put(owner, name, 'value', { idempotencyKey });
  const reply = await rig.put(other, name, 'value', { idempotencyKey });
  equal(reply.replayed, undefined);
  equal(versionsOf(rig), 2);
});

test('whoever lost the right gets no answer again', async () => {
  const { rig, owner } = await setUp();
  await rig.put(owner, name, 'value', { idempotencyKey });
  const principals = rig.records.view('principal');
  const gone = principals.remove(principals.nameId('user', owner.name));
  await rig.records.commit({ writes: [gone], expectations: [] });
  await rejects(rig.put(owner, name, 'value', { idempotencyKey }), { code: 'policy.denied' });
});

test('while the first request runs, the second is told so; one does it', async () => {
  const { rig, owner } = await setUp();
  const settled = await Promise.allSettled(
    Array.from({ length: 20 }, () => rig.put(owner, name, 'value', { idempotencyKey })),
  );
  const refused = settled.filter((outcome) => outcome.status === 'rejected');
  equal(refused.length, 19);
  for (const { reason } of refused) equal((reason as Fault).code, 'idempotency.in-flight');
  equal(versionsOf(rig), 1);
  equal((await rig.put(owner, name, 'value', { idempotencyKey })).replayed, true);
});

test('what failed, or was a rehearsal, is not kept: the key can be used again', async () => {
  const { rig, owner } = await setUp();
  await rejects(rig.ask(owner, 'secret.promote', { name }, { idempotencyKey }), {
    code: 'resource.unknown',
  });
  rig.audit.failure = new Fault('storage.full');
  await rejects(rig.put(owner, name, 'value', { idempotencyKey }), { code: 'storage.full' });
  rig.audit.failure = undefined;
  await rig.put(owner, name, 'value', { idempotencyKey, dryRun: true });
  equal((await rig.put(owner, name, 'value', { idempotencyKey })).replayed, undefined);
  equal(versionsOf(rig), 1);
});

test('a key is remembered for 24 hours, and outdated ones are cleaned up', async () => {
  const { clock, rig, owner } = await setUp();
  await rig.put(owner, name, 'value', { idempotencyKey });
  await rig.put(owner, name, 'value', { idempotencyKey: 'second' });
  clock.advance(limits.idempotencyMs - 1);
  equal((await rig.put(owner, name, 'value', { idempotencyKey })).replayed, true);
  clock.advance(1);
  equal((await rig.put(owner, name, 'value', { idempotencyKey })).replayed, undefined);
  const kept = rig.records.dump().match(/^idempotency\//gm)?.length;
  equal(kept, 1, 'the second key went with the first');
});

test('join tokens are not kept: a repeated request makes a new one', async () => {
  const { rig, owner } = await setUp();
  const ask = () => rig.ask(owner, 'node.token', { name: 'node-1' }, { idempotencyKey });
  const first = await ask();
  const second = await ask();
  equal(second.replayed, undefined);
  ok(first.output.token !== second.output.token);
  ok(!rig.records.dump().includes('idempotency/'));
});

test('no value and nothing plain of it is in what is kept', async () => {
  const { rig, owner } = await setUp();
  const canary = 'Zq7canaryX3';
  await rig.put(owner, name, canary, { idempotencyKey });
  const rows = rig.records
    .dump()
    .split('\n')
    .filter((row) => row.startsWith('idempotency/'));
  equal(rows.length, 1);
  const plain = Buffer.from(rows[0]?.split(' ')[2] ?? '', 'base64').toString('latin1');
  ok(plain.includes('payments/db'), 'control: the answer is there');
  ok(!plain.includes(canary));
  ok(!plain.includes(Buffer.from(canary).toString('base64')));
});

test('of an answer that is long is kept that it was given: not again, and not to another input', async () => {
  const { rig, owner } = await setUp();
  const documents = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      kind: 'Group' as const,
      name: parseName(`a-group-with-a-name-of-some-length-${index}`),
      match: { docker: { labels: { app: `a${index}` } } },
    }));
  const apply = (count: number, key: string) =>
    rig.ask(owner, 'policy.apply', { documents: documents(count) }, { idempotencyKey: key });
  const keptOf = (): number => {
    const rows = rig.records.dump().match(/^idempotency\/.*$/gm) ?? [];
    return Math.max(...rows.map((row) => Buffer.from(row.split(' ')[2] ?? '', 'base64').length));
  };
  const first = await apply(20, 'a-short-answer');
  deepEqual((await apply(20, 'a-short-answer')).output, first.output, 'control: a short one');
  await apply(2000, 'a-long-answer');
  const { revision } = rig.records;
  ok(keptOf() < limits.idempotencyRecordBytesMax);
  const entries = rig.audit.kept.length;
  await rejects(apply(2000, 'a-long-answer'), { code: 'idempotency.done', detail: { revision } });
  equal(rig.audit.kept.length, entries + 1);
  equal(rig.audit.kept.at(-1)?.outcome, 'idempotency.done');
  await rejects(apply(2001, 'a-long-answer'), { code: 'idempotency.mismatch' });
  equal((await apply(2000, 'another-key')).replayed, undefined);
});

async function startCore(place: KeyFilePlace, physical: MemoryPhysical) {
  const core = await openCore({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    physical,
    seal: { keyFile: place.keyFile },
    settings: () => testSettings,
    leaseMs: 600_000,
  });
  const rig = new RequestRig();
  const presence = { of: () => undefined, connected: 0 };
  const requests = core.connect({ presence, system: new FakeSystem(rig.audit) });
  if (core.barrier.state === 'empty') await core.barrier.initialise({ kind: 'keyfile' });
  else await core.barrier.unseal(Buffer.alloc(0));
  return { core, requests };
}

async function startWithOwner(place: KeyFilePlace, physical: MemoryPhysical) {
  const started = await startCore(place, physical);
  const { request, owner } = newOwner(started.core);
  await started.core.audit.commit(request);
  return { ...started, principal: owner };
}

test('the largest apply can carry a key, and others write on meanwhile', async () => {
  using place = new KeyFilePlace();
  const { core, requests, principal } = await startWithOwner(place, new MemoryPhysical());
  const names = Array.from({ length: 10_000 }, (_, index) => parseName(`app-${index}`));
  const documents = names.flatMap((group) => [
    { kind: 'Group' as const, name: group, match: { docker: { labels: { app: group } } } },
    { kind: 'Grant' as const, group, secrets: [{ secret: parseSecretName(name) }] },
  ]);
  const ask = { principal, requestId: 'r' };
  const put = (text: string) =>
    requests.handle({
      ...{ ...ask, operation: 'secret.put', input: { name } },
      value: SecretValue.copy(Buffer.from(text)),
    } as const);
  await put('one');
  const apply = () =>
    requests.handle({
      ...ask,
      operation: 'policy.apply',
      input: { documents },
      idempotencyKey,
    } as const);
  const [applied, second] = await Promise.all([apply(), put('two')]);
  equal(applied.output.changes.length, 20_000);
  ok((second.revision ?? 0) > 0);
  equal(core.audit.state, 'ready');
  equal(core.policy.grant(names[9999] ?? parseName('x'))?.value.secrets.length, 1);
  await rejects(apply(), { code: 'idempotency.done' });
  core.audit.close();
});

test('a key answers again after a restart', async () => {
  using place = new KeyFilePlace();
  const physical = new MemoryPhysical();
  const before = await startWithOwner(place, physical);
  const { principal } = before;
  const put = (requests: typeof before.requests, text: string) =>
    requests.handle({
      operation: 'secret.put',
      principal,
      input: { name },
      value: SecretValue.copy(Buffer.from(text)),
      requestId: 'r',
      idempotencyKey,
    });
  const first = await put(before.requests, 'value');
  equal(first.output.revision, first.revision);
  const size = before.core.audit.size;
  before.core.audit.close();

  const restarted = await startCore(place, physical);
  const again = await put(restarted.requests, 'value');
  deepEqual({ ...again, replayed: undefined }, { ...first, replayed: undefined });
  equal(again.replayed, true);
  await rejects(put(restarted.requests, 'other'), { code: 'idempotency.mismatch' });
  equal(restarted.core.audit.size, size + 2);
  const found = restarted.core.secrets.reader.find(parseSecretName(name));
  equal(found?.secret.versions.length, 1);
  restarted.core.audit.close();
});
