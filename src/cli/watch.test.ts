/**
 * Goal: what is watched is shown when it happens, and not asked for again and again meanwhile; what the list
 * was not asked for is not shown later, either.
 * Method: the real command against a gateway whose events the test sends; calls are counted. The interval
 * at which it looks anyhow is set to an hour, so that only events can have made it look. Filters are tried
 * against a whole gateway, because it is the gateway that filters.
 */
import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { operationExamples } from '../protocol/examples.ts';
import { startCliGateway } from '../testing/cli-gateway.ts';
import { type CliRun, CliWorld } from '../testing/cli-world.ts';
import { type HttpGateway, startHttpGateway } from '../testing/http-gateway.ts';

interface Event {
  readonly kind: string;
  readonly change: string;
  readonly name?: string;
}

class WatchedGateway implements AsyncDisposable {
  readonly world = new CliWorld();
  /** What the list answers from now on. */
  items: readonly unknown[];
  /** Called before it begins to tell of events. */
  onWatch: () => Promise<void> = async () => undefined;
  /** How often the list was asked for. */
  reads = 0;
  readonly #events: unknown[] = [];
  #sequence = 0;
  #isCut = false;
  #wake = Promise.withResolvers<void>();
  #gateway: HttpGateway | undefined;

  private constructor(items: readonly unknown[]) {
    this.items = items;
  }

  static async start(operation: 'holding.list' | 'grant.list'): Promise<WatchedGateway> {
    const watched = new WatchedGateway(operationExamples[operation].output.items);
    watched.#gateway = await startHttpGateway(async (request) => {
      if (request.operation === 'event.watch' || request.operation === 'audit.tail') {
        await watched.onWatch();
        const { after } = request.input as { readonly after?: number };
        if (watched.#isOlder(after)) {
          throw new Fault('audit.beyond-end', { after: after ?? 0, size: watched.#sequence });
        }
        return { output: watched.#stream() };
      }
      watched.reads += 1;
      return { output: { items: watched.items } };
    });
    watched.world.reach(watched.#gateway);
    return watched;
  }

  send(event: Event): void {
    this.#events.push({ sequence: (this.#sequence += 1), name: 'x', ...event });
    this.#wake.resolve();
  }

  /** An older store is put back: what it told of last it does not know any more, and connections end. */
  restoreOlder(): void {
    this.#sequence = 0;
    this.#isCut = true;
    this.#wake.resolve();
  }

  #isOlder(after: number | undefined): boolean {
    return after !== undefined && after > this.#sequence;
  }

  async *#stream(): AsyncGenerator<unknown, void, undefined> {
    for (;;) {
      yield* this.#events.splice(0);
      if (this.#isCut) {
        this.#isCut = false;
        this.#wake = Promise.withResolvers();
        return;
      }
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway?.[Symbol.asyncDispose]();
    this.world[Symbol.dispose]();
  }
}

/** A command that goes on until it is interrupted, as by Ctrl-C. */
class Following {
  readonly ran: Promise<CliRun>;
  readonly #interrupt = new AbortController();
  #seen = '';
  #look: () => void = () => undefined;

  constructor(world: CliWorld, argv: readonly string[]) {
    this.ran = world.run(argv, {
      signal: this.#interrupt.signal,
      onOutput: (text) => {
        this.#seen += text;
        this.#look();
      },
    });
  }

  /** Fails if the command ends before. */
  async sees(text: string): Promise<void> {
    const seen = new Promise<void>((resolve) => {
      this.#look = () => {
        if (this.#seen.includes(text)) resolve();
      };
      this.#look();
    });
    const ended = this.ran.then(({ stderr }) => {
      throw new Error(`it ended and did not show ${text}: ${stderr}`);
    });
    await Promise.race([seen, ended]);
  }

  async end(): Promise<CliRun> {
    this.#interrupt.abort();
    const run = await this.ran;
    equal(run.code, 130, run.stderr);
    return run;
  }
}

test('where --watch looks when something happened, shows what differs, and looks at nothing else', async () => {
  await using watched = await WatchedGateway.start('holding.list');
  const [holding] = watched.items as [Record<string, unknown>];
  const where = new Following(watched.world, ['where', '-w', '--interval', '3600']);
  await where.sees('payments-api-1');
  equal(watched.reads, 1);
  watched.send({ kind: 'audit', change: 'list' });
  watched.items = [holding, { ...holding, workload: 'api-2', workloadId: 'wld_2' }];
  watched.send({ kind: 'delivery', change: 'receipt' });
  await where.sees('api-2');
  equal(watched.reads, 2);
  watched.items = [holding, { ...holding, workload: 'api-3', workloadId: 'wld_3' }];
  for (let at = 0; at < 20; at += 1) watched.send({ kind: 'delivery', change: 'receipt' });
  await where.sees('api-3');
  const { stdout, stderr } = await where.end();
  equal(stdout.match(/payments-api-1/g)?.length, 1, 'what stays is shown once');
  match(stderr, /api-2 no longer holds payments\/db-password/);
});

test('a list is read once what happens is followed, so that nothing falls in between', async () => {
  for (const [operation, argv] of [
    ['holding.list', ['where', '-w']],
    ['grant.list', ['grant', 'list', '-w']],
  ] as const) {
    await using watched = await WatchedGateway.start(operation);
    const asked = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    watched.onWatch = async () => {
      asked.resolve();
      await opened.promise;
    };
    const following = new Following(watched.world, argv);
    await asked.promise;
    // Whatever is asked meanwhile would have come by now.
    await watched.world.run(['grant', 'list', '-o', 'json']);
    equal(watched.reads, 1);
    opened.resolve();
    await following.sees('\n');
    equal(watched.reads, 2);
    await following.end();
  }
});

test('grant list --watch shows what a whole policy changed, and what it took away', async () => {
  await using watched = await WatchedGateway.start('grant.list');
  const [grant] = watched.items as [Record<string, unknown>];
  watched.items = [grant, { ...grant, group: 'old' }];
  const list = new Following(watched.world, ['grant', 'list', '-w', '-o', 'name']);
  await list.sees('grant/old');
  watched.items = [grant, { ...grant, group: 'new' }];
  watched.send({ kind: 'policy', change: 'apply' });
  await list.sees('grant/new');
  const { stdout, stderr } = await list.end();
  deepEqual(stdout.trim().split('\n'), ['grant/payments-api', 'grant/old', 'grant/new']);
  match(stderr, /grant\/old is no longer listed/);
});

test('a watch goes on from the newest, and says so, when the gateway has an older store than before', async () => {
  await using watched = await WatchedGateway.start('grant.list');
  const [grant] = watched.items as [Record<string, unknown>];
  const list = new Following(watched.world, ['grant', 'list', '-w', '-o', 'name']);
  await list.sees('grant/payments-api');
  watched.items = [grant, { ...grant, group: 'lost' }];
  for (const change of ['one', 'apply']) watched.send({ kind: 'policy', change });
  await list.sees('grant/lost');
  watched.items = [grant, { ...grant, group: 'older' }];
  watched.restoreOlder();
  await list.sees('grant/older');
  watched.items = [grant, { ...grant, group: 'new' }];
  watched.send({ kind: 'policy', change: 'apply' });
  await list.sees('grant/new');
  const { stderr } = await list.end();
  match(stderr, /older store than before/);
  match(stderr, /grant\/lost is no longer listed/, 'it was read anew');
});

/** What changes, in order; the last of each is shown, so that whatever was to be left out was seen before. */
const filters: readonly {
  readonly list: readonly string[];
  readonly before: readonly (readonly string[])[];
  readonly changes: readonly (readonly string[])[];
  readonly shown: readonly string[];
  readonly gone?: RegExp;
}[] = [
  {
    list: ['secret', 'list', '--prefix', 'w/'],
    before: [['secret', 'generate', 'w/a']],
    changes: [
      ['secret', 'generate', 'other/a'],
      ['secret', 'generate', 'w/b'],
    ],
    shown: ['secret/w/a', 'secret/w/b'],
  },
  {
    list: ['secret', 'list', '-l', 'tier=backend'],
    before: [
      ['secret', 'generate', 'a'],
      ['secret', 'update', 'a', '--label', 'tier=backend'],
      ['secret', 'generate', 'a/longer'],
    ],
    changes: [
      ['secret', 'generate', 'b'],
      ['secret', 'update', 'a', '--label', 'tier=front'],
      ['secret', 'update', 'a/longer', '--label', 'tier=backend'],
    ],
    shown: ['secret/a', 'secret/a/longer'],
    gone: /^secret\/a is no longer listed$/m,
  },
  {
    list: ['secret', 'list', '--deleted'],
    before: [['secret', 'generate', 'a']],
    changes: [
      ['secret', 'generate', 'b'],
      ['secret', 'delete', 'a', '--yes'],
    ],
    shown: ['secret/a'],
  },
  {
    list: ['group', 'list', '--prefix', 'w-'],
    before: [],
    changes: [
      ['group', 'put', 'other', '--node', 'n'],
      ['group', 'put', 'w-1', '--node', 'n'],
    ],
    shown: ['group/w-1'],
  },
  {
    list: ['grant', 'list', '--secret', 'w/a'],
    before: [
      ['secret', 'generate', 'w/a'],
      ['secret', 'generate', 'w/b'],
      ['group', 'put', 'one', '--node', 'n'],
      ['group', 'put', 'two', '--node', 'n'],
    ],
    changes: [
      ['grant', 'put', 'one', '--secret', 'w/b'],
      ['grant', 'put', 'two', '--secret', 'w/a'],
    ],
    shown: ['grant/two'],
  },
  {
    list: ['node', 'list', '--state', 'joining'],
    before: [],
    changes: [['node', 'token', 'node-1']],
    shown: ['node/node-1'],
  },
];

for (const { list, before, changes, shown, gone } of filters) {
  test(`${list.join(' ')} --watch goes on showing what it was asked for, and nothing else`, async () => {
    await using gateway = await startCliGateway();
    using world = new CliWorld();
    world.env['COFFER_ADDR'] = gateway.server;
    world.env['COFFER_TOKEN'] = gateway.ownerToken;
    const run = async (argv: readonly string[]): Promise<void> => {
      const { code, stderr } = await world.run([...argv, '--pin', gateway.pin]);
      equal(code, 0, stderr);
    };
    for (const argv of before) await run(argv);
    const argv = [...list, '--pin', gateway.pin, '-w', '-o', 'name'];
    const names = new Following(world, argv);
    const table = new Following(world, [...argv.slice(0, -2)]);
    const first = shown.filter((_name, at) => at < shown.length - 1);
    for (const name of first) {
      await names.sees(`${name}\n`);
      await table.sees('\n');
    }
    for (const change of changes) await run(change);
    const last = shown.at(-1) ?? '';
    await names.sees(`${last}\n`);
    await table.sees(last.slice(last.indexOf('/') + 1));
    const { stdout, stderr } = await names.end();
    deepEqual(stdout.trim().split('\n'), shown);
    if (gone) match(stderr, gone);
    else doesNotMatch(stderr, /no longer listed/);
    const rows = (await table.end()).stdout.trim().split('\n');
    match(rows[0] ?? '', /^(NAME|GROUP) /, 'also above a row that came later');
    equal(rows.length, shown.length + 1);
  });
}

test('--watch and --sort-by exclude each other', async () => {
  using world = new CliWorld();
  for (const list of [['where'], ['secret', 'list']]) {
    const { code, stderr } = await world.run([...list, '-w', '--sort-by', 'name']);
    equal(code, 2);
    match(stderr, /cannot be combined with --sort-by/);
  }
});
