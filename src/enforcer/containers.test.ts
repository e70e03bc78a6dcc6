/**
 * Goal: what runs is known and nothing else, whatever order starts, stops and answers come in, and whatever
 * goes wrong with one container.
 * Method: a scripted runtime, real holdings over a kernel in memory, and an attestor that answers when the
 * test says so.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import { createLog } from '../base/log.ts';
import { EnforcerRig } from '../testing/enforcer-rig.ts';
import { fakeFacts } from '../testing/fake-runtime.ts';
import { Containers, type ContainersOptions } from './containers.ts';
import type { RuntimeContainer } from './runtime/runtime.ts';

interface Question {
  readonly container: RuntimeContainer;
  answer(): void;
  fail(error: unknown): void;
}

class ContainersRig extends EnforcerRig {
  /** Attestations that wait for an answer. */
  readonly questions: Question[] = [];
  /** What the gateway would be told. */
  readonly said: string[] = [];
  readonly logged: string[] = [];
  synced = 0;
  readonly watching: Promise<void>;
  readonly #stop = new AbortController();

  constructor(
    t: TestContext,
    change: (rig: ContainersRig) => Partial<ContainersOptions> = () => ({}),
  ) {
    super();
    t.after(() => this.#stop.abort());
    const { clock, runtime, holdings } = this;
    const write = (line: string): void =>
      void this.logged.push((JSON.parse(line) as { event: string }).event);
    const containers = new Containers({
      clock,
      runtime,
      holdings,
      log: createLog({ clock, level: 'debug', write }),
      attestor: {
        attest: (container) =>
          new Promise((resolve, reject) => {
            const facts = fakeFacts(container, { kind: 'docker', node: 'node-1' });
            this.questions.push({ container, answer: () => resolve(facts), fail: reject });
          }),
      },
      admitted: async () => void this.said.push('admitted'),
      started: ({ process }) => void this.said.push(`started ${process.pid}`),
      stopped: (id) => void this.said.push(`stopped ${this.#pidOf(id)}`),
      ...change(this),
    });
    this.watching = containers.watch(this.#stop.signal, () => (this.synced += 1));
  }

  get running(): readonly number[] {
    return this.holdings.workloads.map(({ process }) => process.pid);
  }

  /** Lets everything happen that can. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await this.time.pass(0);
  }

  #pidOf(workloadId: string): number | undefined {
    return this.questions.find(
      ({ container }) => fakeFacts(container, { kind: 'docker', node: 'node-1' }).id === workloadId,
    )?.container.pid;
  }
}

/** One container that starts, stops and starts again under its id, while nobody knows yet what it is. */
async function restartedUnseen(t: TestContext) {
  const rig = new ContainersRig(t);
  await rig.settle();
  const { id, pid } = rig.runtime.start({ name: 'app' });
  await rig.settle();
  rig.runtime.restart(id);
  await rig.settle();
  const [first, second] = rig.questions;
  if (!first || !second) throw new Error('it was not attested twice');
  return { rig, first, second, pids: [pid, second.container.pid] as const };
}

test('a container that restarts while it is attested is the second, whoever answers first', async (t) => {
  const { rig, first, second, pids } = await restartedUnseen(t);
  second.answer();
  await rig.settle();
  first.answer();
  await rig.settle();
  deepEqual(rig.running, [pids[1]]);
  deepEqual(
    rig.said.filter((word) => word !== 'admitted'),
    [`started ${pids[1]}`, `started ${pids[0]}`, `stopped ${pids[0]}`],
  );
});

test('… also when the first answers first, or was gone, and it stops again', async (t) => {
  for (const wasGone of [false, true]) {
    const { rig, first, second, pids } = await restartedUnseen(t);
    if (wasGone) first.fail(new Fault('attest.gone'));
    else first.answer();
    await rig.settle();
    second.answer();
    await rig.settle();
    deepEqual(rig.running, [pids[1]]);
    rig.runtime.stop(first.container.id);
    await rig.settle();
    deepEqual([rig.running, rig.said.at(-1)], [[], `stopped ${pids[1]}`]);
  }
});

test('a container with a new name is told of again, and keeps what it holds', async (t) => {
  const rig = new ContainersRig(t);
  await rig.settle();
  const { id, pid } = rig.runtime.start({ name: 'app' });
  await rig.settle();
  rig.questions[0]?.answer();
  await rig.settle();
  const [workload] = rig.holdings.workloads;
  if (!workload) throw new Error('it is not known');
  await rig.holdings.assign(rig.set(workload, [rig.file('token', 1, 'value')]));
  const changes = rig.changes.length;

  rig.runtime.rename(id, 'away');
  await rig.settle();
  // Until it is attested anew it is what it was.
  rig.questions[1]?.fail(new Fault('attest.mismatch'));
  await rig.settle();
  deepEqual(rig.holdings.workloads, [workload]);
  await rig.time.pass(1000);
  rig.questions[2]?.answer();
  await rig.settle();
  deepEqual(rig.holdings.workloads, [{ ...workload, name: 'away' }]);
  deepEqual(
    rig.said.filter((word) => word !== 'admitted'),
    [`started ${pid}`, `started ${pid}`],
  );
  deepEqual(rig.read(workload), { token: 'value' });
  equal(rig.changes.length, changes, 'nothing was mounted anew');

  rig.runtime.rename(id, 'further');
  rig.runtime.stop(id);
  await rig.settle();
  rig.questions[3]?.fail(new Fault('attest.gone'));
  await rig.settle();
  deepEqual([rig.running, rig.said.at(-1)], [[], `stopped ${pid}`]);
});

test('a new name before the container is known by its first: the last one counts', async (t) => {
  for (const order of ['first', 'failed'] as const) {
    const rig = new ContainersRig(t);
    await rig.settle();
    const { id } = rig.runtime.start({ name: 'app' });
    await rig.settle();
    rig.runtime.rename(id, 'away');
    await rig.settle();
    equal(rig.questions.length, 1, 'one after the other');
    if (order === 'first') rig.questions[0]?.answer();
    else rig.questions[0]?.fail(new Fault('attest.mismatch'));
    await rig.settle();
    rig.questions[1]?.answer();
    await rig.settle();
    deepEqual(
      rig.holdings.workloads.map(({ name }) => name),
      ['away'],
    );
  }
});

test('what stops before it is known leaves nothing', async (t) => {
  const rig = new ContainersRig(t);
  await rig.settle();
  const { id, pid } = rig.runtime.start({ name: 'short' });
  await rig.settle();
  rig.runtime.stop(id);
  await rig.settle();
  deepEqual(rig.said, []);
  rig.questions[0]?.answer();
  await rig.settle();
  deepEqual(rig.said, ['admitted', `started ${pid}`, `stopped ${pid}`]);
  deepEqual([rig.running, rig.holdings.held], [[], []]);
});

test('the watchdog’s memory is written before the gateway can know of a container', async (t) => {
  const rig = new ContainersRig(t);
  await rig.settle();
  const { pid } = rig.runtime.start({ name: 'app' });
  await rig.settle();
  rig.questions[0]?.answer();
  await rig.settle();
  deepEqual(rig.said, ['admitted', `started ${pid}`]);
});

test('what is wrong with one container ends nothing for the others, nor the first look', async (t) => {
  const rig = new ContainersRig(t, ({ holdings }) => ({
    holdings: {
      started: (workload) =>
        workload.name === 'bad'
          ? Promise.reject(new Error('a defect'))
          : holdings.started(workload),
      stopped: (id) => holdings.stopped(id),
    },
  }));
  // There already when the watch begins.
  rig.runtime.start({ name: 'bad' });
  const { pid } = rig.runtime.start({ name: 'good' });
  await rig.settle();
  equal(rig.synced, 0, 'not before all of them are known');
  for (const { answer } of rig.questions) answer();
  await rig.settle();
  deepEqual([rig.running, rig.synced], [[pid], 1]);
  deepEqual(rig.logged, ['workload.attested', 'workload.attested', 'workload.failed']);
});

test('attestation is tried again when runtime and kernel disagree, and given up in the end', async (t) => {
  const rig = new ContainersRig(t);
  await rig.settle();
  rig.runtime.start({ name: 'odd' });
  await rig.settle();
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    equal(rig.questions.length, attempt);
    rig.questions.at(-1)?.fail(new Fault('attest.mismatch'));
    await rig.time.pass(1000);
  }
  deepEqual([rig.questions.length, rig.running, rig.said], [3, [], []]);
  deepEqual(
    rig.logged,
    Array.from({ length: 3 }, () => 'workload.not-attested'),
  );
});

test('… but not while the engine cannot be asked: it may restart and tell of no new start', async (t) => {
  const rig = new ContainersRig(t);
  await rig.settle();
  const { id, pid } = rig.runtime.start({ name: 'app' });
  await rig.settle();
  for (let attempt = 1; attempt <= 20; attempt += 1) {
    equal(rig.questions.length, attempt);
    rig.questions.at(-1)?.fail(new Fault('runtime.unreachable'));
    await rig.time.pass(31_000);
  }
  rig.questions.at(-1)?.answer();
  await rig.settle();
  deepEqual(rig.running, [pid]);
  // One that stops meanwhile is asked about no more.
  rig.runtime.stop(id);
  await rig.settle();
  rig.runtime.start({ name: 'short' });
  await rig.settle();
  const asked = rig.questions.length;
  rig.questions.at(-1)?.fail(new Fault('runtime.unreachable'));
  rig.runtime.stop(rig.questions.at(-1)?.container.id ?? '');
  await rig.time.pass(100_000);
  deepEqual([rig.questions.length, rig.running], [asked, []]);
});

test('a container of which more would be said than a gateway hears is not spoken of', async (t) => {
  const rig = new ContainersRig(t);
  await rig.settle();
  const { pid } = rig.runtime.start({ name: 'a'.repeat(limits.factCharsMax) });
  rig.runtime.start({ name: 'a'.repeat(limits.factCharsMax + 1) });
  await rig.settle();
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    for (const { answer } of rig.questions) answer();
    await rig.time.pass(1000);
  }
  deepEqual([rig.running, rig.questions.length], [[pid], 4]);
  const refused = Array.from({ length: 3 }, () => 'workload.not-attested');
  deepEqual(rig.logged.toSorted(), ['workload.attested', ...refused]);
});

test('a runtime that cannot be watched any more ends the watch: who sees nothing must not go on', async (t) => {
  const rig = new ContainersRig(t, () => ({
    runtime: {
      async *watch() {
        yield { kind: 'synced' };
        await Promise.resolve();
        throw new Fault('runtime.unreachable');
      },
    },
  }));
  await rejects(rig.watching, { code: 'runtime.unreachable' });
});
