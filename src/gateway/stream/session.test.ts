/**
 * Goal: what one node can do to the gateway over its stream (T8, T13), and that leases are renewed in
 * time whatever a grant says (G26). Method: a real session over a link in memory.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import { silentLog } from '../../base/log.ts';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import {
  type Checkpoint,
  cosignCheckpoint,
  formatCheckpoint,
  signCheckpoint,
} from '../../crypto/checkpoint.ts';
import { cosignNote, formatVerifier, noteSigner, signNote } from '../../crypto/note.ts';
import { makeId } from '../../model/id.ts';
import {
  decodeFromGateway,
  encodeFromEnforcer,
  type FromEnforcer,
  type FromGateway,
  streamProtocol,
} from '../../protocol/stream-messages.ts';
import { workload } from '../../testing/delivery-rig.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import type { Link, LinkHandlers } from '../../wire/link.ts';
import type { NodeChannel, NodeEvent } from '../delivery/delivery.ts';
import { Session, type SessionOptions } from './session.ts';

const hello: FromEnforcer = {
  kind: 'hello',
  protocol: streamProtocol,
  version: 'test',
  bootId: 'boot',
  workloads: [workload(1, '')],
  held: [],
  checkpoint: '',
  weakenings: [],
};

const signer = (kind: 'note' | 'cosignature', name: string) =>
  noteSigner(kind, name, generateKeyPairSync('ed25519').privateKey);
const logKey = signer('note', 'log');
const witness = signer('cosignature', 'node/node-1');
const head = (size: number): Checkpoint => ({
  origin: 'log',
  size,
  root: Buffer.alloc(32, 7),
  extensions: [],
});
const note = signCheckpoint(head(7), logKey);
const nowS = 1_700_000_000;

class Rig {
  readonly clock = new ManualClock();
  readonly sent: FromGateway[] = [];
  readonly connected: NodeChannel[] = [];
  readonly ends: string[] = [];
  readonly session: Session;
  readonly noted: NodeEvent[] = [];
  admits = true;
  shortestLeaseMs = Infinity;
  renewals = 0;
  timers = 0;
  queuedBytes = 0;
  #handlers: LinkHandlers | undefined;

  constructor(change: Partial<SessionOptions> = {}) {
    const queuedBytes = (): number => this.queuedBytes;
    const link: Link = {
      open: (handlers) => (this.#handlers = handlers),
      send: (bytes) => {
        const message = decodeFromGateway(bytes);
        if (message) this.sent.push(message);
      },
      get queuedBytes() {
        return queuedBytes();
      },
      isOpen: true,
      close: () => {},
    };
    const { clock } = this;
    const setTimer = clock.setTimer.bind(clock);
    clock.setTimer = (delayMs, act) => {
      this.timers += 1;
      const timer = setTimer(delayMs, () => {
        this.timers -= 1;
        act();
      });
      return { cancel: () => ((this.timers -= 1), timer.cancel()) };
    };
    this.session = new Session({
      clock,
      random: systemRandom,
      log: silentLog,
      link,
      node: 'node-1',
      delivery: {
        admits: () => this.admits,
        noted: (_node, event) => this.noted.push(event),
        connected: (_node, channel) => void this.connected.push(channel),
        disconnected: () => {},
        workloadStarted: () => {},
        workloadStopped: () => {},
        receipt: () => {},
        drained: () => {},
        shortestLeaseMs: () => this.shortestLeaseMs,
      },
      audit: {
        observe: async () => 'consistent',
        checkpoint: async () => ({ note, size: 7, verifierKey: 'v', consistency: [] }),
      },
      nodes: { seen: () => {}, witnessed: (_node, size) => void this.witnessed.push(size) },
      witnessKey: formatVerifier(witness),
      renew: async () => {
        this.renewals += 1;
        await clock.sleep(10);
        return 'certificate';
      },
      isLive: () => true,
      leaseMs: 600_000,
      leaseEveryMs: 30_000,
      checkpointEveryMs: 60_000,
      ended: (reason) => this.ends.push(reason),
      ...change,
    });
  }

  readonly witnessed: number[] = [];

  async say(...messages: readonly FromEnforcer[]): Promise<void> {
    for (const message of messages) this.#handlers?.message(encodeFromEnforcer(message));
    for (let turn = 0; turn < 5; turn += 1) await this.clock.nextTurn();
  }

  count(kind: FromGateway['kind']): number {
    return this.sent.filter((message) => message.kind === kind).length;
  }
}

test('one hello per connection: more of them start nothing', async () => {
  const rig = new Rig();
  await rig.say(...Array.from({ length: 100 }, () => hello));
  ok(rig.connected.length <= 1);
  deepEqual(rig.ends, ['stream.malformed']);
  const late = new Rig();
  await late.say(hello);
  const { timers } = late;
  await late.say(hello);
  equal(late.connected.length, 1);
  deepEqual(late.ends, ['stream.malformed']);
  ok(late.timers < timers, 'and no timer is left of it');
  equal(late.timers, 0);
});

test('before its hello a node says nothing, and whoever says nothing is given up', async () => {
  const early = new Rig();
  await early.say({ kind: 'renew', certificateRequest: 'csr' });
  deepEqual([early.ends, early.renewals], [['stream.malformed'], 0]);
  // Nor while the hello is being looked at.
  const hasty = new Rig();
  await hasty.say(hello, { kind: 'renew', certificateRequest: 'csr' });
  deepEqual([hasty.ends, hasty.renewals], [['stream.malformed'], 0]);
  const mute = new Rig();
  mute.clock.advance(9999);
  deepEqual(mute.ends, []);
  mute.clock.advance(1);
  deepEqual(mute.ends, ['no-hello']);
  const other = new Rig();
  await other.say({ ...hello, protocol: streamProtocol + 1 });
  deepEqual([other.ends, other.connected], [['stream.version'], []]);
});

test('a connection that ends while its hello is looked at was never one', async () => {
  for (const ends of [true, false]) {
    const looking = Promise.withResolvers<void>();
    const rig: Rig = new Rig({
      audit: {
        observe: async () => 'consistent',
        checkpoint: async () => {
          await looking.promise;
          return { note, size: 7, verifierKey: 'v', consistency: [] };
        },
      },
    });
    await rig.say(hello);
    if (ends) rig.session.end('cut');
    looking.resolve();
    await rig.say();
    equal(rig.connected.length, ends ? 0 : 1);
  }
});

test('only what fits our log is where the next proof starts', async () => {
  for (const [verdict, since] of [
    ['consistent', 7],
    ['behind', 7],
    ['superseded', 0],
    ['rollback', 0],
    ['fork', 0],
  ] as const) {
    const asked: number[] = [];
    const rig = new Rig({
      audit: {
        observe: async () => verdict,
        checkpoint: async (from) => {
          asked.push(from ?? -1);
          return { note, size: 7, verifierKey: 'v', consistency: [] };
        },
      },
    });
    await rig.say({ ...hello, checkpoint: note });
    rig.clock.advance(1200);
    await rig.say();
    equal(asked.at(-1), since, verdict);
  }
});

test('a node that was revoked after it connected and before its hello gets nothing', async () => {
  const rig = new Rig({ isLive: () => false });
  await rig.say(hello);
  deepEqual(rig.connected, []);
  deepEqual(rig.ends, ['node.refused']);
  equal(rig.count('welcome'), 0);
});

test('a node that owes its budget too much is let in to nothing, not to a lease either', async () => {
  const rig = new Rig();
  rig.admits = false;
  await rig.say(hello);
  deepEqual([rig.connected, rig.ends], [[], ['rate.exceeded']]);
  deepEqual([rig.count('welcome'), rig.count('lease')], [0, 0]);
});

test('a grant with a short lease is renewed in time, also one that comes later', async () => {
  const rig = new Rig();
  await rig.say(hello);
  equal(rig.count('lease'), 1);
  rig.clock.advance(5000);
  equal(rig.count('lease'), 1, 'the gateway’s own lease is long');
  rig.shortestLeaseMs = 5000;
  rig.connected[0]?.send({
    ...{ workloadId: 'w', target: '/run/secrets', setRevision: 1, terms: '', urgent: false },
    ...{ signals: [], keepOnLeaseLoss: false, leaseMs: 5000 },
    files: [
      {
        name: 'x',
        secretId: makeId('secret', { clock: systemClock, random: systemRandom }),
        version: 1,
        mode: 1,
        content: 'keep',
      },
    ],
  });
  equal(rig.count('lease'), 2, 'at once');
  for (let step = 0; step < 50; step += 1) {
    rig.clock.advance(100);
    const serial = rig.count('lease');
    await rig.say({ kind: 'lease-seen', serial });
  }
  ok(rig.count('lease') >= 5, 'at least every 1.1 s of 5');
  deepEqual(rig.ends, []);
});

test('a node that answers no lease is given up; one cannot answer in advance', async () => {
  const rig = new Rig();
  await rig.say(hello);
  await rig.say({ kind: 'lease-seen', serial: Number.MAX_SAFE_INTEGER });
  for (let step = 0; step < 8; step += 1) rig.clock.advance(33_000);
  deepEqual(rig.ends, ['silent']);
});

test('short leases are renewed often, and missed answers to them end no stream early', async () => {
  const rig = new Rig();
  rig.shortestLeaseMs = 5000;
  await rig.say(hello);
  for (let step = 0; step < 80; step += 1) rig.clock.advance(1000);
  ok(rig.count('lease') > 50, 'control: many are unanswered');
  deepEqual(rig.ends, []);
  for (let step = 0; step < 20; step += 1) rig.clock.advance(1000);
  deepEqual(rig.ends, ['silent']);
});

async function shown(): Promise<Rig> {
  const rig = new Rig();
  await rig.say(hello);
  rig.clock.advance(1200);
  await rig.say();
  equal(rig.count('checkpoint'), 1);
  return rig;
}

const seen = (cosignature: string, size = 7): FromEnforcer => ({
  kind: 'checkpoint-seen',
  size,
  cosignature,
  refused: '',
});

test('a node has witnessed what it was shown and signed with its own key, and nothing else', async () => {
  const own = cosignCheckpoint(head(7), witness, nowS);
  const control = await shown();
  await control.say(seen(own));
  deepEqual([control.witnessed, control.noted], [[7], []]);
  const larger = await shown();
  await larger.say(seen(own, 1e12));
  deepEqual(larger.witnessed, [7], 'whatever size it says');
  const wrong: Readonly<Record<string, string>> = {
    none: '',
    'another tree': cosignCheckpoint(head(8), witness, nowS),
    'another node': cosignCheckpoint(head(7), signer('cosignature', 'node/node-2'), nowS),
    'another key': cosignCheckpoint(head(7), signer('cosignature', 'node/node-1'), nowS),
    'the log’s own': signNote(formatCheckpoint(head(7)), logKey),
    'one bit': own.replace(/.(?=..\n$)/, (last) => (last === 'A' ? 'B' : 'A')),
    twice: own + own,
    'more text': `more\n\n${cosignNote(`${formatCheckpoint(head(7))}\nmore\n`, witness, nowS)}`,
  };
  for (const [what, cosignature] of Object.entries(wrong)) {
    const rig = await shown();
    await rig.say(seen(cosignature), seen(cosignature));
    deepEqual(rig.witnessed, [], what);
    deepEqual(
      rig.noted,
      [{ action: 'witness.cosign', outcome: 'witness.cosignature', detail: { size: '7' } }],
      `${what}: recorded once`,
    );
    deepEqual(rig.ends, [], 'it stays: others witness');
    await rig.say(seen(own));
    deepEqual(rig.witnessed, [7], 'and a good one counts again');
  }
});

test('a node that asks and does not read the answers is given up, and a slow one is not', async () => {
  const refuses = { renew: () => Promise.reject(new Fault('rate.exceeded')) };
  const rig = new Rig(refuses);
  await rig.say(hello);
  rig.queuedBytes = 16 * 1024 * 1024;
  await rig.say({ kind: 'renew', certificateRequest: 'csr' });
  deepEqual([rig.ends, rig.noted.length], [[], 1], 'control');
  rig.queuedBytes += 1;
  await rig.say({ kind: 'renew', certificateRequest: 'csr' });
  deepEqual([rig.ends, rig.noted.length], [['unread'], 1]);
});

test('a node that remembers another log than ours is recorded, once per connection', async () => {
  const refused = (verdict: string): FromEnforcer => ({
    kind: 'checkpoint-seen',
    size: 9,
    cosignature: '',
    refused: verdict,
  });
  for (const verdict of ['rollback', 'fork', 'unsigned']) {
    const rig = await shown();
    await rig.say(refused(verdict), refused(verdict), refused('fork'));
    const about = { action: 'witness.refuse', outcome: `audit.${verdict}`, detail: { size: '9' } };
    deepEqual(rig.noted, [about]);
  }
  const full = await shown();
  await full.say(refused('not-remembered'), refused('toString'));
  deepEqual(full.noted, [], 'control: it has no room, or says nothing that is known');
  for (const [verdict, outcomes] of [
    ['rollback', ['audit.rollback']],
    ['fork', ['audit.fork']],
    ['behind', []],
  ] as const) {
    const rig = new Rig({
      audit: {
        observe: async () => verdict,
        checkpoint: async () => ({ note, size: 7, verifierKey: 'v', consistency: [] }),
      },
    });
    await rig.say({ ...hello, checkpoint: note });
    deepEqual(
      rig.noted.map(({ outcome }) => outcome),
      outcomes,
      verdict,
    );
  }
});

test('requests to renew are carried out one at a time', async () => {
  const rig = new Rig();
  const renew: FromEnforcer = { kind: 'renew', certificateRequest: 'csr' };
  await rig.say(hello);
  await rig.say(...Array.from({ length: 100 }, () => renew));
  equal(rig.renewals, 1);
  rig.clock.advance(10);
  await rig.say();
  equal(rig.count('renewed'), 1);
  deepEqual(rig.noted, []);
  const refused = new Rig({ renew: () => Promise.reject(new Fault('rate.exceeded')) });
  await refused.say(hello);
  await refused.say(renew);
  deepEqual(refused.noted, [{ action: 'node.renew', outcome: 'rate.exceeded', detail: {} }]);
});
