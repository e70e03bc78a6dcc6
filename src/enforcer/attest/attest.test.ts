/**
 * Goal: facts are those of the container's own main process, read from the kernel, or there are none.
 * Method: real containers, then a runtime that lies about them in each way that matters. Controls:
 * the same calls with the truth pass.
 */
import { deepEqual, equal, match, notEqual, ok, rejects } from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { type ContainerOptions, TestContainer } from '../../testing/container.ts';
import { acquireEngine } from '../../testing/engine.ts';
import { provideImage } from '../../testing/images.ts';
import { createRuntime, type RuntimeContainer } from '../runtime/runtime.ts';
import { createAttestor, workloadIdOf } from './attest.ts';
import { cgroupsName } from './process-facts.ts';

const { engine, reason } = await acquireEngine();
after(() => engine?.[Symbol.asyncDispose]());

const runtime = createRuntime(
  { kind: 'docker', socketPath: engine?.socketPath ?? '/nonexistent' },
  { clock: systemClock, random: systemRandom, log: silentLog },
);
const attestor = createAttestor({ runtime, node: 'node-1' });

async function run(options: Partial<ContainerOptions> = {}): Promise<TestContainer> {
  const { image, reason: missing } = await provideImage(engine!, 'busybox');
  return TestContainer.run(engine!, { image: image ?? missing, ...options });
}

async function told(container: TestContainer): Promise<RuntimeContainer> {
  return (await runtime.inspect(container.id)) ?? Promise.reject(new Error('does not run'));
}

/** Attests what a runtime says that answers every question with `lie`. */
function attestLie(lie: RuntimeContainer) {
  const liar = { kind: 'docker', inspect: async () => lie } as const;
  return createAttestor({ runtime: liar, node: 'node-1' }).attest(lie);
}

describe('attest', { skip: reason ?? false }, () => {
  test('gives what the kernel shows of the main process', async () => {
    const labels = { tier: 'backend' };
    await using container = await run({ user: '1000:1001', readOnlyRoot: true, labels });
    const facts = await attestor.attest(await told(container));
    const pid = await container.pid();
    equal(facts.containerId, container.id);
    equal(facts.node, 'node-1');
    deepEqual(
      [facts.process.pid, facts.process.uid, facts.process.gid, facts.process.userNamespaced],
      [pid, 1000, 1001, false],
    );
    equal(facts.process.mountNamespace, statSync(`/proc/${pid}/ns/mnt`).ino);
    ok(facts.process.cgroup.includes(container.id));
    deepEqual(facts.isolation, { privileged: false, hostPid: false, readOnlyRoot: true });
    equal(facts.labels['tier'], 'backend');
    equal(facts.proof.labels, 'declared');
    equal(facts.proof.process, 'kernel');
    match(facts.id, /^wld_[0-9a-f]{32}$/);
  });

  test('reports what weakens the walls: from the runtime and from the kernel', async () => {
    // Said by the runtime only: where this test's own root is confined, privileged ones cannot start.
    await using plain = await run();
    equal((await attestLie(await told(plain))).isolation.privileged, false);
    const said = { ...(await told(plain)), privileged: true };
    equal((await attestLie(said)).isolation.privileged, true);
    await using capable = await run({ addCapabilities: ['SYS_ADMIN'] });
    equal((await attestor.attest(await told(capable))).isolation.privileged, true);
    await using seeing = await run({ hostPid: true });
    equal((await attestor.attest(await told(seeing))).isolation.hostPid, true);
  });

  test('the id stays with the process and changes with a restart', async () => {
    await using container = await run();
    const first = await attestor.attest(await told(container));
    const same = await createAttestor({ runtime, node: 'node-1' }).attest(await told(container));
    equal(same.id, first.id);
    await container.restart();
    const next = await attestor.attest(await told(container));
    equal(next.containerId, first.containerId);
    notEqual(next.id, first.id);
  });

  test('a container that stopped or restarted since it was told of is gone', async () => {
    await using container = await run();
    const before = await told(container);
    ok(await attestor.attest(before));
    await container.restart();
    await rejects(attestor.attest(before), { code: 'attest.gone' });
    await container.stop();
    await rejects(attestor.attest(before), { code: 'attest.gone' });
  });

  test('another container’s process is refused, by its control group', async () => {
    await using container = await run();
    await using other = await run();
    const truth = await told(container);
    ok(await attestLie(truth), 'control: the truth passes');
    const lie = attestLie({ ...truth, pid: await other.pid() });
    await rejects(lie, { code: 'attest.mismatch', message: /field="cgroup"/ });
  });

  test('a process of the host is refused, also when it says it is the container', async () => {
    await using container = await run();
    const lie = attestLie({ ...(await told(container)), pid: process.pid });
    await rejects(lie, { code: 'attest.mismatch' });
    // The same for a kind without control groups: nothing is ever mounted on the host.
    const plain = { ...(await told(container)), pid: process.pid };
    const liar = { kind: 'process', inspect: async () => plain } as const;
    const attesting = createAttestor({ runtime: liar, node: 'node-1' }).attest(plain);
    await rejects(attesting, { code: 'attest.mismatch' });
  });

  test('a number that changes hands while the runtime is asked is refused', async () => {
    await using container = await run();
    const truth = await told(container);
    const renumbered = { ...truth, pid: truth.pid + 1 };
    const wavering = { kind: 'docker', inspect: async () => renumbered } as const;
    const attesting = createAttestor({ runtime: wavering, node: 'node-1' }).attest(truth);
    await rejects(attesting, { code: 'attest.mismatch' });

    const ending = {
      kind: 'docker',
      async inspect() {
        await container.kill();
        await container.wait();
        // The engine noticed nothing yet.
        return truth;
      },
    } as const;
    const dying = createAttestor({ runtime: ending, node: 'node-1' }).attest(truth);
    await rejects(dying, { code: 'attest.gone' });
  });

  test('nothing that the workload says is believed', async () => {
    await using other = await run();
    // It names itself for another container in every way that it can.
    await using container = await run({
      command: ['sh', '-c', 'sleep 1000', other.id],
      environment: { HOSTNAME: other.id, CONTAINER_ID: other.id },
    });
    const facts = await attestor.attest(await told(container));
    equal(facts.containerId, container.id);
    ok(!JSON.stringify(facts).includes(other.id));
  });
});

test('cgroupsName wants the id as a whole word', () => {
  const id = 'a'.repeat(64);
  for (const path of [
    `/docker/${id}`,
    `/system.slice/docker-${id}.scope`,
    `/machine.slice/libpod-${id}.scope/container`,
    `/kubepods.slice/kubepods-pod1.slice/cri-containerd-${id}.scope`,
    `/kubepods/burstable/pod1/${id}`,
    `/../${id}`,
  ]) {
    ok(cgroupsName(['/', path], id), path);
  }
  for (const path of ['/', `/docker/${id}b`, `/docker/b${id}`, `/docker/${id.slice(1)}`]) {
    ok(!cgroupsName([path], id), path);
  }
});

test('workloadIdOf depends on every part, and parts cannot flow into each other', () => {
  const of = { containerId: 'ab', bootId: 'c', pid: 11, startTicks: 1 };
  const ids = [
    workloadIdOf('docker', of),
    workloadIdOf('process', of),
    workloadIdOf('docker', { ...of, containerId: 'a', bootId: 'bc' }),
    workloadIdOf('docker', { ...of, bootId: 'd' }),
    workloadIdOf('docker', { ...of, pid: 1, startTicks: 11 }),
    workloadIdOf('docker', { ...of, pid: 12 }),
    workloadIdOf('docker', { ...of, startTicks: 2 }),
    workloadIdOf('docker', { ...of, containerId: 'abc' }),
  ];
  equal(new Set(ids).size, ids.length);
  equal(workloadIdOf('docker', of), ids[0]);
});

test('the boot id that ids rest on is there', () => {
  match(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'), /^[0-9a-f-]{36}\n$/);
});
