/**
 * Goal: what is watched is shown when it happens, and not asked for again and again meanwhile.
 * Method: the real command against a gateway whose events the test sends; calls are counted. The interval
 * at which it looks anyhow is set to an hour, so that only events can have made it look.
 */
import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { operationExamples } from '../protocol/examples.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { type HttpGateway, startHttpGateway } from '../testing/http-gateway.ts';

interface Watched {
  readonly gateway: HttpGateway;
  readonly world: CliWorld;
  /** What the list answers from now on. */
  items: readonly unknown[];
  /** How often the list was asked for. */
  reads: number;
  readonly send: (event: { readonly kind: string; readonly change: string }) => void;
}

async function watchedGateway(operation: 'holding.list' | 'grant.list'): Promise<Watched> {
  const events: unknown[] = [];
  let wake = Promise.withResolvers<void>();
  let sequence = 0;
  const gateway = await startHttpGateway(async (request) => {
    if (request.operation !== 'event.watch') {
      watched.reads += 1;
      return { output: { items: watched.items } };
    }
    return {
      output: (async function* () {
        for (;;) {
          yield* events.splice(0);
          await wake.promise;
          wake = Promise.withResolvers();
        }
      })(),
    };
  });
  const world = new CliWorld().reach(gateway);
  const items = operationExamples[operation].output['items'] as readonly unknown[];
  const watched: Watched = {
    gateway,
    world,
    items,
    reads: 0,
    send(event) {
      events.push({ sequence: (sequence += 1), name: 'x', ...event });
      wake.resolve();
    },
  };
  return watched;
}

/** Runs until it is interrupted, as Ctrl-C does. */
async function watch(watched: Watched, argv: readonly string[]) {
  const { world } = watched;
  const interrupt = new AbortController();
  let seen = '';
  const waiting = new Map<string, () => void>();
  const ran = world.run(argv, {
    signal: interrupt.signal,
    onOutput(text) {
      seen += text;
      for (const [step, reached] of waiting) if (seen.includes(step)) reached();
    },
  });
  const sees = (step: string): Promise<void> =>
    new Promise((resolve) => {
      if (seen.includes(step)) resolve();
      else waiting.set(step, resolve);
    });
  return { ran, sees, end: () => interrupt.abort() };
}

test('where --watch looks when something happened, shows what differs, and looks at nothing else', async () => {
  const watched = await watchedGateway('holding.list');
  const [holding] = watched.items as [Record<string, unknown>];
  const { ran, sees, end } = await watch(watched, ['where', '-w', '--interval', '3600']);
  await sees('payments-api-1');
  equal(watched.reads, 1);
  watched.send({ kind: 'audit', change: 'list' });
  watched.items = [holding, { ...holding, workload: 'api-2', workloadId: 'wld_2' }];
  watched.send({ kind: 'delivery', change: 'receipt' });
  await sees('api-2');
  equal(watched.reads, 2);
  watched.items = [holding, { ...holding, workload: 'api-3', workloadId: 'wld_3' }];
  for (let at = 0; at < 20; at += 1) watched.send({ kind: 'delivery', change: 'receipt' });
  await sees('api-3');
  end();
  const { code, stdout, stderr } = await ran;
  equal(code, 130);
  equal(stdout.match(/payments-api-1/g)?.length, 1, 'what stays is shown once');
  match(stderr, /api-2 no longer holds payments\/db-password/);
  await watched.gateway[Symbol.asyncDispose]();
  watched.world[Symbol.dispose]();
});

test('grant list --watch shows what a whole policy changed, and what it took away', async () => {
  const watched = await watchedGateway('grant.list');
  const [grant] = watched.items as [Record<string, unknown>];
  watched.items = [grant, { ...grant, group: 'old' }];
  const { ran, sees, end } = await watch(watched, ['grant', 'list', '-w', '-o', 'name']);
  await sees('grant/old');
  watched.items = [grant, { ...grant, group: 'new' }];
  watched.send({ kind: 'policy', change: 'apply' });
  await sees('grant/new');
  end();
  const { stdout, stderr } = await ran;
  deepEqual(stdout.trim().split('\n'), ['grant/payments-api', 'grant/old', 'grant/new']);
  match(stderr, /grant\/old delete/);
  await watched.gateway[Symbol.asyncDispose]();
  watched.world[Symbol.dispose]();
});
