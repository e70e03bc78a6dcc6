/**
 * Goal: every runtime keeps the promises in `runtime.ts`.
 * Method: drive a real one through a harness, collect what its watch tells, and compare. Engines are
 * shared, so only the containers of the test itself are looked at.
 */
import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Runtime, RuntimeEvent } from './runtime.ts';

export interface RuntimeHarness extends AsyncDisposable {
  readonly runtime: Runtime;
  /** Starts a container that runs until it is stopped; gives its id. */
  start(name: string): Promise<string>;
  stop(id: string): Promise<unknown>;
  /** In place: same id, new process. */
  restart(id: string): Promise<unknown>;
}

/** What a watch told, and waiting for more of it. */
export class Told implements AsyncDisposable {
  readonly events: RuntimeEvent[] = [];
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #wake: () => void = () => undefined;

  constructor(runtime: Runtime) {
    this.#done = this.#read(runtime);
  }

  /** Kinds of the events about one container, in order. */
  kinds(id: string): readonly string[] {
    return this.events.filter((event) => idOf(event) === id).map((event) => event.kind);
  }

  /** Process numbers of its starts. */
  pids(id: string): readonly number[] {
    return this.events.flatMap((event) =>
      event.kind === 'started' && event.container.id === id ? [event.container.pid] : [],
    );
  }

  /** The names that it had. */
  names(id: string): readonly string[] {
    return this.events.flatMap((event) =>
      'container' in event && event.container.id === id ? [event.container.name] : [],
    );
  }

  async until(holds: (told: Told) => boolean): Promise<void> {
    while (!holds(this)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await Promise.race([promise, this.#done.then(() => Promise.reject(new Error('ended')))]);
    }
  }

  synced(): Promise<void> {
    return this.until((told) => told.events.some((event) => event.kind === 'synced'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }

  async #read(runtime: Runtime): Promise<void> {
    for await (const event of runtime.watch(this.#abort.signal)) {
      this.events.push(event);
      this.#wake();
    }
  }
}

function idOf(event: RuntimeEvent): string | undefined {
  if (event.kind === 'synced') return undefined;
  return 'container' in event ? event.container.id : event.id;
}

export function runtimeSuite(
  name: string,
  setUp: () => Promise<RuntimeHarness>,
  { skip }: { readonly skip?: string | undefined } = {},
): void {
  const skipAll = skip === undefined ? {} : { skip };

  describe(`runtime suite: ${name}`, skipAll, () => {
    test('watch first tells what runs, then that this was all', async () => {
      await using harness = await setUp();
      const ids = [await harness.start('one'), await harness.start('two')];
      await using told = new Told(harness.runtime);
      await told.synced();
      const end = told.events.findIndex((event) => event.kind === 'synced');
      const before = told.events.slice(0, end).map(idOf);
      for (const id of ids) equal(before.filter((found) => found === id).length, 1);
    });

    test('watch tells starts and stops as they happen', async () => {
      await using harness = await setUp();
      await using told = new Told(harness.runtime);
      await told.synced();
      const id = await harness.start('late');
      await told.until((so) => so.kinds(id).includes('started'));
      await harness.stop(id);
      await told.until((so) => so.kinds(id).includes('stopped'));
      deepEqual(told.kinds(id), ['started', 'stopped']);
    });

    test('a restart in place is a stop and a start of another process', async () => {
      await using harness = await setUp();
      const id = await harness.start('again');
      await using told = new Told(harness.runtime);
      await told.synced();
      await harness.restart(id);
      await told.until((so) => so.pids(id).length === 2);
      deepEqual(told.kinds(id), ['started', 'stopped', 'started']);
      const [first, second] = told.pids(id);
      notEqual(first, second);
    });

    test('starts and stops of one container alternate, whatever happens how fast', async () => {
      await using harness = await setUp();
      await using told = new Told(harness.runtime);
      await told.synced();
      const ids = await Promise.all(
        ['a', 'b', 'c'].map(async (name) => {
          const id = await harness.start(name);
          await harness.restart(id);
          await harness.stop(id);
          return id;
        }),
      );
      const marker = await harness.start('marker');
      await told.until((so) => so.kinds(marker).includes('started'));
      await told.until((so) => ids.every((id) => so.kinds(id).at(-1) !== 'started'));
      for (const id of ids) {
        const kinds = told.kinds(id);
        ok(kinds.every((kind, index) => kind === (index % 2 === 0 ? 'started' : 'stopped')));
      }
    });

    test('inspect knows what runs and nothing else', async () => {
      await using harness = await setUp();
      const id = await harness.start('seen');
      await using told = new Told(harness.runtime);
      await told.synced();
      const started = told.events.find((event) => idOf(event) === id);
      ok(started?.kind === 'started');
      deepEqual(await harness.runtime.inspect(id), started.container);
      equal(await harness.runtime.inspect('0'.repeat(64)), undefined);
      await harness.stop(id);
      equal(await harness.runtime.inspect(id), undefined);
    });

    test('watch ends without a fault when it is told to', async () => {
      await using harness = await setUp();
      const told = new Told(harness.runtime);
      await told.synced();
      await told[Symbol.asyncDispose]();
      const again = new Told(harness.runtime);
      await again[Symbol.asyncDispose]();
    });
  });
}
