/** `coffer where`: which containers hold which version of which secret, now and from now on. */
import type { CommandSpec, OptionSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import {
  listOptions,
  openWatch,
  readList,
  refuseSortedWatch,
  sorted,
  type WatchedChange,
} from './list-command.ts';
import { type ListBody, showList } from './output.ts';
import { needed } from './permissions.ts';
import type { Session } from './session.ts';
import { refuseUnknown } from './unknown-names.ts';
import { type HoldingItem, holdingView } from './views.ts';
import { WatchedRows } from './watched-rows.ts';

/** Of the events, those behind which a holding may have changed. */
const stirringKinds: ReadonlySet<string> = new Set([
  'delivery',
  'secret',
  'group',
  'grant',
  'policy',
  'node',
]);
/** What no event tells: a node that went away, a container that ended. */
const intervalSecondsDefault = 10;
/** Receipts of many containers come together: the list is read once for all of them. */
const quietMs = 100;

const options: readonly OptionSpec[] = [
  { flags: '--node <name>', about: 'only on this node', kind: 'node' },
  { flags: '--workload <name>', about: 'only in this container', kind: 'workload' },
  {
    flags: '--state <state>',
    about: 'only in this state',
    choices: ['current', 'updating', 'withdrawing', 'failed', 'unknown'],
  },
  ...listOptions(holdingView),
  { flags: '-w, --watch', about: 'keep running and show changes' },
  {
    flags: '--interval <seconds>',
    about: `while watching, how often to look for changes without an event; ${intervalSecondsDefault} by default`,
    whole: { min: 1, max: 3600 },
  },
];

const where: CommandSpec = {
  name: 'where',
  summary: 'List which containers hold which version of which secret',
  details:
    'SINCE is empty if the gateway restarted after the delivery; look up the receipt in the audit log.',
  examples: [
    'coffer where payments/db-password',
    'coffer where --state failed',
    'coffer where payments/db-password --watch',
  ],
  words: [{ name: 'secret', about: 'a secret; by default all', kind: 'secret', optional: true }],
  options,
  permissions: (_session, given) => [
    needed('holding.list', filterOf(given)),
    ...(given.flag('watch') ? [needed('event.watch')] : []),
  ],
  async run(session, given) {
    refuseSortedWatch(given);
    const read = (): Promise<ListBody<HoldingItem>> =>
      readList(session, 'holding.list', filterOf(given), given);
    const first = async (): Promise<ListBody<HoldingItem>> => {
      const body = await read();
      if (body.items.length === 0) {
        await refuseUnknown(session, {
          secret: given.maybeWord('secret'),
          node: given.text('node'),
          workload: given.text('workload'),
        });
      }
      return body;
    };
    const headers = given.option('headers') !== false;
    if (!given.flag('watch') || session.isExplaining) {
      const body = sorted(holdingView, await first(), given.text('sortBy'));
      await showList(session, holdingView, body, { headers });
      return;
    }
    // Opened before the list is read, so that no change falls in between.
    const changes = await openWatch(session);
    const rows = new WatchedRows(session, {
      view: holdingView,
      headers,
      keyOf: ({ workloadId, secret, file }) => `${workloadId} ${secret} ${file}`,
      goneText: ({ workload, secret }) => `${workload} no longer holds ${secret}`,
    });
    await rows.begin(await first());
    const stirs = new Stirs(session, given, changes);
    for (;;) {
      await stirs.next();
      await rows.renew(await read());
    }
  },
};

function filterOf(given: Given): Readonly<Record<string, unknown>> {
  return {
    secret: given.maybeWord('secret'),
    node: given.option('node'),
    workload: given.option('workload'),
    state: given.option('state'),
  };
}

/** Tells when it is worth looking again: something happened, or it is a while ago. */
class Stirs {
  readonly #session: Session;
  readonly #intervalMs: number;
  #stirred = Promise.withResolvers<void>();

  constructor(session: Session, given: Given, changes: AsyncIterable<WatchedChange>) {
    this.#session = session;
    this.#intervalMs = (given.number('interval') ?? intervalSecondsDefault) * 1000;
    this.#stirred.promise.catch(() => undefined);
    void this.#follow(changes);
  }

  async #follow(changes: AsyncIterable<WatchedChange>): Promise<void> {
    try {
      for await (const change of changes) {
        if (change === 'anew' || stirringKinds.has(change.kind)) this.#stirred.resolve();
      }
    } catch (error) {
      // The next who waits is told, also where this one was told of an event already.
      const ended = Promise.withResolvers<void>();
      ended.promise.catch(() => undefined);
      ended.reject(error);
      this.#stirred.reject(error);
      this.#stirred = ended;
    }
  }

  /** @throws what ended the stream of events; the session's reason if it is interrupted */
  async next(): Promise<void> {
    const { clock } = this.#session.io;
    const { signal } = this.#session;
    const waiting = new AbortController();
    const sleeping = clock.sleep(this.#intervalMs, AbortSignal.any([signal, waiting.signal]));
    sleeping.catch(() => undefined);
    const { promise } = this.#stirred;
    try {
      await Promise.race([promise, sleeping]);
    } finally {
      waiting.abort();
    }
    await clock.sleep(quietMs, signal);
    // What came in between is seen by the look that follows.
    if (this.#stirred.promise === promise) this.#stirred = Promise.withResolvers();
  }
}

export const commands: readonly CommandSpec[] = [where];
