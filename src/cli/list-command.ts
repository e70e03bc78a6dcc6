/** Lists: pages put together, limits said, and `--watch` where the gateway has a stream of changes. */
import { isFault } from '../base/fault.ts';
import type { JsonOperation } from '../protocol/event-cursor.ts';
import type { OperationInput, OperationOutput } from '../protocol/operations.ts';
import { type CommandSpec, type OptionSpec, usage } from './command-spec.ts';
import type { Given } from './given.ts';
import { checkInput, membersOf } from './operation-command.ts';
import { documentsHelp, type ListBody, showList, type View } from './output.ts';
import { needed, type Permission } from './permissions.ts';
import type { Session } from './session.ts';
import type { refuseUnknown } from './unknown-names.ts';
import { WatchedRows } from './watched-rows.ts';

type ListOperation = {
  [Name in JsonOperation]: OperationOutput<Name> extends {
    readonly items: readonly unknown[];
    readonly nextCursor?: string;
  }
    ? Name
    : never;
}[JsonOperation];

type ItemOf<Name extends ListOperation> = OperationOutput<Name>['items'][number];

export const pageMax = 500;

export function listOptions<Item>(view: View<Item>): readonly OptionSpec[] {
  return [
    {
      flags: '--limit <n>',
      about: `how many at most; ${pageMax} by default`,
      whole: { min: 1, max: 1_000_000 },
    },
    { flags: '-A, --all', about: 'list everything' },
    { flags: '--no-headers', about: 'omit the header row' },
    {
      flags: '--sort-by <column>',
      about: 'sort by a column, or by a member: {.name}',
      suggests: view.columns.map(({ title }) => title.toLowerCase().replaceAll(' ', '-')),
    },
  ];
}

type Filter = Readonly<Record<string, unknown>>;

export interface ListCommand<Name extends ListOperation> {
  readonly operation: Name;
  readonly summary: string;
  readonly view: View<ItemOf<Name>>;
  readonly examples: readonly string[];
  readonly options?: readonly OptionSpec[];
  readonly filter?: (given: Given, session: Session) => Filter | Promise<Filter>;
  /** What its options name: refused if nothing is found and it does not exist. */
  readonly named?: (given: Given) => Parameters<typeof refuseUnknown>[1];
  /** The kind that events name; with it there is a `--watch`. */
  readonly watched?: string;
  readonly name?: string;
  /** What `filter` asks for. */
  readonly alsoNeeds?: (given: Given) => readonly Permission[];
}

export function listCommand<Name extends ListOperation>(spec: ListCommand<Name>): CommandSpec {
  const { watched } = spec;
  const watchOption = { flags: '-w, --watch', about: 'keep running and show changes' };
  const name = spec.name ?? spec.operation.replace('.', ' ');
  return {
    name,
    aliases: name.endsWith(' list') ? ['ls'] : [],
    summary: spec.summary,
    ...(spec.view.documentOf ? { details: documentsHelp } : {}),
    examples: spec.examples,
    options: [
      ...(spec.options ?? []),
      ...listOptions(spec.view),
      ...(watched ? [watchOption] : []),
    ],
    permissions: (_session, given) => [
      needed(spec.operation),
      ...(given.flag('watch') ? [needed('event.watch')] : []),
      ...(spec.alsoNeeds?.(given) ?? []),
    ],
    async run(session, given) {
      refuseSortedWatch(given);
      const filter = (await spec.filter?.(given, session)) ?? {};
      const read = (): Promise<ListBody<ItemOf<Name>>> =>
        readList(session, spec.operation, filter, given);
      const first = async (): Promise<ListBody<ItemOf<Name>>> => {
        const body = await read();
        if (body.items.length === 0 && spec.named) {
          const { refuseUnknown } = await import('./unknown-names.ts');
          await refuseUnknown(session, spec.named(given));
        }
        return body;
      };
      const headers = given.option('headers') !== false;
      if (watched === undefined || !given.flag('watch') || session.isExplaining) {
        const body = sorted(spec.view, await first(), given.text('sortBy'));
        await showList(session, spec.view, body, { headers });
        return;
      }
      // Opened before the list is read, so that no change falls in between.
      const changes = await openWatch(session);
      const rows = new WatchedRows(session, {
        view: spec.view,
        headers,
        keyOf: (item) => spec.view.nameOf(item),
        goneText: (item) => `${spec.view.kind}/${spec.view.nameOf(item)} is no longer listed`,
      });
      await rows.begin(await first());
      for await (const change of changes) {
        if (change === 'anew') {
          await rows.renew(await read());
          continue;
        }
        const { kind, name } = change;
        if (kind === 'policy' && policyKinds.has(watched)) await rows.renew(await read());
        if (kind !== watched) continue;
        const item = await findListed(session, spec, { filter, name });
        if (item === undefined) rows.miss(name);
        else await rows.see(item);
      }
    },
  };
}

/** A row that comes later cannot stand above others. */
export function refuseSortedWatch(given: Given): void {
  if (given.flag('watch') && given.text('sortBy') !== undefined) {
    throw usage('--watch cannot be combined with --sort-by');
  }
}

/** The item of a name, if the list that was asked for has it: the gateway decides, by the same filter. */
async function findListed<Name extends ListOperation>(
  session: Session,
  { operation, view }: ListCommand<Name>,
  { filter, name }: { readonly filter: Filter; readonly name: string },
): Promise<ItemOf<Name> | undefined> {
  const { prefix } = filter;
  if (typeof prefix === 'string' && !name.startsWith(prefix)) return undefined;
  // Of all names that begin so, this one is the first.
  const narrowed = takesPrefix(operation) ? { ...filter, prefix: name, limit: 1 } : filter;
  let cursor: string | undefined;
  do {
    const input: OperationInput<Name> = checkInput(operation, {
      ...{ limit: pageMax, ...narrowed, cursor },
    });
    const { output } = await session.call(operation, input);
    const items = output.items as readonly ItemOf<Name>[];
    const found = items.find((item) => view.nameOf(item) === name);
    if (found !== undefined || narrowed !== filter) return found;
    cursor = output.nextCursor;
  } while (cursor !== undefined);
  return undefined;
}

function takesPrefix(operation: ListOperation): boolean {
  return Object.hasOwn(membersOf(operation), 'prefix');
}

/** Says on standard error when there is more than was asked for. */
export async function readList<Name extends ListOperation>(
  session: Session,
  operation: Name,
  filter: Readonly<Record<string, unknown>>,
  given: Given,
): Promise<ListBody<ItemOf<Name>>> {
  const wanted = given.flag('all') ? Number.POSITIVE_INFINITY : (given.number('limit') ?? pageMax);
  const items: ItemOf<Name>[] = [];
  let cursor: string | undefined;
  do {
    const limit = Math.min(pageMax, wanted - items.length);
    const input: OperationInput<Name> = checkInput(operation, { ...filter, limit, cursor });
    const { output } = await session.call(operation, input);
    items.push(...(output.items as ItemOf<Name>[]));
    cursor = output.nextCursor;
  } while (cursor !== undefined && items.length < wanted);
  if (cursor === undefined) return { items };
  session.warn(`Only the first ${items.length} are shown. Use --all or --limit to see more.`);
  return { items, nextCursor: cursor };
}

/** @throws Fault `cli.usage` if there is no such column. */
export function sorted<Item>(
  view: View<Item>,
  body: ListBody<Item>,
  by: string | undefined,
): ListBody<Item> {
  if (by === undefined) return body;
  const column = view.columns.find(
    (candidate) => candidate.title.toLowerCase() === by.toLowerCase().replaceAll('-', ' '),
  );
  const member = /^\{?\.([A-Za-z]+)\}?$/.exec(by)?.[1];
  if (!column && member === undefined) {
    const titles = view.columns.map(({ title }) => title.toLowerCase()).join(', ');
    throw usage(`--sort-by must be one of ${titles}, or {.member}`);
  }
  const keyOf = (item: Item): unknown => {
    if (member !== undefined) return (item as Readonly<Record<string, unknown>>)[member];
    return column?.sortKey ? column.sortKey(item) : column?.of(item, 0);
  };
  const keyed = body.items.map((item) => ({ item, key: keyOf(item) }));
  const items = keyed.toSorted((a, b) => compare(a.key, b.key)).map(({ item }) => item);
  return { ...body, items };
}

const collator = new Intl.Collator('en', { numeric: true });

function compare(left: unknown, right: unknown): number {
  if (typeof left === 'number' && typeof right === 'number') {
    return Number(left > right) - Number(left < right);
  }
  return collator.compare(String(left), String(right));
}

/** What happened; or `anew`: the gateway does not know any more what it told last, and all may differ. */
export type WatchedChange = OperationOutput<'event.watch'> | 'anew';

/** @returns what changes from now on. @throws Fault if the gateway refuses to tell */
export async function openWatch(session: Session): Promise<AsyncIterable<WatchedChange>> {
  let changes = await openChanges(session);
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        try {
          yield* changes;
          return;
        } catch (error) {
          if (!isFault(error, 'audit.beyond-end')) throw error;
          noteAnew(session);
          changes = await openChanges(session);
          yield 'anew';
        }
      }
    },
  };
}

export function noteAnew(session: Session): void {
  session.warn(
    'The gateway has an older store than before: showing what happens from now on. What happened in between is not in its audit log.',
  );
}

async function openChanges(
  session: Session,
): Promise<AsyncIterable<OperationOutput<'event.watch'>>> {
  const client = await session.client();
  const opened = Promise.withResolvers<void>();
  const { signal } = session;
  const events = client.watch('event.watch', {}, { signal, onOpen: opened.resolve });
  let first: ReturnType<typeof events.next> | undefined = events.next();
  first.then(() => opened.resolve(), opened.reject);
  await session.waitingFor(opened.promise);
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const event = await (first ?? events.next());
        first = undefined;
        if (event.done === true) return;
        yield event.value.output;
      }
    },
  };
}

/** Kinds that `policy.apply` changes, many at once and without an event for each. */
const policyKinds: ReadonlySet<string> = new Set(['group', 'grant']);
