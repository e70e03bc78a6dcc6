/** Lists: pages put together, limits said, and `--watch` where the gateway has a stream of changes. */
import type { JsonOperation } from '../protocol/event-cursor.ts';
import type { OperationInput, OperationOutput } from '../protocol/operations.ts';
import { isFault } from '../base/fault.ts';
import { type CommandSpec, type OptionSpec, usage } from './command-spec.ts';
import type { Given } from './given.ts';
import { checkInput } from './operation-command.ts';
import { type ListBody, showList, showRow, type View } from './output.ts';
import { needed, type Permission } from './permissions.ts';
import type { Session } from './session.ts';
import type { refuseUnknown } from './unknown-names.ts';
import { visible } from '../base/visible-text.ts';

type ListOperation = {
  [Name in JsonOperation]: OperationOutput<Name> extends {
    readonly items: readonly unknown[];
    readonly nextCursor?: string;
  }
    ? Name
    : never;
}[JsonOperation];

type ItemOf<Name extends ListOperation> = OperationOutput<Name>['items'][number];

const pageMax = 500;

export const listOptions: readonly OptionSpec[] = [
  {
    flags: '--limit <n>',
    about: `at most so many; ${pageMax} when left out`,
    whole: { min: 1, max: 1_000_000 },
  },
  { flags: '-A, --all', about: 'all there are' },
  { flags: '--no-headers', about: 'rows alone' },
  {
    flags: '--sort-by <column>',
    about: 'sort by a column of the table, or by a jsonpath {.member}',
  },
];

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
  readonly watched?: {
    readonly kind: string;
    readonly get: (session: Session, name: string) => Promise<ItemOf<Name> | undefined>;
  };
  readonly name?: string;
  /** What `filter` asks for. */
  readonly alsoNeeds?: (given: Given) => readonly Permission[];
}

export function listCommand<Name extends ListOperation>(spec: ListCommand<Name>): CommandSpec {
  const { watched } = spec;
  const watchOption = { flags: '-w, --watch', about: 'go on with what changes' };
  const name = spec.name ?? spec.operation.replace('.', ' ');
  return {
    name,
    aliases: name.endsWith(' list') ? ['ls'] : [],
    summary: spec.summary,
    examples: spec.examples,
    options: [...(spec.options ?? []), ...listOptions, ...(watched ? [watchOption] : [])],
    permissions: (_session, given) => [
      needed(spec.operation),
      ...(given.flag('watch') ? [needed('event.watch')] : []),
      ...(spec.alsoNeeds?.(given) ?? []),
    ],
    async run(session, given) {
      const watching = watched !== undefined && given.flag('watch') && !session.isExplaining;
      // Opened before the list is read, so that no change falls in between.
      const changes = watching ? await openWatch(session) : undefined;
      const wanted = (await spec.filter?.(given, session)) ?? {};
      const body = await readList(session, spec.operation, wanted, given);
      if (body.items.length === 0 && spec.named) {
        const { refuseUnknown } = await import('./unknown-names.ts');
        await refuseUnknown(session, spec.named(given));
      }
      await showList(session, spec.view, sorted(spec.view, body, given.text('sortBy')), {
        headers: given.option('headers') !== false,
      });
      if (watched && changes) {
        await showChanges(session, { spec, watched, given, changes, items: body.items });
      }
    },
  };
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
  session.warn(`The first ${items.length}. There are more: use --all, or --limit.`);
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
    (candidate) => candidate.title.toLowerCase() === by.toLowerCase(),
  );
  const member = /^\{?\.([A-Za-z]+)\}?$/.exec(by)?.[1];
  if (!column && member === undefined) {
    const titles = view.columns.map(({ title }) => title.toLowerCase()).join(', ');
    throw usage(`--sort-by must be one of ${titles}, or {.member}`);
  }
  const keyOf = (item: Item): unknown =>
    member === undefined
      ? column?.of(item, 0)
      : (item as Readonly<Record<string, unknown>>)[member];
  return { ...body, items: body.items.toSorted((a, b) => compare(keyOf(a), keyOf(b))) };
}

function compare(left: unknown, right: unknown): number {
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  return String(left).localeCompare(String(right), 'en', { numeric: true });
}

type Change = OperationOutput<'event.watch'>;

export async function openWatch(session: Session): Promise<AsyncIterable<Change>> {
  const client = await session.client();
  const events = client.watch('event.watch', {}, { signal: session.signal });
  let first: ReturnType<typeof events.next> | undefined = events.next();
  first.catch(() => undefined);
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

async function showChanges<Name extends ListOperation>(
  session: Session,
  what: {
    readonly spec: ListCommand<Name>;
    readonly watched: NonNullable<ListCommand<Name>['watched']>;
    readonly given: Given;
    readonly changes: AsyncIterable<Change>;
    readonly items: readonly ItemOf<Name>[];
  },
): Promise<void> {
  const { spec, watched, given, changes } = what;
  const { view } = spec;
  const known = new Map(what.items.map((item) => [view.nameOf(item), JSON.stringify(item)]));
  const show = async (item: ItemOf<Name>): Promise<void> => {
    known.set(view.nameOf(item), JSON.stringify(item));
    await showRow(session, view, item);
  };
  const gone = (name: string, change: string): void => {
    known.delete(name);
    session.note(visible(`${view.kind}/${name} ${change}`));
  };
  session.isFollowing = true;
  for await (const { kind, name, change } of changes) {
    if (kind === 'policy' && policyKinds.has(watched.kind)) {
      const wanted = (await spec.filter?.(given, session)) ?? {};
      const body = await readList(session, spec.operation, wanted, given);
      const items = body.items;
      const names = new Set(items.map((item) => view.nameOf(item)));
      // Of a list that was cut off nothing can be told of what is behind.
      const missing = body.nextCursor === undefined ? [...known.keys()] : [];
      for (const old of missing) if (!names.has(old)) gone(old, 'delete');
      for (const item of items) {
        if (known.get(view.nameOf(item)) !== JSON.stringify(item)) await show(item);
      }
    }
    if (kind !== watched.kind) continue;
    try {
      const item = await watched.get(session, name);
      if (item !== undefined) await show(item);
    } catch (error) {
      // Gone again in between; whatever else is wrong ends the watch.
      if (!isFault(error, 'resource.unknown')) throw error;
      gone(name, change);
    }
  }
}
