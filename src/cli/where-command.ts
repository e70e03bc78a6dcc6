/** `coffer where`: which containers hold which version of which secret, now and from now on. */
import type { OperationOutput } from '../protocol/operations.ts';
import { type CommandSpec, type OptionSpec, usage } from './command-spec.ts';
import type { Given } from './given.ts';
import { listOptions, openWatch, readList, sorted } from './list-command.ts';
import { showList, showRow } from './output.ts';
import { needed } from './permissions.ts';
import type { Session } from './session.ts';
import { refuseUnknown } from './unknown-names.ts';
import { type HoldingItem, holdingView } from './views.ts';
import { visible } from '../base/visible-text.ts';

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
  { flags: '--node <name>', about: 'only on this node' },
  { flags: '--workload <name>', about: 'only in this container' },
  {
    flags: '--state <state>',
    about: 'only in this state',
    choices: ['current', 'updating', 'withdrawing', 'failed', 'unknown'],
  },
  ...listOptions,
  { flags: '-w, --watch', about: 'go on with what changes' },
  {
    flags: '--interval <seconds>',
    about: `while watching, how often to look for what no event tells; ${intervalSecondsDefault} when left out`,
    whole: { min: 1, max: 3600 },
  },
];

const where: CommandSpec = {
  name: 'where',
  summary: 'List which containers hold which version of which secret, and how fresh',
  details:
    'SINCE is empty if the gateway restarted after the delivery; look up the receipt in the audit log.',
  examples: [
    'coffer where payments/db-password',
    'coffer where --state failed',
    'coffer where payments/db-password --watch',
  ],
  words: [{ name: 'secret', about: 'all secrets when left out', kind: 'secret', optional: true }],
  options,
  permissions: (_session, given) => [
    needed('holding.list', filterOf(given)),
    ...(given.flag('watch') ? [needed('event.watch')] : []),
  ],
  async run(session, given) {
    if (given.flag('watch') && given.text('sortBy') !== undefined) {
      throw usage('--watch shows changes as they come: leave --sort-by out');
    }
    const read = async (): Promise<readonly HoldingItem[]> =>
      (await readList(session, 'holding.list', filterOf(given), given)).items;
    const watching = given.flag('watch') && !session.isExplaining;
    // Opened before the list is read, so that no change falls in between.
    const changes = watching ? await openWatch(session) : undefined;
    const items = await read();
    if (items.length === 0) {
      await refuseUnknown(session, {
        secret: given.maybeWord('secret'),
        node: given.text('node'),
        workload: given.text('workload'),
      });
    }
    const shown = sorted(holdingView, { items }, given.text('sortBy'));
    await showList(session, holdingView, shown, { headers: given.option('headers') !== false });
    if (changes) {
      await showChanges(session, { items, read, stirs: new Stirs(session, given, changes) });
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

  constructor(
    session: Session,
    given: Given,
    changes: AsyncIterable<OperationOutput<'event.watch'>>,
  ) {
    this.#session = session;
    this.#intervalMs = (given.number('interval') ?? intervalSecondsDefault) * 1000;
    this.#stirred.promise.catch(() => undefined);
    void this.#follow(changes);
  }

  async #follow(changes: AsyncIterable<OperationOutput<'event.watch'>>): Promise<void> {
    try {
      for await (const { kind } of changes) if (stirringKinds.has(kind)) this.#stirred.resolve();
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

async function showChanges(
  session: Session,
  start: {
    readonly items: readonly HoldingItem[];
    readonly read: () => Promise<readonly HoldingItem[]>;
    readonly stirs: Stirs;
  },
): Promise<void> {
  const keyOf = (item: HoldingItem): string => `${item.workloadId} ${item.secret} ${item.file}`;
  const mapOf = (items: readonly HoldingItem[]): Map<string, HoldingItem> =>
    new Map(items.map((item) => [keyOf(item), item]));
  let known = mapOf(start.items);
  session.isFollowing = true;
  for (;;) {
    await start.stirs.next();
    const now = mapOf(await start.read());
    for (const [key, item] of now) {
      if (JSON.stringify(known.get(key)) !== JSON.stringify(item))
        await showRow(session, holdingView, item);
    }
    for (const [key, item] of known) {
      if (!now.has(key)) session.note(visible(`${item.workload} no longer holds ${item.secret}`));
    }
    known = now;
  }
}

export const commands: readonly CommandSpec[] = [where];
