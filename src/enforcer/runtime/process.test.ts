/**
 * Goal: plain processes are told of for as long as exactly they live, and only root's word counts.
 * Method: the suite on processes in namespaces of their own, then registrations that lie.
 */
import { deepEqual, equal, match, notEqual, ok, rejects, throws } from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { startTicksOf } from '../../testing/holders.ts';
import { type LaunchedProcess, launchNamespaced } from './launch-namespaced.ts';
import { register, type Registration } from './registration.ts';
import { createRuntime } from './runtime.ts';
import { runtimeSuite, Told } from './runtime.suite.ts';

const skip = process.getuid?.() === 0 ? undefined : 'needs root: sudo npm run verify';

function workplace(): Disposable & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-processes-'));
  return {
    directory,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function runtimeIn(directory: string) {
  const context = { clock: systemClock, random: systemRandom, log: silentLog };
  return createRuntime({ kind: 'process', directory }, context);
}

function launchIn(directory: string, id: string, command: readonly string[] = ['sleep', '1000']) {
  return launchNamespaced({
    clock: systemClock,
    directory,
    id,
    name: id,
    command,
    uid: 1234,
    gid: 1235,
    output: 'pipe',
  });
}

runtimeSuite(
  'process',
  async () => {
    const place = workplace();
    const launched = new Map<string, LaunchedProcess>();
    const end = async (id: string) => launched.get(id)?.[Symbol.asyncDispose]();
    const start = async (id: string) => {
      launched.set(id, await launchIn(place.directory, id));
      return id;
    };
    return {
      runtime: runtimeIn(place.directory),
      start,
      stop: end,
      restart: async (id) => {
        await end(id);
        return start(id);
      },
      async [Symbol.asyncDispose]() {
        for (const id of launched.keys()) await end(id);
        place[Symbol.dispose]();
      },
    };
  },
  { skip },
);

describe('launchNamespaced', skip === undefined ? {} : { skip }, () => {
  test('the program has its own mounts, processes and /run, its user and no capabilities', async () => {
    using place = workplace();
    const script = 'sleep 1000';
    await using launched = await launchIn(place.directory, 'walls', ['sh', '-c', script]);
    const proc = `/proc/${launched.identity.pid}`;
    notEqual(readlinkSync(`${proc}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'));
    notEqual(readlinkSync(`${proc}/ns/pid`), readlinkSync('/proc/self/ns/pid'));
    const status = readFileSync(`${proc}/status`, 'utf8');
    match(status, /^Uid:\s+1234\s+1234\s+1234\s+1234$/m);
    match(status, /^Gid:\s+1235\s+1235\s+1235\s+1235$/m);
    match(status, /^CapBnd:\s+0{16}$/m);
    match(status, /^NoNewPrivs:\s+1$/m);
    match(readFileSync(`${proc}/mountinfo`, 'utf8'), / \/run .* - tmpfs coffer-run /);
    ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes('coffer-run'));
  });

  test('the program starts only after beforeStart, under the identity that it was given', async () => {
    using place = workplace();
    const order: string[] = [];
    await using launched = await launchNamespaced({
      clock: systemClock,
      directory: place.directory,
      id: 'gated',
      name: 'gated',
      command: ['echo', 'began'],
      uid: 1234,
      gid: 1234,
      output: 'pipe',
      async beforeStart(identity) {
        order.push(readFileSync(`/proc/${identity.pid}/comm`, 'utf8').trim());
      },
    });
    for await (const chunk of launched.child.stdout!) order.push(String(chunk).trim());
    deepEqual(order, ['sh', 'began']);
    equal(await launched.exited, 0);
  });

  test('the program never starts if beforeStart rejects', async () => {
    using place = workplace();
    const marker = join(place.directory, 'began');
    chmodSync(place.directory, 0o777);
    const launching = launchNamespaced({
      clock: systemClock,
      directory: join(place.directory, 'registrations'),
      id: 'refused',
      name: 'refused',
      command: ['touch', marker],
      uid: 1234,
      gid: 1234,
      output: 'ignore',
      beforeStart: () => Promise.reject(new Error('no')),
    });
    await rejects(launching, /no/);
    throws(() => readFileSync(marker), { code: 'ENOENT' });
  });
});

describe('process runtime', skip === undefined ? {} : { skip }, () => {
  /** A registration that is true of this very process. */
  const truth = (): Registration => {
    const { pid } = process;
    const startTicks = startTicksOf(pid) ?? 0;
    return { id: 'self', name: 'self', pid, startTicks, startedAtMs: 1, labels: { tier: 'web' } };
  };

  test('a true registration is believed; one of a process that had the number before is not', async () => {
    using place = workplace();
    register(place.directory, truth());
    const found = await runtimeIn(place.directory).inspect('self');
    equal(found?.pid, process.pid);
    equal(found.labels['tier'], 'web');
    register(place.directory, { ...truth(), startTicks: truth().startTicks - 1 });
    equal(await runtimeIn(place.directory).inspect('self'), undefined);
  });

  test('files that others can write, or that say something else, are not believed', async () => {
    using place = workplace();
    const runtime = runtimeIn(place.directory);
    const path = join(place.directory, 'self.json');
    register(place.directory, truth());
    chmodSync(path, 0o666);
    await rejects(runtime.inspect('self'), { code: 'runtime.invalid' });
    chmodSync(path, 0o600);
    ok(await runtime.inspect('self'));
    for (const text of ['', '{}', JSON.stringify({ ...truth(), id: 'other' })]) {
      writeFileSync(path, text);
      await rejects(runtime.inspect('self'), { code: 'runtime.invalid' });
    }
    // One bad file does not hide the others.
    register(place.directory, { ...truth(), id: 'good' });
    await using told = new Told(runtime);
    await told.synced();
    deepEqual([told.kinds('good'), told.kinds('self')], [['started'], []]);
  });

  test('a directory that others can write is refused', async () => {
    using place = workplace();
    chmodSync(place.directory, 0o777);
    const watching = runtimeIn(place.directory).watch(new AbortController().signal);
    await rejects(watching[Symbol.asyncIterator]().next(), { code: 'runtime.refused' });
  });
});
