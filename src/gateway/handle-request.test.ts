/**
 * Goal: no request runs unrecorded, none runs unallowed, each leaves exactly one entry, and what is
 * written is written with its entry or not at all.
 * Method: drive the real pipeline, with real secrets, policy and identity over records in memory, and
 * compare the audit log and the records with what was answered.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { anonymousFrom } from '../model/principal.ts';
import { SecretValue } from '../model/secret-value.ts';
import { parseSecretName } from '../model/name.ts';
import { bind, RequestRig } from '../testing/request-rig.ts';

const name = 'payments/db-password';
const outcomes = (rig: RequestRig): string[] => rig.audit.kept.map((entry) => entry.outcome);

test('a put is committed with its entry, answers the revision, and is read back without the value', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const reply = await rig.put(owner, name, 'one');
  equal(reply.revision, rig.records.revision);
  equal(reply.output.revision, reply.revision);
  deepEqual([reply.output.current, reply.output.versions.length], [1, 1]);
  const [entry] = rig.audit.kept;
  equal(entry?.resource, `secrets/${name}`);
  equal(entry?.rule, 'owner');
  deepEqual(entry?.detail, { secretId: reply.output.id, version: '1', stage: 'current' });
  const read = await rig.ask(owner, 'secret.get', { name });
  deepEqual(read.output, reply.output);
  deepEqual(outcomes(rig), ['ok', 'ok']);
});

test('what no rule allows is recorded as denied and does not run', async () => {
  const rig = new RequestRig();
  const writer = await rig.principal('wes', bind('writer', 'secrets/payments/**'));
  await rejects(rig.put(writer, 'mail/password', 'x'), { code: 'policy.denied' });
  await rejects(rig.ask(writer, 'secret.delete', { name }), { code: 'policy.denied' });
  equal(rig.secrets.reader.size, 0);
  deepEqual(outcomes(rig), ['denied', 'denied']);
  await rig.put(writer, name, 'x');
  equal(rig.secrets.reader.size, 1, 'control: what is allowed runs');
});

test('what does not parse, is misused or fails is recorded once, with its code', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const value = (): SecretValue => SecretValue.copy(Buffer.from('v'));
  await rejects(rig.ask(owner, 'secret.get', { name: 'Payments' }), { code: 'request.invalid' });
  await rejects(rig.ask(owner, 'secret.get', { name }, { value: value() }), {
    code: 'request.invalid',
  });
  await rejects(rig.ask(owner, 'secret.put', { name }), { code: 'request.invalid' });
  await rejects(rig.ask(owner, 'secret.get', { name }), { code: 'resource.unknown' });
  await rejects(rig.ask(owner, 'secret.get', { name }, { dryRun: true }), {
    code: 'request.invalid',
  });
  const wrong = ['request.invalid', 'request.invalid', 'request.invalid'];
  deepEqual(outcomes(rig), [...wrong, 'resource.unknown', 'request.invalid']);
});

test('the value is wiped whatever happens, and so is its copy in the plan', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const nobody = anonymousFrom('test');
  const cases = [
    { principal: owner, input: { name } },
    { principal: owner, input: { name: '//' } },
    { principal: nobody, input: { name } },
  ];
  for (const { principal, input } of cases) {
    const bytes = Buffer.from('canary');
    const value = SecretValue.own(bytes);
    await rig.ask(principal, 'secret.put', input, { value }).catch(() => undefined);
    deepEqual(bytes, Buffer.alloc(6));
  }
  const commit = rig.audit.commit.bind(rig.audit);
  const seen: Uint8Array[] = [];
  rig.audit.commit = async (request) => {
    for (const { kind, bytes } of request.writes) if (kind === 'value' && bytes) seen.push(bytes);
    return commit(request);
  };
  await rig.put(owner, name, 'second');
  equal(seen.length, 1);
  ok(seen[0]?.every((byte) => byte === 0));
});

test('when nothing can be recorded, nothing is done or answered', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  await rig.put(owner, name, 'one');
  const before = rig.records.dump();
  for (const code of ['storage.full', 'storage.failed', 'audit.rollback-suspected'] as const) {
    rig.audit.failure = new Fault(code);
    await rejects(rig.put(owner, name, 'two'), { code });
    await rejects(rig.ask(owner, 'secret.get', { name }), { code });
    await rejects(rig.ask(owner, 'secret.list', {}), { code });
    const status = await rig.ask(owner, 'system.status', {});
    equal(status.output.secrets, 1, 'what mends the gateway can still be asked');
  }
  // What fails for another reason is no reason to go unrecorded.
  rig.audit.failure = new Fault('gateway.busy');
  await rejects(rig.ask(owner, 'system.status', {}), { code: 'gateway.busy' });
  equal(rig.records.dump(), before);
  rig.audit.failure = undefined;
  rig.audit.state = 'sealed';
  await rejects(rig.ask(owner, 'secret.get', { name }), { code: 'barrier.sealed' });
});

test('revisions: stale is 412, missing is 428 for what exists, and 0 means it must be new', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const first = await rig.put(owner, name, 'one', { ifRevision: 0 });
  await rejects(rig.put(owner, name, 'two', { ifRevision: 0 }), { code: 'request.stale' });
  await rejects(rig.ask(owner, 'secret.delete', { name }), {
    code: 'request.precondition-required',
  });
  await rig.ask(owner, 'secret.delete', { name }, { ifRevision: first.revision ?? -1 });
  const group = { name: 'api', match: { docker: { name: 'api' } } };
  const created = await rig.ask(owner, 'group.put', group);
  await rejects(rig.ask(owner, 'group.put', group), { code: 'request.precondition-required' });
  const more = { ifRevision: created.revision ?? -1 };
  const same = await rig.ask(owner, 'group.put', group, more);
  equal(same.revision, created.revision, 'nothing changed, so the revision stays');
});

test('concurrent puts on one secret all succeed, one version each', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  await Promise.all(Array.from({ length: 6 }, (_, index) => rig.put(owner, name, `v${index}`)));
  const secret = rig.secrets.reader.find(parseSecretName(name))?.secret;
  deepEqual(
    secret?.versions.map((version) => version.number),
    [1, 2, 3, 4, 5, 6],
  );
  equal(outcomes(rig).filter((outcome) => outcome === 'ok').length, 6);
  equal(rig.audit.kept.length, 6, 'attempts that lost leave no entry');
});

test('of concurrent changes with one revision exactly one succeeds', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const { revision } = await rig.put(owner, name, 'one');
  const more = { ifRevision: revision ?? -1 };
  const settled = await Promise.allSettled(
    Array.from({ length: 10 }, (_, index) => rig.put(owner, name, `v${index}`, more)),
  );
  const refused = settled.filter((outcome) => outcome.status === 'rejected');
  equal(refused.length, 9);
  for (const { reason } of refused) equal((reason as Fault).code, 'request.stale');
});

test('a dry run answers what would be and writes only its entry', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  const reply = await rig.put(owner, name, 'one', { dryRun: true });
  equal(reply.output.current, 1);
  equal(rig.secrets.reader.size, 0);
  deepEqual(outcomes(rig), ['dry-run']);
  await rejects(rig.ask(owner, 'node.token', { name: 'n' }, { dryRun: true }), {
    code: 'request.invalid',
  });
});

test('a dry run of what commits by itself, or acts afterwards, does neither', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  rig.audit.state = 'rollback-suspected';
  const accept = (more: object) =>
    rig.ask(owner, 'system.accept-rollback', { reason: 'a restored backup' }, more);
  await accept({ dryRun: true });
  deepEqual([rig.audit.state, outcomes(rig)], ['rollback-suspected', ['dry-run']]);
  await accept({});
  equal(rig.audit.state, 'ready', 'control');
  await rig.ask(owner, 'system.seal', {}, { dryRun: true });
  equal(rig.audit.state, 'ready');
});

test('a crash is a bug: recorded once, shown as nothing else', async () => {
  const rig = new RequestRig({
    change: (handlers) => ({
      ...handlers,
      'secret.get': () => {
        throw new TypeError('canary in a message');
      },
      'secret.list': () => ({
        output: () => {
          throw new TypeError('canary in a message');
        },
      }),
    }),
  });
  const owner = await rig.owner();
  await rejects(rig.ask(owner, 'secret.get', { name }), { code: 'gateway.bug' });
  await rejects(rig.ask(owner, 'secret.list', {}), { code: 'gateway.bug' });
  deepEqual(outcomes(rig), ['gateway.bug', 'ok']);
  equal(rig.logLines.length, 2);
  for (const line of rig.logLines) ok(!line.includes('canary'), line);
});

test('one principal cannot use up the gateway, and its throttled requests do not fill the log', async () => {
  const rig = new RequestRig({ rate: { perSecond: 10, burst: 5 } });
  const owner = await rig.owner();
  const other = await rig.principal('other', bind('owner', '**'));
  const asked = Array.from({ length: 100 }, () => rig.ask(owner, 'secret.list', {}));
  const settled = await Promise.allSettled(asked);
  equal(settled.filter((outcome) => outcome.status === 'fulfilled').length, 5);
  ok(rig.audit.kept.length <= 5 + 10);
  await rig.ask(other, 'secret.list', {});
});

test('system operations: sealing comes after its entry, unsealing works while sealed', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  await rig.ask(owner, 'system.seal', {});
  equal(rig.audit.kept.at(-1)?.action, 'system.seal');
  equal(rig.audit.state, 'sealed');
  const nobody = anonymousFrom('test');
  const sealed = await rig.ask(nobody, 'system.seal-status', {});
  equal(sealed.output.sealed, true);
  const unseal = (text: string) =>
    rig.ask(nobody, 'system.unseal', {}, { value: SecretValue.copy(Buffer.from(text)) });
  equal((await unseal('sesame')).output.sealed, true);
  equal((await unseal('open sesame')).output.sealed, false);
  const entry = rig.audit.kept.at(-1);
  equal(entry?.action, 'system.unseal');
  deepEqual(entry?.detail, {}, 'control: nobody failed');
  const { output } = await rig.ask(owner, 'system.rotate-root-key', {});
  deepEqual(output, { keyId: '2', remaining: 7 });
});

test('who tried to unseal in vain is in the log of the gateway, and on the audit log afterwards', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  await rig.ask(owner, 'system.seal', {});
  const unseal = (text: string, source: string) =>
    rig.ask(
      anonymousFrom(source),
      'system.unseal',
      {},
      {
        value: SecretValue.copy(Buffer.from(text)),
      },
    );
  for (let count = 0; count < 40; count += 1) {
    await rejects(unseal(`guess ${count}`, `10.0.0.${count % 20}`), {
      code: 'seal.wrong-material',
    });
  }
  equal(rig.logLines.filter((line) => line.includes('unseal.failed')).length, 40);
  equal(rig.logLines.join('').includes('guess'), false);
  // Strangers who fill what is listed of strangers.
  await unseal('open sesame', '10.1.1.1');
  const entry = rig.audit.kept.at(-1);
  equal(entry?.action, 'system.unseal');
  equal(entry?.principal.source, '10.1.1.1');
  equal(entry?.detail['failed'], '40');
  equal(entry?.detail['from']?.split(' ').length, 16, 'as many sources as are of use');
  for (let count = 0; count < 40; count += 1) {
    await rejects(rig.ask(anonymousFrom('flood'), 'secret.list', {}), { code: 'auth.required' });
  }
  await rig.ask(owner, 'system.seal', {});
  await unseal('open sesame', '10.1.1.2');
  equal(rig.audit.kept.at(-1)?.principal.source, '10.1.1.2', 'no flood keeps it off the log');
  deepEqual(rig.audit.kept.at(-1)?.detail, {}, 'each is told once');
});
