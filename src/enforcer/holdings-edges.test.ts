/**
 * Goal: what happens between two steps, comes late, or was made of a mount by others changes no promise
 * of `Holdings`: nothing outlives its lease, nothing goes back, no receipt says more than is there.
 * Method: real holdings over a kernel in memory; what happens in the middle of a step happens in the
 * kernel's call. Controls: the same course without what comes between.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Fault } from '../base/fault.ts';
import { unknownTerms } from '../model/assignment.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { EnforcerRig, leaseMs } from '../testing/enforcer-rig.ts';

const kinds = (rig: EnforcerRig): (string | undefined)[] =>
  rig.changes.map((change) => change.split(' ')[0]);

test('a word of the gateway after a silence saves nothing whose lease had ended', async () => {
  for (const [silentMs, left] of [
    [leaseMs - 1, { db: 'one' }],
    [leaseMs, {}],
  ] as const) {
    const rig = new EnforcerRig();
    const app = await rig.container();
    await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
    rig.time.jump(silentMs);
    rig.holdings.heard();
    await rig.time.pass(1);
    deepEqual(rig.read(app), left, `after ${silentMs} ms`);
  }
});

test('what ended while an earlier step took long is wiped before the next step', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.changes.length = 0;
  rig.failing = (what) => {
    if (what !== 'place') return;
    rig.failing = () => {};
    rig.time.jump(leaseMs);
  };
  const place = (target: string) =>
    rig.holdings.assign(rig.set(app, [rig.file('x', 1, 'x')], { target }));
  await Promise.all([place('/run/slow'), place('/run/next')]);
  deepEqual(kinds(rig), ['place', 'withdraw', 'withdraw', 'place']);
  deepEqual([rig.read(app), rig.read(app, '/run/slow')], [{}, {}]);
  deepEqual(rig.read(app, '/run/next'), { x: 'x' });
});

test('a wipe that was due is not done to the set that came in between', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.failing = () => {
    rig.failing = () => {};
    rig.time.jump(leaseMs);
    // Queues the wipe of what is there still, behind the step that replaces it.
    rig.holdings.heard();
  };
  const next = [rig.file('db', 2, 'two')];
  equal((await rig.holdings.assign(rig.set(app, next))).outcome, 'placed');
  await rig.time.pass(1);
  deepEqual(rig.read(app), { db: 'two' });
  await rig.time.pass(leaseMs);
  deepEqual(rig.read(app), {}, 'control: its own lease ends it');
});

test('an assignment from before a withdrawal is stale, though newer than what was withdrawn', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  const late = rig.set(app, [rig.file('db', 2, 'two')]);
  await rig.holdings.assign(rig.set(app, []));
  deepEqual([(await rig.holdings.assign(late)).outcome, rig.read(app)], ['stale', {}]);
  const next = rig.set(app, [rig.file('db', 3, 'three')]);
  equal((await rig.holdings.assign(next)).outcome, 'placed', 'control');
});

test('a restarted enforcer takes no older set than the one that it found', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const old = rig.set(app, [rig.file('db', 1, 'one')]);
  await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  await rig.restart(app);
  deepEqual([(await rig.holdings.assign(old)).outcome, rig.read(app)], ['stale', { db: 'two' }]);
});

test('a set at another revision than was remembered is reported as unknown', async () => {
  for (const [by, files] of [
    [0, 1],
    [-1, 0],
  ] as const) {
    const rig = new EnforcerRig();
    const app = await rig.container();
    await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
    const { remembered } = rig;
    const holdings = remembered?.holdings.map((holding) => ({
      ...holding,
      setRevision: holding.setRevision + by,
    }));
    ok(remembered && holdings);
    rig.remembered = { ...remembered, holdings };
    await rig.restart(app);
    equal(rig.holdings.held[0]?.files.length, files);
    equal(rig.holdings.held[0]?.terms === unknownTerms, by !== 0);
  }
});

test('the watchdog knows on which lease a set is before the set is there', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const happened: unknown[] = [];
  rig.failing = (what) => {
    if (what === 'place') happened.push(what);
  };
  rig.written = async () => {
    const holdings = rig.remembered?.holdings.map(({ leaseMs, files }) => [leaseMs, files.length]);
    await setImmediate();
    happened.push(...(holdings ?? []));
  };
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')], { leaseMs: 5000 }));
  await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')], { leaseMs: 7000 }));
  deepEqual(happened, [[5000, 0], 'place', [7000, 0], 'place']);
  deepEqual(rig.remembered?.holdings[0]?.files.length, 1, 'control: afterwards, with its files');
  happened.length = 0;
  await rig.holdings.assign(rig.set(app, [rig.file('db', 3, 'three')], { leaseMs: 7000 }));
  deepEqual(happened, ['place'], 'what the watchdog knows already is not waited for');
});

test('a receipt says placed only of what the container sees', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const assign = async (state: ReturnType<typeof rig.kernel.shown>, signals: 'SIGHUP'[] = []) => {
    rig.kernel.shown = () => state;
    const set = rig.set(app, [rig.file('db', 1, 'one')], { signals });
    const { outcome, fault, files, terms } = await rig.holdings.assign(set);
    return [outcome, fault, files.length, terms];
  };
  deepEqual(await assign('in-place'), ['placed', '', 1, 'terms'], 'control');
  for (const state of ['altered', 'over-mounted', 'unmounted'] as const) {
    deepEqual(await assign(state, ['SIGHUP']), ['failed', 'mount.covered', 0, unknownTerms], state);
  }
  deepEqual((await assign('gone', ['SIGHUP']))[0], 'gone');
  deepEqual(rig.signalled, [], 'nobody is told to read what is not there');
});

test('a mount that somebody inside covered is reported once, and as holding nothing', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  deepEqual(await rig.holdings.tampered(), [], 'control');
  for (const state of ['over-mounted', 'altered', 'unmounted'] as const) {
    rig.kernel.shown = () => 'in-place';
    await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
    rig.told.length = 0;
    rig.kernel.shown = () => state;
    for (let look = 0; look < 2; look++) deepEqual(await rig.holdings.tampered(), [app.id], state);
    deepEqual(
      rig.told.map(({ outcome, fault, files }) => [outcome, fault, files.length]),
      [['failed', 'mount.covered', 0]],
    );
    deepEqual(rig.holdings.held[0]?.files, []);
  }
});

test('a set that follows a wiped one is a change, whoever wiped it, also after restarts', async () => {
  const wiped: Readonly<Record<string, (rig: EnforcerRig, app: WorkloadFacts) => unknown>> = {
    'by the watchdog': (rig) => rig.kernel.mounts.clear(),
    'at its lease’s end': (rig) => rig.time.pass(leaseMs + 500),
    'by the gateway': (rig, app) => rig.holdings.assign(rig.set(app, [])),
  };
  for (const [how, wipe] of Object.entries(wiped)) {
    for (const restarts of [0, 1, 2]) {
      const rig = new EnforcerRig();
      const app = await rig.container();
      const next = (version: number) =>
        rig.set(app, [rig.file('db', version, `v${version}`)], { signals: ['SIGHUP'] });
      await rig.holdings.assign(next(1));
      deepEqual(rig.signalled, [], 'control: the first set is no change');
      await wipe(rig, app);
      for (let restart = 0; restart < restarts; restart += 1) await rig.restart(app);
      deepEqual(rig.read(app), {});
      equal((await rig.holdings.assign(next(2))).outcome, 'placed');
      deepEqual([rig.read(app), rig.signalled], [{ db: 'v2' }, ['app SIGHUP']], how);
    }
  }
});

test('what was in the places of a container is forgotten with it', async () => {
  const rig = new EnforcerRig();
  const [app, other] = [await rig.container('app'), await rig.container('other')];
  for (const workload of [app, other]) {
    await rig.holdings.assign(rig.set(workload, [rig.file('db', 1, 'one')]));
  }
  await rig.restart(other);
  const places = () => rig.remembered?.newest.map(({ workloadId }) => workloadId);
  deepEqual(places(), [app.id, other.id], 'control: of one that was not found yet it is kept');
  await rig.holdings.stopped(app.id);
  deepEqual(places(), [other.id]);
  await rig.holdings.stopped(other.id);
  deepEqual(places(), []);
});

test('a mount that cannot be looked at is neither gone nor tampered with, and hides no other', async () => {
  const rig = new EnforcerRig();
  const [app, other] = [await rig.container('app'), await rig.container('other')];
  for (const workload of [app, other]) {
    await rig.holdings.assign(rig.set(workload, [rig.file('db', 1, 'one')]));
  }
  rig.kernel.shown = (id) => {
    if (id.startsWith(app.id)) throw new Fault('mount.failed');
    return 'over-mounted';
  };
  deepEqual(await rig.holdings.tampered(), [other.id]);
  deepEqual(
    rig.holdings.held.map(({ files }) => files.length),
    [1, 0],
  );
  // A set that could not be changed: whether it is there still, nobody can say, so nobody does.
  rig.failing = () => {
    throw new Fault('mount.full');
  };
  const failed = await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  deepEqual([failed.fault, failed.files, failed.terms], ['mount.full', [], unknownTerms]);
});

test('a look that ends in a bug is no look', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.kernel.shown = () => {
    throw new TypeError('the mount thread has ended');
  };
  await rejects(rig.holdings.tampered(), TypeError);
  rig.failing = () => {
    throw new Fault('mount.full');
  };
  const receipt = await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  deepEqual([receipt.outcome, receipt.fault], ['failed', 'gateway.bug']);
});

test('a restarted enforcer takes no older set than the one that was withdrawn', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const old = rig.set(app, [rig.file('db', 1, 'one')]);
  await rig.holdings.assign(rig.set(app, []));
  await rig.restart(app);
  deepEqual([(await rig.holdings.assign(old)).outcome, rig.read(app)], ['stale', {}]);
});

test('what our handles of a container that ended still reach is wiped, and its numbers are forgotten', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const older = rig.set(app, [rig.file('db', 1, 'one')]);
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.changes.length = 0;
  await rig.holdings.stopped(app.id);
  deepEqual([kinds(rig), rig.read(app)], [['withdraw'], {}]);
  await rig.holdings.started(app);
  equal((await rig.holdings.assign(older)).outcome, 'placed');
});
