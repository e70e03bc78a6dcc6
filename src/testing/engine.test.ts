/**
 * Goal: the engine and the images that other tests stand on do what they say.
 * Method: use them as those tests do.
 */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { TestContainer } from './container.ts';
import { acquireEngine } from './engine.ts';
import { type ImageName, provideImage } from './images.ts';

const { engine, reason } = await acquireEngine();
after(() => engine?.[Symbol.asyncDispose]());

async function imageOf(name: ImageName): Promise<string> {
  const { image, reason: missing } = await provideImage(engine!, name);
  return image ?? Promise.reject(new Error(missing));
}

describe('test engine', { skip: reason ?? false }, () => {
  test('exec gives exit code, output and errors apart', async () => {
    await using container = await TestContainer.run(engine!, { image: await imageOf('busybox') });
    const result = await container.exec(['sh', '-c', 'echo out; echo err >&2; exit 3']);
    deepEqual(result, { exitCode: 3, stdout: 'out\n', stderr: 'err\n' });
  });

  test('user, environment and read-only root arrive', async () => {
    await using container = await TestContainer.run(engine!, {
      image: await imageOf('busybox'),
      user: '1000:1000',
      readOnlyRoot: true,
      environment: { GREETING: 'hello' },
    });
    match((await container.exec(['id'])).stdout, /uid=1000\(app\) gid=1000\(app\)/);
    equal((await container.exec(['sh', '-c', 'echo $GREETING'])).stdout, 'hello\n');
    match((await container.exec(['touch', '/file'])).stderr, /Read-only file system/);
  });

  test('distroless runs, and has no shell', async () => {
    await using container = await TestContainer.run(engine!, {
      image: await imageOf('distroless'),
    });
    ok(existsSync(await container.hostPath('/sleep')));
    ok(!existsSync(await container.hostPath('/bin')));
    ok([126, 127].includes((await container.exec(['/bin/sh'])).exitCode));
  });

  test('containers of a process that was killed are removed by the next one', async () => {
    const image = await imageOf('busybox');
    const script = `
      const { acquireEngine } = await import('${import.meta.dirname}/engine.ts');
      const { TestContainer } = await import('${import.meta.dirname}/container.ts');
      const { engine } = await acquireEngine();
      const { id } = await TestContainer.run(engine, { image: '${image}' });
      process.stdout.write(id, () => process.kill(process.pid, 'SIGKILL'));`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, DOCKER_HOST: `unix://${engine!.socketPath}` },
    });
    const [id] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    match(id, /^[0-9a-f]{64}$/);
    equal((await engine!.client.get(`/containers/${id}/json`))['State'].Running, true);
    const next = await acquireEngine();
    await next.engine?.[Symbol.asyncDispose]();
    await rejects(engine!.client.get(`/containers/${id}/json`), { status: 404 });
  });

  test('an engine that answers already is used, and left running', async () => {
    const before = process.env['DOCKER_HOST'];
    process.env['DOCKER_HOST'] = `unix://${engine!.socketPath}`;
    try {
      const there = await acquireEngine();
      equal(there.engine?.ours, false);
      await there.engine[Symbol.asyncDispose]();
      ok(await engine!.client.answers());
    } finally {
      if (before === undefined) delete process.env['DOCKER_HOST'];
      else process.env['DOCKER_HOST'] = before;
    }
  });

  test('nginx answers a container that shares its network', async (context) => {
    const nginx = await provideImage(engine!, 'nginx');
    if (nginx.image === undefined) return context.skip(nginx.reason);
    await using server = await TestContainer.run(engine!, { image: nginx.image, user: '1000' });
    await using client = await TestContainer.run(engine!, {
      image: await imageOf('busybox'),
      network: server,
    });
    const probe = 'until wget -qO- http://127.0.0.1:8080/; do sleep 0.1; done 2>/dev/null';
    equal((await client.exec(['sh', '-c', probe])).stdout, 'ok\n');
  });

  test('redis answers its client', async (context) => {
    const redis = await provideImage(engine!, 'redis');
    if (redis.image === undefined) return context.skip(redis.reason);
    await using server = await TestContainer.run(engine!, { image: redis.image });
    const probe = 'until redis-cli ping | grep PONG; do busybox sleep 0.1; done 2>/dev/null';
    const result = await server.exec([
      'busybox',
      'sh',
      '-c',
      probe.replace('grep', 'busybox grep'),
    ]);
    equal(result.stdout, 'PONG\n');
  });
});
