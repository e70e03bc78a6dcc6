/**
 * Goal: what is wrong with one container blinds nobody to the others, and lost events are made up for.
 * Method: an engine that says what the test wants, on a socket of its own, and a clock that stands still.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeOf } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { until } from '../../testing/until.ts';
import { createRuntime } from './runtime.ts';
import { Told } from './runtime.suite.ts';

type Answer =
  | { readonly pid: number; readonly startedAt?: string; readonly name?: string }
  | 'never'
  | 'huge'
  | 'error';

class ScriptedEngine implements AsyncDisposable {
  /** By container id. */
  readonly containers = new Map<string, Answer>();
  /** Ids that were asked about, in order. */
  readonly asked: string[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), 'coffer-engine-scripted-'));
  readonly #server = createServer((request, response) => this.#answer(request.url ?? '', response));
  readonly socketPath = join(this.#directory, 'docker.sock');
  #events: ServerResponse | undefined;

  async listen(): Promise<void> {
    await once(this.#server.listen(this.socketPath), 'listening');
  }

  happened(id: string, action: string): void {
    const event = { Type: 'container', Action: action, Actor: { ID: id } };
    this.#events?.write(`${JSON.stringify(event)}\n`);
  }

  times(id: string): number {
    return this.asked.filter((other) => other === id).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #answer(url: string, response: ServerResponse): void {
    const id = /\/containers\/(\w+)\/json$/.exec(url)?.[1];
    if (url.includes('/version')) {
      response.end(JSON.stringify({ ApiVersion: '1.48', MinAPIVersion: '1.24', Version: '28' }));
    } else if (url.includes('/events')) {
      this.#events = response;
      response.flushHeaders();
    } else if (url.includes('/containers/json')) {
      response.end(JSON.stringify([...this.containers.keys()].map((id) => this.#listed(id))));
    } else if (id !== undefined) {
      this.asked.push(id);
      this.#inspected(id, response);
    } else {
      response.writeHead(404).end('{}');
    }
  }

  /** With the name that a container of a link gives it. */
  #listed(id: string): Readonly<Record<string, unknown>> {
    const answer = this.containers.get(id);
    const name = (typeof answer === 'object' ? answer.name : undefined) ?? id;
    return { Id: id, Names: ['/other/link', `/${name}`] };
  }

  #inspected(id: string, response: ServerResponse): void {
    const answer = this.containers.get(id);
    if (answer === 'never') return;
    if (answer === 'huge') {
      response.end(Buffer.alloc(limits.engineAnswerBytesMax + 1, 32));
    } else if (answer === undefined || answer === 'error') {
      response.writeHead(answer === undefined ? 404 : 500).end('{}');
    } else {
      const { pid, startedAt = '2026-01-01T00:00:00Z', name = id } = answer;
      const Image = `sha256:${'0'.repeat(64)}`;
      const State = { Running: true, Pid: pid, StartedAt: startedAt };
      response.end(
        JSON.stringify({ Id: id, Name: `/${name}`, Image, State, Config: { Image: 'x' } }),
      );
    }
  }
}

async function watched(containers: Readonly<Record<string, Answer>>) {
  const engine = new ScriptedEngine();
  for (const [id, answer] of Object.entries(containers)) engine.containers.set(id, answer);
  await engine.listen();
  const clock = new ManualClock();
  const { socketPath } = engine;
  const context = { clock, random: systemRandom, log: silentLog };
  const told = new Told(createRuntime({ kind: 'docker', socketPath }, context));
  return {
    engine,
    clock,
    told,
    /** Every answer has arrived, the event stream is open, and the next list is all that is waited for. */
    async quiet(): Promise<void> {
      await until('all is quiet', () => (clock.waits[0] ?? 0) > limits.engineTimeoutMs);
    },
    /** A minute later, when the engine is asked for its list. */
    async nextList(): Promise<void> {
      await this.quiet();
      clock.advance(60_000);
    },
    async [Symbol.asyncDispose]() {
      const ended = told[Symbol.asyncDispose]();
      clock.advance(3_600_000);
      await ended;
      await engine[Symbol.asyncDispose]();
    },
  };
}

const timeout = 60_000;
const here = { pid: process.pid };

for (const trouble of ['never', 'huge', 'error'] as const) {
  test(`a container about which the engine answers '${trouble}' hides no other`, {
    timeout,
  }, async () => {
    await using watch = await watched({ bad: trouble, good: here });
    const { engine, clock, told } = watch;
    await until('both are asked about', () => engine.asked.length === 2);
    if (trouble === 'never') {
      await until('the other has been read', () => clock.waits.length === 1);
      clock.advance(limits.engineTimeoutMs);
    }
    await told.synced();
    deepEqual([told.kinds('good'), told.kinds('bad')], [['started'], []]);
    await watch.quiet();
    engine.containers.set('late', here);
    engine.happened('late', 'start');
    await told.until((so) => so.kinds('late').length > 0);
    // The next list looks again.
    engine.containers.set('bad', here);
    await watch.nextList();
    await told.until((so) => so.kinds('bad').length > 0);
    equal(engine.times('good'), 1);
  });
}

test('a restart that could not be read is looked at again, though the list shows nothing new', {
  timeout,
}, async () => {
  await using watch = await watched({ app: here });
  const { engine, told } = watch;
  await told.synced();
  await watch.quiet();
  engine.containers.set('app', 'error');
  engine.happened('app', 'die');
  await until('it is asked about again', () => engine.times('app') === 2);
  engine.containers.set('app', { pid: process.ppid });
  await watch.nextList();
  await told.until((so) => so.kinds('app').length === 3);
  deepEqual(told.kinds('app'), ['started', 'stopped', 'started']);
  deepEqual(told.pids('app'), [process.pid, process.ppid]);
});

test('a restart of which every event was lost is noticed by its process', { timeout }, async () => {
  const ended = 2 ** 22 + 1;
  await using watch = await watched({ app: { pid: ended }, other: here });
  const { engine, told } = watch;
  await told.synced();
  engine.containers.set('app', here);
  await watch.nextList();
  await told.until((so) => so.kinds('app').length === 3);
  deepEqual(told.pids('app'), [ended, process.pid]);
  equal(engine.times('other'), 1);
});

test('a new name is told when it is given, or else with the next list', { timeout }, async () => {
  await using watch = await watched({ app: here, other: here });
  const { engine, told } = watch;
  await told.synced();
  await watch.quiet();
  engine.containers.set('app', { ...here, name: 'away' });
  engine.happened('app', 'rename');
  await told.until((so) => so.kinds('app').length === 2);
  // Of this one nobody hears.
  engine.containers.set('app', { ...here, name: 'back' });
  await watch.nextList();
  await told.until((so) => so.kinds('app').length === 3);
  await watch.nextList();
  await watch.quiet();
  deepEqual(told.kinds('app'), ['started', 'renamed', 'renamed']);
  deepEqual(told.names('app'), ['app', 'away', 'back']);
  equal(engine.times('app'), 3, 'a list that shows nothing new asks for nothing');
  equal(engine.times('other'), 1);
});

test('an engine is asked about few containers at once, whoever asks', { timeout }, async () => {
  const ids = Array.from({ length: 30 }, (_, at) => `app${at}`);
  await using engine = new ScriptedEngine();
  for (const id of ids) engine.containers.set(id, 'never');
  await engine.listen();
  const clock = new ManualClock();
  const { socketPath } = engine;
  const context = { clock, random: systemRandom, log: silentLog };
  const runtime = createRuntime({ kind: 'docker', socketPath }, context);
  const codes = Promise.all(ids.map((id) => runtime.inspect(id).catch(codeOf)));
  for (const asked of [8, 16, 24, 30]) {
    await until('more are asked about', () => engine.asked.length === asked);
    equal(clock.waits.length, asked === 30 ? 6 : 8);
    clock.advance(limits.engineTimeoutMs);
  }
  deepEqual(new Set(await codes), new Set(['runtime.unreachable']));
});
