/**
 * Goal: what the gateway hears is what is so, whatever became of the connection that asked; a gateway that
 * is silent is left, and one whose log was rewritten gets nothing new in, but what it withdraws goes.
 * Method: real sessions, witness and holdings; the gateway's end of the link is the test's.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { silentLog } from '../base/log.ts';
import { signCheckpoint } from '../crypto/checkpoint.ts';
import { Frontier, hashLeaf } from '../crypto/merkle.ts';
import { formatVerifier, noteSigner } from '../crypto/note.ts';
import type { SetReceipt } from '../model/assignment.ts';
import { SecretValue } from '../model/secret-value.ts';
import {
  decodeFromEnforcer,
  encodeFromGateway,
  type FromEnforcer,
  type FromGateway,
} from '../protocol/stream-messages.ts';
import { EnforcerRig } from '../testing/enforcer-rig.ts';
import { SimConnection } from '../testing/sim-network.ts';
import { Session } from './session.ts';
import { Witness, type WitnessMemory } from './witness.ts';

const verifier = formatVerifier(
  noteSigner('note', 'log', generateKeyPairSync('ed25519').privateKey),
);
const leaseEveryMs = 1000;

class SessionRig extends EnforcerRig {
  readonly heard: FromEnforcer[] = [];
  readonly ended: string[] = [];
  /** What became of requests to renew. */
  readonly renewals: string[] = [];
  /** Set, the witness cannot remember. */
  isDiskFull = false;
  witness: Witness;
  #witnessMemory: WitnessMemory | undefined;
  session!: Session;
  #connection!: SimConnection;

  constructor() {
    super();
    this.witness = this.startWitness();
  }

  /** One that knows what the one before it has written. */
  startWitness(): Witness {
    return (this.witness = new Witness({
      clock: this.clock,
      signer: noteSigner('cosignature', 'node/1', generateKeyPairSync('ed25519').privateKey),
      remembered: this.#witnessMemory,
      remember: (memory) => {
        if (this.isDiskFull) throw new Error('no space');
        this.#witnessMemory = memory;
      },
    }));
  }

  async connect(checkpointVerifier = verifier, isWelcome = true): Promise<void> {
    this.#connection = new SimConnection(this.time, this.random);
    this.#connection.gatewayEnd.open({
      message: (bytes) => {
        const message = decodeFromEnforcer(bytes);
        if (message) this.heard.push(message);
      },
      closed: () => {},
    });
    const session = new Session({
      clock: this.clock,
      log: silentLog,
      link: this.#connection.enforcerEnd,
      holdings: this.holdings,
      witness: this.witness,
      version: 'test',
      bootId: 'boot',
      weakenings: () => [],
      report: (receipt) => this.session.receipt(receipt),
      checkpointShown: () => {},
      renewed: (certificate) => void this.renewals.push(certificate),
      notRenewed: (code) => void this.renewals.push(code),
      ended: (reason) => void this.ended.push(reason),
    });
    this.session = session;
    if (isWelcome) this.welcome(checkpointVerifier);
    await this.time.pass(100);
  }

  welcome(checkpointVerifier = verifier): void {
    this.say({ kind: 'welcome', protocol: 1, leaseMs: 10_000, leaseEveryMs, checkpointVerifier });
  }

  say(message: FromGateway): void {
    this.#connection.gatewayEnd.send(encodeFromGateway(message));
  }

  cut(): void {
    this.#connection.cut('cut');
  }

  get receipts(): readonly SetReceipt[] {
    return this.heard.flatMap((message) => (message.kind === 'receipt' ? [message.receipt] : []));
  }
}

test('Session says hello with all that runs and is held, and answers leases', async () => {
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  await rig.connect();
  const [hello] = rig.heard;
  ok(hello?.kind === 'hello');
  deepEqual(
    [hello.workloads.map(({ id }) => id), hello.held, hello.checkpoint],
    [[app.id], rig.holdings.held, ''],
  );
  rig.say({ kind: 'lease', serial: 7 });
  await rig.time.pass(100);
  deepEqual(rig.heard.at(-1), { kind: 'lease-seen', serial: 7 });
});

test('Session leaves a gateway that is silent for three leases, and not before', async () => {
  const rig = new SessionRig();
  await rig.connect();
  rig.say({ kind: 'lease', serial: 1 });
  await rig.time.pass(2 * leaseEveryMs);
  deepEqual(rig.ended, []);
  await rig.time.pass(leaseEveryMs + 100);
  deepEqual(rig.ended, ['silent']);
});

test('a renewal that is refused ends nothing; any other refusal ends the stream', async () => {
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.connect();
  equal(rig.session.renew('csr'), true);
  rig.say({ kind: 'refused', code: 'storage.read-only' });
  await rig.time.pass(100);
  deepEqual([rig.renewals, rig.ended], [['storage.read-only'], []]);
  rig.say({ kind: 'assign', set: rig.set(app, [rig.file('db', 1, 'one')]) });
  await rig.time.pass(100);
  deepEqual(rig.read(app), { db: 'one' }, 'the stream goes on');
  rig.session.renew('csr');
  rig.say({ kind: 'renewed', certificate: 'new' });
  await rig.time.pass(100);
  deepEqual(rig.renewals, ['storage.read-only', 'new']);
  // Nothing was asked for that this could answer.
  rig.say({ kind: 'refused', code: 'node.refused' });
  await rig.time.pass(100);
  deepEqual(rig.ended, ['node.refused']);
  equal(rig.session.renew('csr'), false);
});

test('a checkpoint that cannot be remembered is not accepted, and ends nothing', async () => {
  const rig = new SessionRig();
  const log = noteSigner('note', 'log', generateKeyPairSync('ed25519').privateKey);
  await rig.connect(formatVerifier(log));
  const root = Frontier.empty().root();
  const note = signCheckpoint({ origin: 'log', size: 0, root, extensions: [] }, log);
  rig.isDiskFull = true;
  rig.say({ kind: 'checkpoint', note, consistency: [] });
  await rig.time.pass(100);
  const said = { kind: 'checkpoint-seen', size: 0 } as const;
  deepEqual(rig.heard.at(-1), { ...said, cosignature: '', refused: 'not-remembered' });
  deepEqual([rig.ended, rig.witness.alarm, rig.witness.note], [[], undefined, '']);
  rig.isDiskFull = false;
  rig.say({ kind: 'checkpoint', note, consistency: [] });
  await rig.time.pass(100);
  const seen = rig.heard.at(-1);
  ok(seen?.kind === 'checkpoint-seen' && seen.refused === '', 'control');
});

test('a receipt goes out on the connection there is, not on the one that asked', async () => {
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.connect();
  let proceed = (): void => {};
  const { assign } = rig.holdings;
  rig.holdings.assign = async (set) => {
    await new Promise<void>((resolve) => (proceed = resolve));
    return assign.call(rig.holdings, set);
  };
  rig.say({ kind: 'assign', set: rig.set(app, [rig.file('db', 1, 'one')]) });
  await rig.time.pass(100);
  rig.cut();
  rig.heard.length = 0;
  await rig.connect();
  // The new hello knew nothing of what was on its way.
  ok(rig.heard[0]?.kind === 'hello' && rig.heard[0].held.length === 0);
  proceed();
  await rig.time.pass(100);
  deepEqual(
    rig.receipts.map(({ outcome, files }) => [outcome, files.length]),
    [['placed', 1]],
  );
});

test('what an earlier enforcer left in a container that is found late is said with it', async () => {
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.holdings.assign(rig.set(app, [rig.file('db', 1, 'one')]));
  await rig.restart();
  await rig.connect();
  ok(rig.heard[0]?.kind === 'hello' && rig.heard[0].workloads.length === 0);
  await rig.holdings.started(app);
  rig.session.workloadStarted(app);
  await rig.time.pass(100);
  equal(rig.heard.at(-2)?.kind, 'workload-started');
  deepEqual(
    rig.receipts.map(({ outcome, files }) => [outcome, files.length]),
    [['placed', 1]],
  );
});

test('after an alarm nothing new comes in, and what is withdrawn goes', async () => {
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.connect();
  const files = [rig.file('db', 1, 'one'), rig.file('key', 1, 'k'), rig.file('leaked', 1, 'l')];
  rig.say({ kind: 'assign', set: rig.set(app, files) });
  await rig.time.pass(100);
  rig.say({ kind: 'checkpoint', note: 'not signed', consistency: [] });
  await rig.time.pass(100);
  equal(rig.witness.alarm, 'unsigned');
  // A rotation of one, a new one, and one that leaves: only the last happens.
  const next = [rig.file('db', 2, 'two'), rig.file('key', 1), rig.file('new', 1, 'n')];
  rig.say({ kind: 'assign', set: rig.set(app, next) });
  await rig.time.pass(100);
  deepEqual(rig.read(app), { db: 'one', key: 'k' });
  const receipt = rig.receipts.at(-1);
  deepEqual([receipt?.outcome, receipt?.fault], ['failed', 'witness.alarm']);
  deepEqual(
    receipt?.files.map(({ name, version }) => `${name}@${version}`),
    ['db@1', 'key@1'],
  );
  // Nothing to withdraw: nothing is touched.
  rig.changes.length = 0;
  rig.say({ kind: 'assign', set: rig.set(app, [rig.file('db', 2, 'two'), rig.file('key', 1)]) });
  await rig.time.pass(100);
  deepEqual(rig.changes, []);
  // Sets without anything new, and without anything, are carried out.
  rig.say({ kind: 'assign', set: rig.set(app, [rig.file('key', 1)]) });
  await rig.time.pass(100);
  deepEqual(rig.read(app), { key: 'k' });
  equal(rig.receipts.at(-1)?.outcome, 'placed');
  rig.say({ kind: 'assign', set: rig.set(app, []) });
  await rig.time.pass(100);
  deepEqual(rig.read(app), {});
});

test('an alarm outlives a restart: nothing new comes in before the log is as it was', async () => {
  const log = noteSigner('note', 'log', generateKeyPairSync('ed25519').privateKey);
  const checkpoint = (size: number) => {
    const tree = Frontier.empty();
    for (let leaf = 0; leaf < size; leaf += 1) tree.append(hashLeaf(Buffer.from([leaf])), () => {});
    const content = { origin: 'log', size, root: tree.root(), extensions: [] };
    return { kind: 'checkpoint', note: signCheckpoint(content, log), consistency: [] } as const;
  };
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.connect(formatVerifier(log));
  rig.say(checkpoint(2));
  rig.say(checkpoint(1));
  await rig.time.pass(100);
  equal(rig.witness.alarm, 'rollback');
  await rig.restart(app);
  rig.startWitness();
  await rig.connect(formatVerifier(log));
  // Before any checkpoint was shown to this one.
  rig.say({ kind: 'assign', set: rig.set(app, [rig.file('db', 1, 'one')]) });
  await rig.time.pass(100);
  deepEqual(rig.read(app), {});
  deepEqual(
    [rig.receipts.at(-1)?.outcome, rig.receipts.at(-1)?.fault],
    ['failed', 'witness.alarm'],
  );
  rig.say(checkpoint(2));
  rig.say({ kind: 'assign', set: rig.set(app, [rig.file('db', 1, 'one')]) });
  await rig.time.pass(100);
  deepEqual(rig.read(app), { db: 'one' }, 'control: once the log is the one it knows');
});

test('a gateway with another log key is left, and serves nothing', async () => {
  const rig = new SessionRig();
  await rig.connect();
  rig.cut();
  rig.ended.length = 0;
  const meet = rig.witness.meet.bind(rig.witness);
  rig.witness.meet = () =>
    meet(formatVerifier(noteSigner('note', 'log', generateKeyPairSync('ed25519').privateKey)));
  await rig.connect();
  deepEqual(rig.ended, ['malformed']);
  equal(rig.witness.alarm, 'other-key');
});

test('values that an alarm keeps out are wiped unseen', async (t) => {
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.connect();
  const taken: Buffer[] = [];
  const { own } = SecretValue;
  t.mock.method(SecretValue, 'own', (bytes: Buffer) => {
    taken.push(bytes);
    return own.call(SecretValue, bytes);
  });
  rig.say({ kind: 'checkpoint', note: 'not signed', consistency: [] });
  rig.say({ kind: 'assign', set: rig.set(app, [rig.file('db', 1, 'one')]) });
  await rig.time.pass(100);
  deepEqual(rig.read(app), {});
  equal(taken.length, 1);
  ok(taken.every((bytes) => bytes.every((byte) => byte === 0)));
});

test('before the welcome nothing is said but the hello; after it, all that waited', async () => {
  const rig = new SessionRig();
  const app = await rig.container();
  await rig.connect(verifier, false);
  rig.session.workloadStarted(app);
  rig.session.workloadStopped(app.id);
  await rig.time.pass(100);
  const kinds = (): string[] => rig.heard.map(({ kind }) => kind);
  deepEqual(kinds(), ['hello']);
  rig.welcome();
  await rig.time.pass(100);
  deepEqual(kinds(), ['hello', 'workload-started', 'workload-stopped']);
});

test('what waited in the connection while this process was stopped is as old as the silence', async () => {
  for (const [stoppedMs, read] of [
    [3 * leaseEveryMs - 200, { db: 'one' }],
    [3 * leaseEveryMs + 1, {}],
  ] as const) {
    const rig = new SessionRig();
    const app = await rig.container();
    await rig.connect();
    rig.say({ kind: 'assign', set: rig.set(app, [rig.file('db', 1, 'one')]) });
    rig.time.jump(stoppedMs);
    await rig.time.pass(100);
    deepEqual(rig.read(app), read, `${stoppedMs}`);
    deepEqual(rig.ended, stoppedMs > 3 * leaseEveryMs ? ['silent'] : []);
  }
});
