/**
 * Goal: what the gateway assigns is in place, whole and never older than before (G29); what the lease
 * ends is wiped, at its end and not before (G26); a successor goes on where this one was killed (G30).
 * Method: real holdings over a kernel in memory and virtual time. Controls: a clock that can be set, and
 * holdings that forget what they have seen, both of which the same checks must catch.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { unknownTerms } from '../model/assignment.ts';
import { EnforcerRig, leaseMs } from '../testing/enforcer-rig.ts';

const full = (): never => {
  throw new Fault('mount.full');
};

test('Holdings places, rotates, keeps and withdraws, and says what is there', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const first = await rig.holdings.assign(
    rig.set(app, [rig.file('db', 1, 'one'), rig.file('key', 1, 'k')], { signals: ['SIGHUP'] }),
  );
  deepEqual([first.outcome, first.files.length, first.terms], ['placed', 2, 'terms']);
  deepEqual(rig.read(app), { db: 'one', key: 'k' });
  deepEqual(rig.signalled, [], 'the first set is no change');
  const second = await rig.holdings.assign(
    rig.set(app, [rig.file('db', 2, 'two'), rig.file('key', 1)], { signals: ['SIGHUP'] }),
  );
  deepEqual(rig.signalled, ['app SIGHUP']);
  deepEqual(rig.read(app), { db: 'two', key: 'k' });
  deepEqual(
    second.files.map(({ name, version }) => `${name}@${version}`),
    ['db@2', 'key@1'],
  );
  const third = await rig.holdings.assign(rig.set(app, []));
  deepEqual([third.outcome, third.files.length, rig.read(app)], ['gone', 0, {}]);
  deepEqual(rig.holdings.held, []);
});

test('Holdings wipes the values it was given, whatever became of them', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const placed = rig.file('db', 1, 'one');
  await rig.holdings.assign(rig.set(app, [placed]));
  rig.failing = full;
  const failed = rig.file('db', 2, 'two');
  await rig.holdings.assign(rig.set(app, [failed]));
  const absent = rig.file('db', 2, 'two');
  await rig.holdings.assign(rig.set({ id: 'wld_elsewhere' }, [absent]));
  for (const { content } of [placed, failed, absent]) {
    throws(() => content !== 'keep' && content.use((bytes) => bytes), /wiped/);
  }
});

test('Holdings never goes back, whatever is repeated or comes late', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const old = rig.set(app, [rig.file('db', 1, 'one')]);
  await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  const stale = await rig.holdings.assign({ ...old, files: [rig.file('db', 1, 'one')] });
  equal(stale.outcome, 'stale');
  ok(stale.setRevision > old.setRevision, 'the gateway learns what to go above');
  deepEqual(rig.read(app), { db: 'two' });
  // Also after a withdrawal, of which nothing is left in place.
  await rig.holdings.assign(rig.set(app, []));
  const replayed = await rig.holdings.assign({ ...old, files: [rig.file('db', 1, 'one')] });
  deepEqual([replayed.outcome, rig.read(app)], ['stale', {}]);
});

test('control: without what was seen before, a replay brings a withdrawn value back', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  const old = rig.set(app, [rig.file('db', 1, 'one')]);
  await rig.holdings.assign({ ...old, files: [rig.file('db', 1, 'one')] });
  await rig.holdings.assign(rig.set(app, []));
  rig.remembered = undefined;
  await rig.restart(app);
  await rig.holdings.assign({ ...old, files: [rig.file('db', 1, 'one')] });
  deepEqual(rig.read(app), { db: 'one' });
});

test('Holdings keeps the earlier set when the new one cannot be placed', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.failing = full;
  const receipt = await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  deepEqual([receipt.outcome, receipt.fault], ['failed', 'mount.full']);
  deepEqual(
    receipt.files.map(({ version }) => version),
    [1],
  );
  deepEqual(rig.read(app), { db: 'one' });
  rig.failing = () => {};
  await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  deepEqual(rig.read(app), { db: 'two' });
});

test('Holdings lets go of what is bad even when its successor cannot be placed', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('bad', 1, 'b'), rig.file('good', 1, 'g')]));
  let tries = 0;
  rig.failing = (what) => {
    if (what === 'place' && (tries += 1) === 1) full();
  };
  const files = (): Parameters<typeof rig.set>[1] => [rig.file('bad', 2, 'c'), rig.file('good', 1)];
  const receipt = await rig.holdings.assign(rig.set(app, files(), { urgent: true }));
  deepEqual([receipt.outcome, receipt.fault], ['failed', 'mount.full']);
  deepEqual(rig.read(app), { good: 'g' });
  deepEqual(
    receipt.files.map(({ name }) => name),
    ['good'],
  );
  // And where not even the rest can be shown, nothing is.
  rig.failing = (what) => {
    if (what === 'place') full();
  };
  await rig.holdings.assign(rig.set(app, files(), { urgent: true }));
  deepEqual(rig.read(app), {});
  deepEqual(rig.holdings.held, []);
});

test('Holdings wipes at the end of the lease and not before, unless it is to keep', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  await rig.holdings.assign(
    rig.set(app, [rig.file('kept', 1, 'k')], { target: '/run/kept', keepOnLeaseLoss: true }),
  );
  await rig.time.pass(5000);
  rig.holdings.heard();
  const heardAtMs = rig.time.nowMs;
  rig.time.wallOffsetMs = 3_600_000;
  await rig.time.pass(leaseMs - 1);
  deepEqual(rig.read(app), { db: 'one' });
  rig.time.wallOffsetMs = -3_600_000;
  await rig.time.pass(12);
  deepEqual(rig.read(app), {});
  equal(rig.changes.at(-1), `withdraw ${heardAtMs + leaseMs}`);
  deepEqual(
    rig.told.map(({ outcome, files }) => [outcome, files.length]),
    [['wiped', 0]],
  );
  await rig.time.pass(10 * leaseMs);
  deepEqual(rig.read(app, '/run/kept'), { kept: 'k' });
});

test('control: on a clock that can be set, the same wipe comes too early', async () => {
  const rig = new EnforcerRig();
  const clock = rig.time.clock();
  clock.bootMs = () => clock.wallMs();
  rig.start(clock);
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.time.wallOffsetMs = 3_600_000;
  await rig.time.pass(leaseMs - 1);
  deepEqual(rig.read(app), {});
});

test('Holdings wipes first after it was stopped for longer than the lease, then does as it is told', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  await rig.holdings.assign(rig.set(app, [rig.file('x', 1, 'x')], { target: '/run/x' }));
  rig.changes.length = 0;
  rig.time.jump(2 * leaseMs);
  // What waited in the socket is handled before any timer: an assignment, and a word of the gateway.
  const assigned = rig.holdings.assign(rig.set(app, [rig.file('x', 2, 'y')], { target: '/run/x' }));
  rig.holdings.heard();
  equal((await assigned).outcome, 'placed');
  deepEqual(
    rig.changes.map((change) => change.split(' ')[0]),
    ['withdraw', 'withdraw', 'place'],
  );
  deepEqual([rig.read(app), rig.read(app, '/run/x')], [{}, { x: 'y' }]);
});

test('Holdings tries a wipe again that the kernel refused, once a second and not in a storm', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  let tries = 0;
  rig.failing = () => {
    tries += 1;
    full();
  };
  await rig.time.pass(leaseMs + 5000);
  ok(tries >= 4 && tries <= 6, `${tries} tries in five seconds`);
  rig.failing = () => {};
  await rig.time.pass(1100);
  deepEqual(rig.read(app), {});
});

test('what a failed wipe or withdrawal left is nobody’s word: sent anew or withdrawn, and on its lease', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.failing = full;
  await rig.time.pass(leaseMs + 3500);
  rig.holdings.heard();
  const [held] = rig.holdings.held;
  deepEqual([held?.files, held?.terms], [[], unknownTerms]);
  deepEqual(
    rig.told.map(({ outcome, fault, terms }) => [outcome, fault, terms]),
    [['failed', 'mount.full', unknownTerms]],
    'told once, not with each try',
  );
  rig.failing = () => {};
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.failing = full;
  const receipt = await rig.holdings.assign(rig.set(app, []));
  deepEqual([receipt.outcome, receipt.files, receipt.terms], ['failed', [], unknownTerms]);
  rig.failing = () => {};
  await rig.time.pass(leaseMs);
  deepEqual(rig.read(app), {});
});

test('a withdrawal that the kernel refused is repeated without being asked, and then told', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  let refusals = 0;
  rig.failing = () => {
    refusals += 1;
    full();
  };
  const receipt = await rig.holdings.assign(rig.set(app, []));
  for (let passedMs = 0; passedMs < 60_000; passedMs += 1000) {
    await rig.time.pass(1000);
    rig.holdings.heard();
  }
  ok(refusals > 10 && refusals < 25, `${refusals} tries in a minute`);
  deepEqual([rig.read(app), rig.told], [{ db: 'one' }, []]);
  rig.failing = () => {};
  await rig.time.pass(4100);
  deepEqual([rig.read(app), rig.holdings.held], [{}, []]);
  deepEqual(
    rig.told.map(({ outcome, files, setRevision }) => [outcome, files.length, setRevision]),
    [['gone', 0, receipt.setRevision]],
  );
  // What is assigned anew meanwhile is not taken away by it.
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.failing = full;
  await rig.holdings.assign(rig.set(app, []));
  rig.failing = () => {};
  await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  await rig.time.pass(5000);
  rig.holdings.heard();
  deepEqual(rig.read(app), { db: 'two' });
});

test('what cannot be kept is not said to be held, and what is left of the set is on its lease', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one'), rig.file('key', 1, 'k')]));
  const [mount] = rig.kernel.mounts.values();
  // Half of it is gone.
  if (mount) mount.files = new Map([...mount.files].filter(([name]) => name === 'db'));
  const next = [rig.file('key', 1), rig.file('new', 1, 'n')];
  const receipt = await rig.holdings.assign(rig.set(app, next));
  deepEqual(
    [receipt.fault, receipt.files, receipt.terms],
    ['mount.keep-unknown', [], unknownTerms],
  );
  await rig.time.pass(leaseMs + 500);
  deepEqual(rig.read(app), {});
});

test('what somebody inside took away is noticed, sent anew and in place again', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  deepEqual(await rig.holdings.tampered(), []);
  rig.kernel.mounts.clear();
  deepEqual(await rig.holdings.tampered(), [app.id]);
  deepEqual(
    rig.told.map(({ outcome, fault, files, terms }) => [outcome, fault, files, terms]),
    [['failed', 'mount.covered', [], unknownTerms]],
  );
  // Its place is taken: nothing of the earlier set is said to be there.
  rig.failing = () => {
    throw new Fault('mount.target-occupied');
  };
  const failed = await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  deepEqual([failed.outcome, failed.files, failed.terms], ['failed', [], unknownTerms]);
  rig.failing = () => {};
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  deepEqual([rig.read(app), await rig.holdings.tampered()], [{ db: 'one' }, []]);
});

test('a set that could not be changed and is not there any more is not said to be held', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.failing = full;
  const kept = await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  equal(kept.files.length, 1, 'control: while it is there it is held');
  rig.kernel.mounts.clear();
  const failed = await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  deepEqual([failed.files, failed.terms], [[], unknownTerms]);
});

test('a restarted enforcer takes up what is in place without touching it, on the old lease', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  const before = rig.holdings.held;
  await rig.time.pass(6000);
  rig.changes.length = 0;
  await rig.restart(app);
  deepEqual(rig.holdings.held, before);
  deepEqual(
    rig.changes.map((change) => change.split(' ')[0]),
    ['adopt'],
  );
  await rig.time.pass(leaseMs - 6000 - 1);
  deepEqual(rig.read(app), { db: 'one' });
  await rig.time.pass(12);
  deepEqual(rig.read(app), {}, 'a restart lengthens no lease');
});

test('a restarted enforcer forgets nothing before it has looked: the watchdog may need it', async () => {
  const rig = new EnforcerRig();
  const [app, other] = [await rig.container('app'), await rig.container('other')];
  for (const workload of [app, other]) {
    await rig.holdings.assign(rig.set(workload, [rig.file('db', 1, 'one')]));
  }
  const { holdings: before } = rig.remembered ?? {};
  const remembered = () => rig.remembered?.holdings;
  const workloads = () => rig.remembered?.processes.map(({ workloadId }) => workloadId);
  // One cannot be taken up for now, the other is not found yet.
  rig.failing = () => {
    throw new Fault('mount.failed');
  };
  await rig.restart(app);
  deepEqual([rig.holdings.held, remembered()], [[], before]);
  deepEqual(workloads(), [app.id, other.id]);
  rig.failing = () => {};
  await rig.time.pass(1100);
  await rig.holdings.started(other);
  deepEqual([rig.holdings.held.length, remembered()], [2, before]);
  // What is known now counts: taken away it is gone, also from there.
  await rig.holdings.assign(rig.set(app, []));
  await rig.holdings.stopped(other.id);
  deepEqual([remembered(), workloads()], [[], [app.id]]);
});

test('what an earlier enforcer knew of a set that is not there is forgotten once that is seen', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.kernel.mounts.clear();
  await rig.restart(app);
  deepEqual(rig.remembered?.holdings, []);
});

test('a set that nobody remembers is reported as unknown, and has the shortest lease', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.remembered = undefined;
  await rig.restart(app);
  const [held] = rig.holdings.held;
  deepEqual([held?.files, held?.terms], [[], unknownTerms]);
  await rig.time.pass(limits.leaseMsMin - 1);
  deepEqual(rig.read(app), { db: 'one' });
  await rig.time.pass(12);
  deepEqual(rig.read(app), {});
});

test('an adoption that fails is tried again, and told once it succeeds', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  const [before] = rig.holdings.held;
  let left = 2;
  rig.failing = (what) => {
    if (what === 'adopt' && left > 0) {
      left -= 1;
      throw new Fault('mount.failed');
    }
  };
  await rig.restart(app);
  deepEqual(rig.holdings.held, []);
  await rig.time.pass(3100);
  deepEqual(rig.holdings.held, [before]);
  deepEqual(
    rig.told.map(({ outcome, files }) => [outcome, files.length]),
    [['placed', 1]],
  );
  await rig.time.pass(leaseMs);
  deepEqual(rig.read(app), {}, 'and its lease ends as any other');
});

test('a container that ends takes everything along, and is served no more', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  rig.kernel.end(app.process);
  const late = rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]));
  await rig.holdings.stopped(app.id);
  equal((await late).outcome, 'gone');
  deepEqual([rig.holdings.held, rig.holdings.workloads], [[], []]);
  deepEqual(rig.remembered?.processes, []);
  equal((await rig.holdings.assign(rig.set(app, [rig.file('db', 3, 'x')]))).outcome, 'gone');
});

test('Holdings does not count the gateway as heard while nothing could be withdrawn', async () => {
  for (const isStuck of [true, false]) {
    const rig = new EnforcerRig();
    const app = await rig.container();
    await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
    rig.kernel.isStuck = isStuck;
    for (let heard = 0; heard < 3; heard += 1) {
      await rig.time.pass(leaseMs / 2);
      rig.holdings.heard();
    }
    // That the watchdog knows it too.
    equal(rig.remembered?.heardAtBootMs === rig.clock.bootMs(), !isStuck);
    deepEqual(rig.read(app), isStuck ? {} : { db: 'one' });
  }
});
