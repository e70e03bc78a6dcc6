/**
 * Goal: what is due is judged anew at the last moment, and sent whole: not to a container that ended
 * while its values were opened, not in a version that was replaced meanwhile; whatever is bad goes at
 * once; nothing is taken for in place that is not (G20).
 * Method: delivery over records in memory; what happens in between happens in the commit or in the
 * opening of a value. Controls: the same course without it.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { unknownTerms } from '../../model/assignment.ts';
import { parseSecretName } from '../../model/name.ts';
import { DeliveryRig, type TestNode, workload } from '../../testing/delivery-rig.ts';

/** Does something once, while the next assignment is being recorded. */
function whileRecording(rig: DeliveryRig, act: () => Promise<unknown>): void {
  const { audit } = rig.requests;
  const commit = audit.commit.bind(audit);
  let done = false;
  audit.commit = async (request) => {
    if (request.entries[0].action === 'delivery.assign' && !done) {
      done = true;
      await act();
      rig.delivery.changed();
    }
    return commit(request);
  };
}

/** One container with its set in place. */
async function inPlace(): Promise<{ rig: DeliveryRig; node: TestNode }> {
  const rig = await DeliveryRig.make();
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  rig.answer(node, 'placed');
  await rig.settle();
  equal(node.seen.length, 1);
  return { rig, node };
}

async function removeGrant(rig: DeliveryRig): Promise<void> {
  const ifRevision = rig.requests.policy.grant(rig.requests.name('api'))?.revision ?? 0;
  await rig.requests.ask(rig.owner, 'grant.delete', { group: 'api' }, { ifRevision });
  rig.delivery.changed();
}

test('a version that is replaced while its assignment is being recorded is not sent', async () => {
  const rig = await DeliveryRig.make();
  whileRecording(rig, () => rig.requests.put(rig.owner, 'payments/db', 'value 2'));
  const node = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  deepEqual(
    node.seen.map(({ files }) => files[0]?.text),
    ['value 2'],
  );
});

test('a container that is reported anew while its assignment is being recorded is served once', async () => {
  const rig = await DeliveryRig.make();
  const app = workload(1, 'node-1');
  whileRecording(rig, async () => {
    rig.delivery.workloadStopped('node-1', app.id);
    rig.delivery.workloadStarted('node-1', app);
  });
  const node = rig.connect('node-1', [app]);
  await rig.settle();
  rig.answer(node, 'placed');
  await rig.settle();
  equal(node.seen.length, 1);
  deepEqual(
    [...rig.delivery.holdings()].map(({ state }) => state),
    ['current'],
  );
});

test('a container that ends while its values are opened is sent nothing', async () => {
  for (const ends of [true, false]) {
    const rig = await DeliveryRig.make();
    const app = workload(1, 'node-1');
    const { values } = rig.requests;
    const open = values.openValue.bind(values);
    values.openValue = async (id, version) => {
      if (ends) rig.delivery.workloadStopped('node-1', app.id);
      return open(id, version);
    };
    const node = rig.connect('node-1', [app]);
    await rig.settle();
    equal(node.seen.length, ends ? 0 : 1);
  }
});

test('what is in place and bad goes at once; what is merely replaced may be read to its end', async () => {
  const name = 'payments/db';
  const revision = (rig: DeliveryRig) =>
    rig.requests.secrets.reader.find(parseSecretName(name))?.revision ?? 0;
  const ask = (
    rig: DeliveryRig,
    ...asked: Parameters<typeof rig.requests.ask> extends [unknown, ...infer More] ? More : never
  ) => rig.requests.ask(rig.owner, ...asked);
  const changes: readonly [
    string,
    boolean,
    (rig: DeliveryRig, node: TestNode) => Promise<unknown>,
  ][] = [
    ['replaced', false, (rig) => rig.requests.put(rig.owner, name, 'value 2')],
    ['not granted any more', false, removeGrant],
    ['revoked', true, (rig) => ask(rig, 'secret.revoke', { name, version: 1 })],
    ['deleted', true, (rig) => ask(rig, 'secret.delete', { name }, { ifRevision: revision(rig) })],
    [
      'revoked and replaced',
      true,
      async (rig) => {
        await rig.requests.put(rig.owner, name, 'value 2');
        await ask(rig, 'secret.revoke', { name, version: 1 });
      },
    ],
    [
      'unknown',
      true,
      async (rig, node) => {
        rig.answer(node, 'failed', { fault: 'mount.covered', terms: unknownTerms });
        rig.clock.advance(1000);
      },
    ],
  ];
  for (const [what, urgent, change] of changes) {
    const { rig, node } = await inPlace();
    await change(rig, node);
    rig.delivery.changed();
    await rig.settle();
    equal(node.seen.length, 2, what);
    equal(node.last.urgent, urgent, what);
  }
});

test('what nobody knows the content of is withdrawn when it is not due any more', async () => {
  const { rig, node } = await inPlace();
  rig.answer(node, 'failed', { fault: 'mount.covered', files: [], terms: unknownTerms });
  await removeGrant(rig);
  await rig.settle();
  deepEqual([node.seen.length, node.last.files], [2, []]);
});

test('the same file name for another secret is another file, also at the same version', async () => {
  const { rig, node } = await inPlace();
  await rig.requests.put(rig.owner, 'mail/other', 'another');
  const ifRevision = rig.requests.policy.grant(rig.requests.name('api'))?.revision ?? 0;
  const secrets = [{ secret: 'mail/other', file: 'db' }];
  const from = rig.requests.audit.size;
  await rig.requests.ask(rig.owner, 'grant.put', { group: 'api', secrets }, { ifRevision });
  rig.delivery.changed();
  await rig.settle();
  deepEqual(
    node.last.files.map(({ name, text }) => [name, text]),
    [['db', 'another']],
  );
  const recorded = rig.requests.audit.kept.slice(from + 1);
  deepEqual(
    recorded.map(({ action, resource }) => `${action} ${resource}`),
    ['delivery.assign secrets/mail/other', 'delivery.withdraw secrets/payments/db'],
  );
});

test('each of a set’s terms by itself is a change that is sent, without the value', async () => {
  const [secret, more] = [{ secret: 'payments/db' }, {}];
  const changes: readonly (readonly [object, object])[] = [
    [{ ...secret, mode: '0440' }, more],
    [{ ...secret, uid: 7 }, more],
    [{ ...secret, gid: 7 }, more],
    [secret, { leaseSeconds: 60 }],
    [secret, { onLeaseLoss: 'keep' }],
    [secret, { onChange: { signal: 'SIGHUP' } }],
  ];
  for (const [granted, terms] of [[secret, more] as const, ...changes]) {
    const { rig, node } = await inPlace();
    const ifRevision = rig.requests.policy.grant(rig.requests.name('api'))?.revision ?? 0;
    const grant = { group: 'api', secrets: [granted], ...terms };
    await rig.requests.ask(rig.owner, 'grant.put', grant, { ifRevision });
    rig.delivery.changed();
    await rig.settle();
    const isControl = granted === secret && terms === more;
    equal(node.seen.length, isControl ? 1 : 2, JSON.stringify(grant));
    if (!isControl) equal(node.last.files[0]?.text, 'keep');
  }
});

test('a receipt for an earlier set is no answer to the one that is on its way', async () => {
  const { rig, node } = await inPlace();
  const first = node.last;
  await rig.requests.put(rig.owner, 'payments/db', 'value 2');
  rig.delivery.changed();
  await rig.settle();
  const files = first.files.map(({ name, secretId, version }) => ({ name, secretId, version }));
  rig.answer(node, 'placed', { setRevision: first.setRevision, files, terms: first.terms });
  await rig.settle();
  equal(node.seen.length, 2, 'it is on its way still');
  rig.answer(node, 'placed');
  await rig.settle();
  equal(node.seen.length, 2);
});

test('what a node does not mention when it comes back is not there', async () => {
  const { rig, node } = await inPlace();
  const again = rig.connect('node-1', [workload(1, 'node-1')]);
  await rig.settle();
  equal(again.last.files[0]?.text, 'value 1', 'the set is sent anew');
  // The end of the connection before is no end of this one.
  rig.delivery.disconnected('node-1', node);
  rig.answer(again, 'placed');
  await rig.requests.put(rig.owner, 'payments/db', 'value 2');
  rig.delivery.changed();
  await rig.settle();
  equal(again.last.files[0]?.text, 'value 2');
  rig.connect('node-1', []);
  deepEqual([...rig.requests.policy.entitlements.workloadsOn('node-1')], [], 'nor is a container');
});

test('a node that is forgotten has no containers', async () => {
  const { rig } = await inPlace();
  rig.delivery.forgetNode('node-1');
  deepEqual([...rig.requests.policy.entitlements.workloadsOn('node-1')], []);
  deepEqual([...rig.delivery.holdings()], []);
});

test('a set that is too large for one message fails by itself', async () => {
  const rig = await DeliveryRig.make();
  const count = Math.ceil(limits.setBytesMax / limits.secretValueBytesMax) + 1;
  const names = Array.from({ length: count }, (_, index) => `payments/s${index}`);
  const text = 'x'.repeat(limits.secretValueBytesMax);
  for (const name of names) await rig.requests.put(rig.owner, name, text);
  const match = { docker: { name: 'other' } };
  await rig.requests.ask(rig.owner, 'group.put', { name: 'other', match });
  await rig.grant('other', names);
  const node = rig.connect('node-1', [workload(1, 'node-1', 'other'), workload(2, 'node-1')]);
  await rig.settle();
  deepEqual(
    node.seen.map(({ files }) => files.map(({ text: sent }) => sent)),
    [['value 1']],
    'the other container is served',
  );
  const failed = [...rig.delivery.holdings()].filter(({ state }) => state === 'failed');
  ok(failed.length === count && failed.every(({ fault }) => fault === 'limit.exceeded'));
});

test('a receipt that a node says again is recorded, and changes nothing of what came after', async () => {
  for (const isOlder of [true, false]) {
    const { rig, node } = await inPlace();
    const before = node.last.setRevision;
    await rig.requests.put(rig.owner, 'payments/db', 'value 2');
    rig.delivery.changed();
    await rig.settle();
    rig.answer(node, 'placed');
    await rig.settle();
    equal(node.seen.length, 2);
    const recorded = rig.requests.audit.kept.length;
    const files = { files: [], terms: '' };
    rig.answer(node, 'wiped', { ...files, ...(isOlder ? { setRevision: before } : {}) });
    await rig.settle();
    const { detail } = rig.requests.audit.kept[recorded] ?? {};
    deepEqual([detail?.['receipt'], node.seen.length], ['wiped', isOlder ? 2 : 3]);
  }
});
