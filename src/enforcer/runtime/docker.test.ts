/**
 * Goal: the Docker runtime tells the truth about a real engine, and gets over its restarts.
 * Method: the suite, then what is Docker's own: restarts of the engine on an engine for this file
 * alone, and faults of the connection on sockets that misbehave.
 */
import assert, { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { createLog, silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { type ContainerOptions, TestContainer } from '../../testing/container.ts';
import { acquireEngine, startPrivateEngine, type TestEngine } from '../../testing/engine.ts';
import { distrolessRecipe, provideImage } from '../../testing/images.ts';
import { pullImage } from '../../testing/registry.ts';
import { DockerClient } from './docker-client.ts';
import { createRuntime, type Runtime, type RuntimeContext } from './runtime.ts';
import { runtimeSuite, Told } from './runtime.suite.ts';

const context: RuntimeContext = { clock: systemClock, random: systemRandom, log: silentLog };
const { engine, reason } = await acquireEngine();
after(() => engine?.[Symbol.asyncDispose]());

function runtimeOn(on: { readonly socketPath: string }): Runtime {
  return createRuntime({ kind: 'docker', socketPath: on.socketPath }, context);
}

async function busyboxOn(on: TestEngine): Promise<string> {
  const { image, reason: missing } = await provideImage(on, 'busybox');
  return image ?? Promise.reject(new Error(missing));
}

runtimeSuite(
  'docker',
  async () => {
    const image = await busyboxOn(engine!);
    const containers = new Map<string, TestContainer>();
    return {
      runtime: runtimeOn(engine!),
      async start() {
        const container = await TestContainer.run(engine!, { image });
        containers.set(container.id, container);
        return container.id;
      },
      stop: async (id) => containers.get(id)?.stop(),
      restart: async (id) => containers.get(id)?.restart(),
      async [Symbol.asyncDispose]() {
        await Promise.all([...containers.values()].map((container) => container.remove()));
      },
    };
  },
  { skip: reason },
);

describe('docker runtime', { skip: reason ?? false }, () => {
  const run = async (options: Partial<ContainerOptions> = {}) =>
    TestContainer.run(engine!, { image: await busyboxOn(engine!), ...options });

  test('inspect gives what the container was made of', async () => {
    const labels = {
      tier: 'backend',
      'io.kubernetes.pod.namespace': 'payments',
      'io.kubernetes.pod.name': 'api-0',
      'io.kubernetes.pod.uid': '7f1c',
      'io.kubernetes.container.name': 'app',
    };
    const name = `coffer-test-facts-${process.pid}`;
    await using container = await run({ name, user: '1000:1000', readOnlyRoot: true, labels });
    const found = await runtimeOn(engine!).inspect(container.id);
    ok(found !== undefined);
    equal(found.name, name);
    equal(found.pid, await container.pid());
    match(found.image.reference, /^coffer-test\/busybox:/);
    match(found.image.id, /^sha256:[0-9a-f]{64}$/);
    deepEqual(found.image.digests, []);
    equal(found.user, '1000:1000');
    equal(found.labels['tier'], 'backend');
    deepEqual([found.readOnlyRoot, found.privileged, found.hostPid], [true, false, false]);
    deepEqual(found.kubernetes, {
      namespace: 'payments',
      pod: 'api-0',
      podUid: '7f1c',
      container: 'app',
    });
  });

  test('an image that was pulled is known by its digest', async () => {
    const pulled = await pullImage(engine!, distrolessRecipe(), {
      repository: 'payments/api',
      tag: '1.4',
    });
    await using container = await run({ image: pulled.image });
    const runtime = runtimeOn(engine!);
    const found = await runtime.inspect(container.id);
    equal(found?.image.reference, pulled.image);
    deepEqual(found.image.digests, [pulled.digest]);
    await container.remove();
    await pulled[Symbol.asyncDispose]();
  });

  test('a kill from outside is a stop', async () => {
    await using container = await run();
    await using told = new Told(runtimeOn(engine!));
    await told.synced();
    process.kill(await container.pid(), 'SIGKILL');
    await told.until((so) => so.kinds(container.id).includes('stopped'));
  });

  test('a new name is told, of the same process', async () => {
    await using container = await run({ name: `coffer-test-before-${process.pid}` });
    const runtime = runtimeOn(engine!);
    await using told = new Told(runtime);
    await told.synced();
    const before = await runtime.inspect(container.id);
    const name = `coffer-test-after-${process.pid}`;
    await container.rename(name);
    await told.until((so) => so.kinds(container.id).includes('renamed'));
    deepEqual(told.names(container.id), [before?.name, name]);
    deepEqual(await runtime.inspect(container.id), { ...before, name });
  });

  test('containers that live for a moment leave nothing open', async () => {
    await using told = new Told(runtimeOn(engine!));
    await told.synced();
    await using short = await run({ command: ['true'] });
    await short.wait();
    await using marker = await run();
    await told.until((so) => so.kinds(marker.id).includes('started'));
    await told.until((so) => so.kinds(short.id).at(-1) !== 'started');
  });

  test('a container that is paused runs: it is listed, and nothing is told', async () => {
    await using container = await run();
    const runtime = runtimeOn(engine!);
    await using told = new Told(runtime);
    await told.synced();
    await container.pause();
    ok(await runtime.inspect(container.id));
    {
      await using other = new Told(runtimeOn(engine!));
      await other.synced();
      deepEqual(other.kinds(container.id), ['started']);
    }
    await container.unpause();
    // Control: what happens afterwards is told.
    await container.stop();
    await told.until((so) => so.kinds(container.id).includes('stopped'));
    deepEqual(told.kinds(container.id), ['started', 'stopped']);
  });
});

describe('docker runtime and a restart of the engine', { skip: reason ?? false }, () => {
  for (const liveRestore of [true, false]) {
    const what = liveRestore ? 'survive it: nothing is told' : 'stop: it is told';
    test(`containers ${what}, and starts are told again`, async (context) => {
      const own = await startPrivateEngine(liveRestore ? ['--live-restore'] : []);
      await using mine = own.engine ?? assert.fail(own.reason);
      const image = await busyboxOn(mine);
      const container = await TestContainer.run(mine, { image });
      await using told = new Told(runtimeOn(mine));
      await told.synced();
      if (!(await mine.restart())) {
        context.skip('dockerd did not come back after its restart; run this test alone');
        return;
      }
      const next = await TestContainer.run(mine, { image });
      await told.until((so) => so.kinds(next.id).includes('started'));
      const ended = (so: Told) => so.kinds(container.id).at(-1) === 'stopped';
      if (!liveRestore) await told.until(ended);
      deepEqual(told.kinds(container.id), liveRestore ? ['started'] : ['started', 'stopped']);
      equal(told.events.filter((event) => event.kind === 'synced').length, 1);
    });
  }
});

/** An engine that answers everything with the same, on a socket of its own. */
async function fakeEngine(
  body: string,
): Promise<AsyncDisposable & { readonly socketPath: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-engine-fake-'));
  const socketPath = join(directory, 'docker.sock');
  const server = createServer((_request, response) => response.end(body));
  await once(server.listen(socketPath), 'listening');
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

describe('docker client and engines that are not what they should be', () => {
  const clientOn = (socketPath: string) => new DockerClient({ socketPath, clock: systemClock });

  test('no engine is unreachable', async () => {
    const client = clientOn('/nonexistent/docker.sock');
    await rejects(client.connect(), { code: 'runtime.unreachable' });
  });

  test('an engine that is too old is unsupported', async () => {
    const version = { ApiVersion: '1.40', MinAPIVersion: '1.12', Version: '19.03' };
    await using old = await fakeEngine(JSON.stringify(version));
    await rejects(clientOn(old.socketPath).connect(), {
      code: 'runtime.unsupported',
      message: /api="1\.40" least="1\.41"/,
    });
  });

  test('an engine that dropped what we speak is unsupported', async () => {
    const version = { ApiVersion: '1.99', MinAPIVersion: '1.90', Version: '99' };
    await using future = await fakeEngine(JSON.stringify(version));
    await rejects(clientOn(future.socketPath).connect(), {
      code: 'runtime.unsupported',
      message: /oldest="1\.90" newest="1\.48"/,
    });
  });

  test('nonsense is invalid', async () => {
    await using other = await fakeEngine('<html>');
    await rejects(clientOn(other.socketPath).connect(), { code: 'runtime.invalid' });
  });

  test('ids that would change the path are refused', async () => {
    const client = clientOn('/nonexistent/docker.sock');
    await rejects(client.inspect('../images'), { code: 'runtime.invalid' });
  });

  test('watch waits for an engine that is not there, and ends when told to', async () => {
    const logged = Promise.withResolvers<string>();
    const log = createLog({ clock: systemClock, level: 'warn', write: logged.resolve });
    const socketPath = '/nonexistent/docker.sock';
    const told = new Told(createRuntime({ kind: 'docker', socketPath }, { ...context, log }));
    match(await logged.promise, /"runtime\.down".*"runtime\.unreachable"/);
    await told[Symbol.asyncDispose]();
    deepEqual(told.events, []);
  });
});
