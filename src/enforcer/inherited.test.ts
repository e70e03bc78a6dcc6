/**
 * Goal: what an earlier enforcer left is wiped when its lease ends, though the engine never says that its
 * container runs, and the gateway, which therefore does not know of it, is heard all the time (G26, G27).
 * Method: real holdings, watchdog and whole enforcers over a kernel in memory and virtual time. Controls: the
 * same course with an engine that answers, and with what is to be kept.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { unknownTerms } from '../model/assignment.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { EnforcerRig, leaseMs } from '../testing/enforcer-rig.ts';
import { FakeMounts } from '../testing/fake-mounts.ts';
import { LineRig } from '../testing/line-rig.ts';
import { Inherited } from './inherited.ts';
import type { Mounts } from './mount/mount.ts';
import { stateFromText, stateToText } from './remembered.ts';
import { Watchdog } from './watchdog.ts';

const place = async (rig: EnforcerRig, app: WorkloadFacts, more = {}): Promise<void> => {
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')], more));
};

/** Lets time pass; the gateway is heard on the way. */
async function passHeard(rig: EnforcerRig, byMs: number): Promise<void> {
  for (let leftMs = byMs; leftMs > 0; leftMs -= 500) {
    rig.holdings.heard();
    await rig.time.pass(Math.min(500, leftMs));
  }
}

test('an enforcer whose engine never answers wipes what it inherited, on time and in the log', async () => {
  for (const answers of [false, true]) {
    const rig = await LineRig.make();
    await rig.grant('api', [{ secret: 'shop/db' }], { leaseSeconds: 20 });
    const node = await rig.node('node-a');
    const app = await rig.container(node);
    node.runtime.setUnreachable(!answers);
    node.killEnforcer();
    node.startEnforcer();
    // It waits for its engine first, then connects.
    await rig.time.pass(18_000);
    deepEqual(rig.read(node, app), { db: 'one' });
    await rig.time.pass(3000);
    equal(node.enforcerIsUp && rig.network.connection('node-a')?.isOpen, true, 'heard all along');
    deepEqual(rig.read(node, app), answers ? { db: 'one' } : {});
    const wipes = rig.requests.audit.kept.filter(({ detail }) => detail['receipt'] === 'wiped');
    equal(wipes.length, answers ? 0 : 1);
    node.runtime.setUnreachable(false);
    await rig.time.pass(5000);
    deepEqual(rig.read(node, app), { db: 'one' }, 'given anew once its container is known');
  }
});

test('no word of the gateway and no restart lengthens the lease of what nobody has taken up', async () => {
  for (const restarts of [1, 3]) {
    const rig = new EnforcerRig();
    const [app, kept] = [await rig.container('app'), await rig.container('kept')];
    await place(rig, app);
    await place(rig, kept, { keepOnLeaseLoss: true });
    for (let restart = 0; restart < restarts; restart += 1) {
      await rig.restart();
      await passHeard(rig, 6000 / restarts);
    }
    await passHeard(rig, leaseMs - 6000 - 1);
    deepEqual([rig.read(app), rig.told], [{ db: 'one' }, []]);
    await passHeard(rig, 12);
    deepEqual([rig.read(app), rig.read(kept)], [{}, { db: 'one' }]);
    deepEqual(
      rig.told.map(({ workloadId, outcome }) => [workloadId, outcome]),
      [[app.id, 'wiped']],
    );
    const known = rig.remembered?.holdings.map(({ workloadId }) => workloadId);
    deepEqual(known, [kept.id], 'and it is forgotten');
    const next = rig.set(app, [rig.file('db', 2, 'two')], { signals: ['SIGHUP'] });
    await rig.holdings.started(app);
    await rig.holdings.assign(next);
    deepEqual(rig.signalled, ['app SIGHUP'], 'but not that there was something before');
  }
});

test('what was taken up is renewed by the next word, and not by the one before', async () => {
  for (const isHeard of [false, true]) {
    const rig = new EnforcerRig();
    const app = await rig.container();
    await place(rig, app);
    await rig.restart();
    await passHeard(rig, 6000);
    await rig.restart(app);
    if (isHeard) await passHeard(rig, 1);
    await rig.time.pass(leaseMs - 6000 - 2);
    deepEqual(rig.read(app), { db: 'one' });
    await rig.time.pass(100);
    deepEqual(rig.read(app), isHeard ? { db: 'one' } : {});
    if (isHeard) equal(rig.remembered?.holdings[0]?.heardAtBootMs, undefined);
  }
});

test('a wipe that was due is not done to the set that was placed there in between', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await place(rig, app);
  rig.failing = (what) => {
    if (what === 'adopt') throw new Fault('mount.failed');
    if (what !== 'place') return;
    rig.time.jump(leaseMs);
    // Queues the wipe of what was inherited there, behind the step that replaces it.
    rig.holdings.heard();
  };
  await rig.restart(app);
  equal((await rig.holdings.assign(rig.set(app, [rig.file('db', 2, 'two')]))).outcome, 'placed');
  rig.failing = () => {};
  await passHeard(rig, 5000);
  deepEqual([rig.read(app), rig.told], [{ db: 'two' }, []]);
  await rig.time.pass(leaseMs);
  deepEqual(rig.read(app), {}, 'control: its own lease ends it');
});

test('a set that cannot be taken up is wiped in time all the same, and goes when it is withdrawn', async () => {
  for (const isWithdrawn of [false, true]) {
    const rig = new EnforcerRig();
    const app = await rig.container();
    await place(rig, app);
    rig.failing = () => {
      throw new Fault('mount.failed');
    };
    await rig.restart(app);
    await passHeard(rig, leaseMs - 1000);
    rig.failing = () => {};
    if (isWithdrawn) equal((await rig.holdings.assign(rig.set(app, []))).outcome, 'gone');
    deepEqual(rig.read(app), isWithdrawn ? {} : { db: 'one' });
    rig.failing = () => {
      throw new Fault('mount.failed');
    };
    await passHeard(rig, 3500);
    rig.failing = () => {};
    await passHeard(rig, 1100);
    deepEqual([rig.read(app), rig.remembered?.holdings], [{}, []]);
    equal(rig.told.length, isWithdrawn ? 0 : 1, 'told once, and not with each try');
  }
});

test('of what was never placed, or ended with its container, no wipe is told', async () => {
  for (const course of ['placed', 'never placed', 'ended'] as const) {
    const rig = new EnforcerRig();
    const app = await rig.container();
    rig.failing = (what) => {
      // As if it were killed just there.
      if (what === 'place' && course === 'never placed') rig.start();
      if (what === 'place' && course === 'never placed') throw new Fault('mount.failed');
    };
    await place(rig, app);
    equal(rig.remembered?.holdings[0]?.files.length, course === 'never placed' ? 0 : 1);
    await rig.restart();
    if (course === 'ended') rig.kernel.end(app.process);
    await passHeard(rig, leaseMs + 100);
    deepEqual(rig.remembered?.holdings, []);
    deepEqual(
      rig.told.map(({ outcome }) => outcome),
      course === 'placed' ? ['wiped'] : [],
    );
  }
});

test('what is gone from a container is told, as wiped if its lease was over; what cannot be looked at is not', async () => {
  const courses = {
    'gone in time': { passMs: leaseMs - 1, told: ['gone'] },
    wiped: { passMs: leaseMs, told: ['wiped'] },
    'never placed': { passMs: leaseMs, told: [] },
    unknown: { passMs: leaseMs, told: ['wiped'] },
    'cannot be looked at': { passMs: leaseMs, told: [] },
    'has ended': { passMs: leaseMs, told: [] },
  } as const;
  for (const [course, { passMs, told }] of Object.entries(courses)) {
    const rig = new EnforcerRig();
    const app = await rig.container();
    await place(rig, app);
    const { remembered } = rig;
    ok(remembered);
    const files = { 'never placed': { files: [] }, unknown: { files: [], terms: unknownTerms } };
    const changed = files[course as keyof typeof files] ?? {};
    const holdings = remembered.holdings.map((holding) => ({ ...holding, ...changed }));
    // As if it were killed now; and the watchdog comes.
    rig.clock.stop();
    rig.time.jump(passMs);
    if (course === 'cannot be looked at') {
      rig.failing = () => {
        throw new Fault('mount.failed');
      };
    } else rig.kernel.mounts.clear();
    if (course === 'has ended') rig.kernel.end(app.process);
    rig.remembered = { ...remembered, holdings };
    await rig.restart(app);
    deepEqual(
      rig.told.map(({ outcome, setRevision, files }) => [outcome, setRevision, files]),
      told.map((outcome) => [outcome, remembered.holdings[0]?.setRevision, []]),
      course,
    );
    await rig.restart(app);
    equal(rig.told.length, told.length, 'once');
  }
});

test('a set that somebody inside covered is not gone, and not wiped', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await place(rig, app);
  const { remembered, clock } = rig;
  const sound = new FakeMounts(rig.kernel);
  for (const isCovered of [true, false]) {
    const mounts: Pick<Mounts, 'find' | 'adopt' | 'withdraw'> = {
      find: (process) => sound.find(process),
      adopt: async (id, where) => (isCovered ? undefined : sound.adopt(id, where)),
      withdraw: (id) => sound.withdraw(id),
    };
    const inherited = new Inherited({ clock, log: silentLog, mounts });
    inherited.resume(remembered!);
    const [holding] = inherited.holdings;
    const found = await inherited.takeUp(app, () => false);
    deepEqual(
      [found.holdings.length, found.gone, found.isWhole],
      [isCovered ? 0 : 1, [], !isCovered],
    );
    inherited.resume(remembered!);
    if (isCovered) await rejects(inherited.wipe(holding!), { code: 'mount.covered' });
    else equal(await inherited.wipe(holding!), true);
  }
});

test('the watchdog wipes what is inherited once, and leaves what the gateway renews', async () => {
  const rig = new EnforcerRig();
  const [app, other] = [await rig.container('app'), await rig.container('other')];
  for (const workload of [app, other]) await place(rig, workload);
  await rig.restart(other);
  let opened = 0;
  const watchdog = new Watchdog({
    clock: rig.clock,
    log: silentLog,
    load: () => undefined,
    enforcerLives: () => true,
    isInCharge: () => true,
    openMounts: async () => {
      opened += 1;
      return new FakeMounts(rig.kernel);
    },
    signal: new AbortController().signal,
  });
  const remembered = stateToText(rig.remembered!);
  // The enforcer hangs as far as wipes go, and hears the gateway.
  rig.holdings.close();
  for (let passedMs = 0; passedMs < leaseMs + 8000; passedMs += 1000) {
    rig.time.jump(1000);
    const state = stateFromText(remembered);
    const holdings = state.holdings.map((holding) =>
      holding.workloadId === app.id ? { ...holding, heardAtBootMs: state.heardAtBootMs } : holding,
    );
    await watchdog.look({ ...state, holdings, heardAtBootMs: rig.time.nowMs });
  }
  deepEqual([rig.read(app), rig.read(other), opened], [{}, { db: 'one' }, 1]);
});

test('a file of an earlier version is read, and each set has the lease that all had', async () => {
  const rig = new EnforcerRig();
  const app = await rig.container();
  await place(rig, app);
  const text = stateToText(rig.remembered!);
  equal(text.includes('"holdings":[{'), true);
  equal(text.split('heardAtBootMs').length, 2, 'as that version wrote it');
  await rig.restart();
  await passHeard(rig, 3000);
  const later = stateFromText(stateToText(rig.remembered!));
  deepEqual([later.heardAtBootMs, later.holdings[0]?.heardAtBootMs], [2500, 0]);
  rig.remembered = stateFromText(text);
  await rig.restart();
  await passHeard(rig, leaseMs - 3000 + 12);
  deepEqual(rig.read(app), {});
});
