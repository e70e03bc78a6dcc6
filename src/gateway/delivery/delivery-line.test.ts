/**
 * Goal: what policy wants is what containers read, by way of decision, record, message, mount and receipt;
 * only what changed is sent; nobody gets what is another node's (G20); what should leave, leaves.
 * Method: both ends of the stream real, over virtual time; the log and the storage in memory.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import { parseSecretName } from '../../model/name.ts';
import type { WorkloadFacts } from '../../model/workload.ts';
import { LineRig } from '../../testing/line-rig.ts';
import type { SimConnection } from '../../testing/sim-network.ts';
import type { SimNode } from '../../testing/sim-node.ts';

interface Setting {
  readonly rig: LineRig;
  readonly node: SimNode;
  readonly app: WorkloadFacts;
}

async function running(): Promise<Setting> {
  const rig = await LineRig.make();
  const node = await rig.node('node-a');
  return { rig, node, app: await rig.container(node) };
}

test('a secret is recorded, sent, placed and acknowledged, in this order; its value is wiped', async () => {
  const rig = await LineRig.make();
  const node = await rig.node('node-a');
  const from = rig.requests.audit.size;
  let recorded: readonly string[] = [];
  node.kernel.before = () => (recorded = rig.actions(from));
  const app = await rig.container(node);
  deepEqual(rig.read(node, app), { db: 'one' });
  deepEqual(recorded, ['delivery.assign']);
  deepEqual(rig.actions(from), ['delivery.assign', 'delivery.receipt']);
  deepEqual(rig.holdings(), ['db 1/1 current']);
  for (const value of rig.opened) throws(() => value.use((bytes) => bytes), /wiped/);
});

test('a rotation reaches every container, and costs one value each', async () => {
  const { rig, node, app } = await running();
  const other = await rig.container(node, 'api-2');
  rig.counts.sent = 0;
  await rig.put('shop/db', 'two');
  await rig.time.pass(500);
  deepEqual([rig.read(node, app), rig.read(node, other)], [{ db: 'two' }, { db: 'two' }]);
  equal(rig.counts.sent, 2);
  deepEqual(rig.holdings(), ['db 2/2 current', 'db 2/2 current']);
});

test('the first rotation after a start of the gateway is not overlooked', async () => {
  const { rig, node, app } = await running();
  rig.restartGateway();
  await rig.time.pass(5000);
  deepEqual(rig.holdings(), ['db 1/1 current']);
  await rig.put('shop/db', 'two');
  await rig.time.pass(1000);
  deepEqual(rig.read(node, app), { db: 'two' });
});

test('what is revoked, deleted, not granted or not of the group any more is withdrawn', async () => {
  const ways: readonly ((rig: LineRig) => Promise<void>)[] = [
    (rig) => rig.ask('secret.revoke', { name: 'shop/db' }),
    (rig) =>
      rig.ask(
        'secret.delete',
        { name: 'shop/db' },
        rig.requests.secrets.reader.find('shop/db' as never)?.revision,
      ),
    (rig) => rig.removeGrant('api'),
    (rig) => rig.group('api', 'nobody'),
  ];
  for (const withdraw of ways) {
    const { rig, node, app } = await running();
    const from = rig.requests.audit.size;
    await withdraw(rig);
    await rig.time.pass(500);
    deepEqual(rig.read(node, app), {});
    deepEqual([...node.kernel.mounts], []);
    const [, ...after] = rig.actions(from);
    deepEqual(after, ['delivery.withdraw', 'delivery.receipt']);
  }
});

test('two directories are two sets: one changes without the other', async () => {
  const { rig, node, app } = await running();
  await rig.put('shop/key', 'k');
  await rig.group('all', '*');
  await rig.grant('all', [{ secret: 'shop/key' }], { target: '/run/secrets/keys' });
  await rig.time.pass(500);
  deepEqual(rig.read(node, app, '/run/secrets/keys'), { key: 'k' });
  rig.counts.sent = 0;
  await rig.put('shop/key', 'l');
  await rig.time.pass(500);
  deepEqual(
    [rig.read(node, app), rig.read(node, app, '/run/secrets/keys')],
    [{ db: 'one' }, { key: 'l' }],
  );
  equal(rig.counts.sent, 1);
});

test('another file, another mode, another lease: what is in place is not sent again', async () => {
  const { rig, node, app } = await running();
  await rig.put('shop/key', 'k');
  rig.counts.sent = 0;
  await rig.grant('api', [{ secret: 'shop/db' }, { secret: 'shop/key' }]);
  await rig.time.pass(500);
  deepEqual(
    [rig.read(node, app), { ...rig.counts }],
    [
      { db: 'one', key: 'k' },
      { sent: 1, kept: 1 },
    ],
  );
  const from = rig.requests.audit.size;
  await rig.grant('api', [{ secret: 'shop/db', mode: '0440' }, { secret: 'shop/key' }], {
    leaseSeconds: 60,
  });
  await rig.time.pass(500);
  deepEqual(rig.counts, { sent: 1, kept: 3 });
  const [mount] = node.kernel.mounts.values();
  equal(mount?.files.get('db')?.mode, 0o440);
  ok(rig.actions(from).includes('delivery.terms'));
});

test('a container that was restarted is another, and gets what is due to it', async () => {
  const { rig, node, app } = await running();
  node.stopContainer(app.id);
  await rig.time.pass(500);
  deepEqual(rig.holdings(), []);
  const again = await rig.container(node);
  ok(again.id !== app.id && again.containerId === app.containerId);
  deepEqual(rig.read(node, again), { db: 'one' });
});

test('after a reconnection only the difference is sent', async () => {
  const { rig, node, app } = await running();
  await rig.put('shop/key', 'k');
  await rig.grant('api', [{ secret: 'shop/db' }, { secret: 'shop/key' }]);
  await rig.time.pass(500);
  Object.assign(rig.counts, { sent: 0, kept: 0 });
  rig.network.cut('node-a');
  await rig.time.pass(5000);
  deepEqual(rig.counts, { sent: 0, kept: 0 });
  rig.network.cut('node-a');
  await rig.put('shop/key', 'l');
  await rig.time.pass(5000);
  deepEqual(rig.counts, { sent: 1, kept: 1 });
  deepEqual(rig.read(node, app), { db: 'one', key: 'l' });
});

test('what happened to a container while the enforcer was dead is found and mended', async () => {
  const { rig, node, app } = await running();
  node.killEnforcer();
  await rig.removeGrant('api');
  await rig.time.pass(1000);
  deepEqual(rig.read(node, app), { db: 'one' });
  node.startEnforcer();
  await rig.time.pass(5000);
  deepEqual(rig.read(node, app), {});
});

test('a set of which nobody knows the content is replaced, or withdrawn when nothing is due', async () => {
  for (const due of [true, false]) {
    const { rig, node, app } = await running();
    node.killEnforcer();
    node.disk.remembered = undefined;
    if (!due) await rig.removeGrant('api');
    node.startEnforcer();
    await rig.time.pass(4000);
    deepEqual(rig.read(node, app), due ? { db: 'one' } : {});
  }
});

test('a mount that fails is tried again with growing pauses; what was there stays', async () => {
  const { rig, node, app } = await running();
  const tries: number[] = [];
  node.kernel.before = (what) => {
    if (what !== 'place') return;
    tries.push(rig.time.nowMs);
    throw new Fault('mount.full');
  };
  await rig.put('shop/db', 'two');
  await rig.time.pass(20_000);
  const pauses = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
  ok(tries.length >= 4 && tries.length <= 6, `${tries.length} tries in 20 s`);
  ok(pauses.every((pause, index) => index === 0 || pause > 1.5 * (pauses[index - 1] ?? 0)));
  deepEqual(rig.read(node, app), { db: 'one' });
  deepEqual(rig.holdings(), ['db 1/2 failed mount.full']);
  node.kernel.before = () => {};
  await rig.time.pass(40_000);
  deepEqual(rig.read(node, app), { db: 'two' });
  deepEqual(rig.holdings(), ['db 2/2 current']);
});

test('holdings that are asked for are found by secret, node and workload; also what should leave', async () => {
  const { rig, node, app } = await running();
  await rig.put('shop/key', 'k');
  await rig.grant('api', [{ secret: 'shop/db' }, { secret: 'shop/key' }]);
  await rig.time.pass(500);
  node.kernel.before = () => {
    throw new Fault('mount.full');
  };
  await rig.grant('api', [{ secret: 'shop/db' }]);
  await rig.time.pass(500);
  const all = rig.holdings();
  equal(all.length, 2);
  for (const asked of [
    { secret: parseSecretName('shop/key') },
    { secret: parseSecretName('shop/db') },
    { node: node.name },
    { workload: app.name },
    { workload: app.id },
    { from: app.id },
  ]) {
    deepEqual(rig.holdings(asked), all, JSON.stringify(asked));
  }
  for (const asked of [
    { secret: parseSecretName('shop/other') },
    { node: 'node-z' },
    { workload: 'other' },
    { from: `${app.id}0` },
  ]) {
    deepEqual(rig.holdings(asked), [], JSON.stringify(asked));
  }
});

test('a value that does not open keeps nothing in place that should leave', async () => {
  const { rig, node, app } = await running();
  await rig.put('shop/leaked', 'l');
  await rig.grant('api', [{ secret: 'shop/db' }, { secret: 'shop/leaked' }]);
  await rig.time.pass(500);
  rig.opening = () => {
    throw new Fault('barrier.corrupt');
  };
  await rig.put('shop/db', 'two');
  await rig.time.pass(500);
  deepEqual(rig.read(node, app), { db: 'one', leaked: 'l' });
  await rig.ask('secret.revoke', { name: 'shop/leaked' });
  await rig.time.pass(10_000);
  deepEqual(rig.read(node, app), { db: 'one' });
  // Where the old version of the same secret is the bad one, it goes too.
  await rig.ask('secret.revoke', { name: 'shop/db', version: 1 });
  await rig.time.pass(30_000);
  deepEqual(rig.read(node, app), {});
  rig.opening = () => {};
  await rig.time.pass(120_000);
  deepEqual(rig.read(node, app), { db: 'two' });
});

test('a node gets nothing for a container of another node, whatever it says, and changes nothing there', async () => {
  const { rig, node, app } = await running();
  const thief = await rig.node('node-b');
  const from = rig.requests.audit.size;
  const before = rig.holdings();
  rig.counts.sent = 0;
  // In its hello, as a start, as a stop, and as a receipt that says that nothing is there.
  const [mount] = node.kernel.mounts.values();
  thief.claim(app);
  await rig.time.pass(1000);
  rig.network.cut('node-b');
  await rig.time.pass(5000);
  const { delivery } = rig;
  delivery.workloadStopped('node-b', app.id);
  const said = { workloadId: app.id, target: '/run/secrets', setRevision: 1_000_000, files: [] };
  delivery.receipt('node-b', { ...said, terms: '', outcome: 'gone', fault: '', tookUs: 0 });
  await rig.time.pass(5000);
  equal(rig.counts.sent, 0);
  deepEqual([...thief.kernel.mounts], []);
  deepEqual([rig.holdings(), rig.read(node, app)], [before, { db: 'one' }]);
  equal([...node.kernel.mounts.values()][0], mount, 'not even placed again');
  const recorded = rig.actions(from).filter((action) => !/^node\.(dis)?connect$/.test(action));
  ok(recorded.every((action) => action === 'delivery.claim workload.elsewhere'));
  ok(recorded.length >= 4);
});

test('while nothing can be recorded nothing is sent; afterwards everything that is due', async () => {
  const { rig, node, app } = await running();
  await rig.put('shop/db', 'two');
  rig.requests.audit.failure = new Fault('storage.full');
  rig.counts.sent = 0;
  const from = rig.requests.audit.size;
  await rig.time.pass(10_000);
  deepEqual([rig.counts.sent, rig.read(node, app)], [0, { db: 'one' }]);
  rig.requests.audit.failure = undefined;
  await rig.time.pass(3000);
  deepEqual([rig.counts.sent, rig.read(node, app)], [1, { db: 'two' }]);
  deepEqual(rig.actions(from), ['delivery.assign', 'delivery.receipt']);
});

test('what was revoked leaves though nothing can be recorded, and is recorded afterwards', async () => {
  for (const state of ['read-only', 'rollback-suspected', 'sealed'] as const) {
    const { rig, node, app } = await running();
    await rig.put('shop/leaked', 'l');
    await rig.grant('api', [{ secret: 'shop/db' }, { secret: 'shop/leaked' }]);
    await rig.time.pass(500);
    const { audit } = rig.requests;
    await rig.put('shop/db', 'two');
    await rig.ask('secret.revoke', { name: 'shop/leaked' });
    const from = audit.size;
    [audit.failure, audit.state] = [new Fault('storage.full'), state];
    await rig.time.pass(10_000);
    // Controls: nothing new is given meanwhile, and of a store that is suspected or closed nothing follows.
    const there = state === 'read-only' ? { db: 'one' } : { db: 'one', leaked: 'l' };
    deepEqual(rig.read(node, app), there, state);
    deepEqual(rig.actions(from), []);
    [audit.failure, audit.state] = [undefined, 'ready'];
    rig.delivery.changed();
    await rig.time.pass(3000);
    deepEqual(rig.read(node, app), { db: 'two' }, state);
    const recorded = rig.actions(from);
    ok(recorded.indexOf('delivery.withdraw') < recorded.indexOf('delivery.receipt'), state);
    equal(recorded.filter((action) => action === 'delivery.withdraw').length, 1, state);
  }
});

test('what replaced a revoked value is not given while nothing can be recorded; the value leaves', async () => {
  const { rig, node, app } = await running();
  const { audit } = rig.requests;
  await rig.put('shop/db', 'two');
  await rig.ask('secret.revoke', { name: 'shop/db', version: 1 });
  [audit.failure, audit.state] = [new Fault('storage.failed'), 'read-only'];
  await rig.time.pass(10_000);
  deepEqual(rig.read(node, app), {});
  [audit.failure, audit.state] = [undefined, 'ready'];
  await rig.time.pass(3000);
  deepEqual(rig.read(node, app), { db: 'two' });
});

test('receipts that come while nothing can be recorded are recorded later, in order', async () => {
  const { rig, node } = await running();
  const from = rig.requests.audit.size;
  const { commit } = rig.requests.audit;
  rig.requests.audit.commit = (request) => {
    if (request.entries[0].action === 'delivery.receipt') {
      return Promise.reject(new Fault('storage.full'));
    }
    return commit.call(rig.requests.audit, request);
  };
  await rig.container(node, 'api-2');
  await rig.container(node, 'api-3');
  deepEqual(rig.actions(from), ['delivery.assign', 'delivery.assign']);
  rig.requests.audit.commit = commit;
  await rig.time.pass(2000);
  const names = rig.requests.audit.kept.slice(from + 2).map(({ detail }) => detail['container']);
  deepEqual(names, ['api-2', 'api-3']);
});

test('a connection that was full is served again when there is room', async () => {
  const { rig, node, app } = await running();
  const { gatewayEnd } = rig.network.connection('node-a') as SimConnection;
  let queuedBytes = 9 * 1024 * 1024;
  Object.defineProperty(gatewayEnd, 'queuedBytes', { get: () => queuedBytes });
  await rig.put('shop/db', 'two');
  await rig.time.pass(1000);
  deepEqual(rig.read(node, app), { db: 'one' }, 'held back');
  queuedBytes = 0;
  // No message was exchanged in between that could have shown that it is full.
  await rig.time.pass(5000);
  deepEqual(rig.read(node, app), { db: 'two' });
});

test('a node is shown the next checkpoint only when it has answered the last', async () => {
  const { rig } = await running();
  const { audit } = rig.requests;
  ok(audit.size > 0);
  const connection = rig.network.connection('node-a') as SimConnection;
  let shown = 0;
  const { send } = connection.gatewayEnd;
  connection.gatewayEnd.send = function counting(bytes) {
    if (Buffer.from(bytes).includes('log\n0\n')) shown += 1;
    send.call(this, bytes);
  };
  const noAnswer = connection.enforcerEnd.send;
  connection.enforcerEnd.send = function mute(bytes) {
    // Leases are answered, checkpoints are not.
    if (bytes.length < 16) noAnswer.call(this, bytes);
  };
  await rig.time.pass(5 * 60_000);
  equal(shown, 1);
});
