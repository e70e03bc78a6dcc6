/**
 * Goal: whatever fails, in whatever order: no container keeps what policy denies past its lease, or loses
 * what is to be kept; nothing goes backwards, nothing is held that was not recorded first, the log verifies,
 * no value is readable anywhere else, nobody reads what was never granted to it, who is revoked is cut off,
 * sealed means sealed, and once the faults stop everything is where it should be and stays there, longer than
 * any certificate lives (G8, G21, G26–G30, G35).
 * Method: real gateway, enforcer and watchdog code over virtual time; one seed is one run. Controls: bugs
 * planted on purpose, each of which the auditor must find.
 *
 * 100,000 seeds, two and a half hours on a core of its own:
 *   npm run verify -- --long --only src/testing/simulator.test.ts
 */
import assert, { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { Holdings } from '../enforcer/holdings.ts';
import { Inherited } from '../enforcer/inherited.ts';
import { Session as EnforcerSession } from '../enforcer/session.ts';
import { NodeCertificate } from '../enforcer/uplink/node-certificate.ts';
import { Watchdog } from '../enforcer/watchdog.ts';
import { Delivery } from '../gateway/delivery/delivery.ts';
import { NodeAdmission } from '../gateway/node-admission.ts';
import { NodePort } from '../gateway/node-port.ts';
import { NodeStreams } from '../gateway/stream/node-streams.ts';
import { FakeMounts } from './fake-mounts.ts';
import { SimClock } from './sim-clock.ts';
import { runSeed } from './simulator.ts';
import type { World } from './sim-world.ts';

const long = process.env['COFFER_LONG'] === '1';
const seeds = long ? 100_000 : 2000;
/**
 * Seeds in which a planted bug must show itself at least once. The shyest (a look around that does nothing,
 * a receipt that is lost) show themselves in one seed of twenty, most of the others in one of five.
 */
const controlSeeds = 100;

test(`${seeds} seeds keep every promise`, {
  timeout: long ? 6 * 3_600_000 : 1_200_000,
}, async () => {
  const first = Number(process.env['COFFER_SEED'] ?? 1);
  const found: string[] = [];
  for (let seed = first; seed < first + seeds; seed += 1) {
    const { violations } = await runSeed({ seed });
    if (violations.length > 0) found.push(`seed ${seed}: ${violations[0]}`);
  }
  deepEqual(found, [], 'reproduce with: node src/testing/simulator.ts --seed N');
});

test('one seed gives one run, another seed another', async () => {
  const once = await runSeed({ seed: 7 });
  const again = await runSeed({ seed: 7 });
  const other = await runSeed({ seed: 8 });
  equal(once.trace, again.trace);
  notEqual(once.trace, other.trace);
});

/** Breaks something for as long as the run lasts; returns how to mend it. */
const planted: readonly { readonly bug: string; readonly plant: (world: World) => () => void }[] = [
  {
    bug: 'a withdrawal that takes nothing away',
    plant() {
      const sound = FakeMounts.prototype.withdraw;
      FakeMounts.prototype.withdraw = () => Promise.resolve({ outcome: 'withdrawn' });
      return () => (FakeMounts.prototype.withdraw = sound);
    },
  },
  {
    bug: 'an assignment that is sent and not recorded',
    plant(world) {
      const audit = world.gateway.core?.audit;
      if (!audit) return () => {};
      const commit = audit.commit.bind(audit);
      let revision = 1000;
      audit.commit = (request) =>
        request.entries[0].action === 'delivery.assign'
          ? Promise.resolve({ revision: (revision += 1), sequences: [0] })
          : commit(request);
      return () => {};
    },
  },
  {
    bug: 'a value in the log',
    plant(world) {
      const send = FakeMounts.prototype.place;
      FakeMounts.prototype.place = function place(id, where, set) {
        const [file] = set.files;
        if (file && file.content !== 'keep')
          (world.log as string[]).push(Buffer.from(file.content).toString());
        return send.call(this, id, where, set);
      };
      return () => (FakeMounts.prototype.place = send);
    },
  },
  {
    bug: 'an enforcer that forgets what it is told to place',
    plant() {
      const sound = Holdings.prototype.assign;
      let count = 0;
      Holdings.prototype.assign = function assign(set) {
        count += 1;
        if (count % 3 !== 0) return sound.call(this, set);
        const { workloadId, target, setRevision, terms } = set;
        const files = set.files.map(({ name, secretId, version }) => ({ name, secretId, version }));
        return Promise.resolve({
          workloadId,
          target,
          setRevision,
          terms,
          files,
          outcome: 'placed',
          fault: '',
          tookUs: 1,
        });
      };
      return () => (Holdings.prototype.assign = sound);
    },
  },
  {
    bug: 'a lease that is counted on a clock that can be set',
    plant() {
      const sound = SimClock.prototype.bootMs;
      SimClock.prototype.bootMs = SimClock.prototype.wallMs;
      return () => (SimClock.prototype.bootMs = sound);
    },
  },
  {
    bug: 'a lease that never ends',
    plant(world) {
      const sound = Holdings.prototype.heard;
      const endless = new Set<Holdings>();
      Holdings.prototype.heard = function heard() {
        sound.call(this);
        if (endless.has(this)) return;
        endless.add(this);
        const again = (): void => {
          sound.call(this);
          world.time.at(1000, again);
        };
        again();
      };
      return () => (Holdings.prototype.heard = sound);
    },
  },
  {
    bug: 'a watchdog that takes nothing away',
    plant() {
      const sound = Watchdog.prototype.look;
      Watchdog.prototype.look = () => Promise.resolve();
      return () => (Watchdog.prototype.look = sound);
    },
  },
  {
    bug: 'a word of the gateway that renews what nobody has taken up',
    plant() {
      const { resume } = Inherited.prototype;
      const { look } = Watchdog.prototype;
      const takenUpAtBootMs = 0;
      Inherited.prototype.resume = function resumeAll(state) {
        const holdings = state.holdings.map((set) => ({ ...set, takenUpAtBootMs }));
        resume.call(this, { ...state, holdings });
      };
      Watchdog.prototype.look = function lookAtAll(state) {
        const holdings = state.holdings.map((set) => ({ ...set, takenUpAtBootMs }));
        return look.call(this, { ...state, holdings });
      };
      return () => {
        Inherited.prototype.resume = resume;
        Watchdog.prototype.look = look;
      };
    },
  },
  {
    bug: 'a watchdog that wipes what is to be kept',
    plant() {
      const sound = Watchdog.prototype.look;
      Watchdog.prototype.look = function look(state) {
        const holdings = state.holdings.map((set) => ({ ...set, keepOnLeaseLoss: false }));
        return sound.call(this, { ...state, holdings });
      };
      return () => (Watchdog.prototype.look = sound);
    },
  },
  {
    bug: 'an enforcer that does not know what is to be kept',
    plant() {
      const sound = Holdings.prototype.assign;
      Holdings.prototype.assign = function assign(set) {
        return sound.call(this, { ...set, keepOnLeaseLoss: false });
      };
      return () => (Holdings.prototype.assign = sound);
    },
  },
  {
    bug: 'a revoked node that keeps its stream',
    plant() {
      const sound = NodeStreams.prototype.endNotLive;
      NodeStreams.prototype.endNotLive = () => {};
      return () => (NodeStreams.prototype.endNotLive = sound);
    },
  },
  {
    bug: 'a revoked node that is let in',
    plant() {
      const sound = NodeAdmission.prototype.peerOf;
      const peers = new Map<X509Certificate, ReturnType<typeof sound>>();
      NodeAdmission.prototype.peerOf = function peerOf(certificate, source) {
        try {
          const peer = { ...sound.call(this, certificate, source), isLive: () => true };
          peers.set(certificate, peer);
          return peer;
        } catch (error) {
          return peers.get(certificate) ?? assert.fail(String(error));
        }
      };
      return () => (NodeAdmission.prototype.peerOf = sound);
    },
  },
  {
    bug: 'containers of a revoked node that are nobody’s for ever',
    plant() {
      const sound = Delivery.prototype.forgetNode;
      Delivery.prototype.forgetNode = () => {};
      return () => (Delivery.prototype.forgetNode = sound);
    },
  },
  {
    bug: 'a gateway that does not renew its certificate',
    plant() {
      const sound = NodePort.prototype.keepCertificate;
      NodePort.prototype.keepCertificate = () => {};
      return () => (NodePort.prototype.keepCertificate = sound);
    },
  },
  {
    bug: 'an enforcer that does not ask for its next certificate',
    plant() {
      const sound = NodeCertificate.prototype.look;
      NodeCertificate.prototype.look = () => {};
      return () => (NodeCertificate.prototype.look = sound);
    },
  },
  {
    bug: 'an enforcer that keeps to its old certificate',
    plant() {
      const sound = NodeCertificate.prototype.renewed;
      NodeCertificate.prototype.renewed = () => {};
      return () => (NodeCertificate.prototype.renewed = sound);
    },
  },
  {
    bug: 'an enforcer that says nothing of what starts after it',
    plant() {
      const sound = EnforcerSession.prototype.workloadStarted;
      EnforcerSession.prototype.workloadStarted = () => {};
      return () => (EnforcerSession.prototype.workloadStarted = sound);
    },
  },
  {
    bug: 'an enforcer that does not look after its mounts',
    plant() {
      const sound = Holdings.prototype.tampered;
      Holdings.prototype.tampered = () => Promise.resolve([]);
      return () => (Holdings.prototype.tampered = sound);
    },
  },
  {
    bug: 'a receipt that is lost with the connection that asked for it',
    plant() {
      const sound = EnforcerSession.prototype.receipt;
      let count = 0;
      EnforcerSession.prototype.receipt = function receipt(said) {
        count += 1;
        if (count % 4 !== 0) sound.call(this, said);
      };
      return () => (EnforcerSession.prototype.receipt = sound);
    },
  },
  {
    bug: 'revisions that fall',
    plant() {
      const sound = FakeMounts.prototype.place;
      FakeMounts.prototype.place = function place(id, where, set) {
        return sound.call(this, id, where, { ...set, revision: 1_000_000 - set.revision });
      };
      return () => (FakeMounts.prototype.place = sound);
    },
  },
];

for (const { bug, plant } of planted) {
  test(`control: within ${controlSeeds} seeds the auditor finds ${bug}`, async (context) => {
    let caught = 0;
    for (let seed = 1; seed <= controlSeeds && caught === 0; seed += 1) {
      let mend = (): void => {};
      try {
        const { violations } = await runSeed({ seed, plant: (world) => (mend = plant(world)) });
        caught += violations.length;
        if (caught > 0) context.diagnostic(`seed ${seed}: ${violations[0]}`);
      } finally {
        mend();
      }
    }
    ok(caught > 0, `nothing noticed in ${controlSeeds} seeds`);
  });
}
