/**
 * What goes to standard output, in the format that was asked for. JSON is the API's object unchanged; YAML is
 * the same, except where there are documents of it: then it is these, as `coffer apply` takes them.
 */
import { assert } from '../base/assert.ts';
import { usage } from './command-spec.ts';
import type { Session } from './session.ts';
import type { JsonPath } from './json-path.ts';
import { type Column, formatTable } from './table.ts';
import { jsonText, visible, visibleLines } from '../base/visible-text.ts';

export type Format =
  | { readonly kind: 'table' | 'wide' | 'json' | 'yaml' | 'name' }
  | { readonly kind: 'jsonpath'; readonly apply: JsonPath };

export const formatNames = ['table', 'wide', 'json', 'yaml', 'name', 'jsonpath=…'] as const;

/** How one kind of thing looks as a row. */
export interface View<Item> {
  /** `secret`; with a name it makes `secret/payments/db-password`. */
  readonly kind: string;
  /** Where it is not that with an s. */
  readonly plural?: string;
  nameOf(item: Item): string;
  /** As `coffer apply` takes it: what somebody decided, without what the gateway says of it. */
  readonly documentOf?: (item: Item) => object;
  readonly columns: readonly Column<Item>[];
}

export interface ListBody<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}

/** Before anything is asked for: what cannot be shown is not done. @throws Fault `cli.usage` */
export async function parseFormat(text: string): Promise<Format> {
  if (text.startsWith('jsonpath=')) {
    const { compileJsonPath } = await import('./json-path.ts');
    return { kind: 'jsonpath', apply: compileJsonPath(text.slice('jsonpath='.length)) };
  }
  switch (text) {
    case 'table':
    case 'wide':
    case 'json':
    case 'yaml':
    case 'name':
      return { kind: text };
    default:
      throw usage(`--output must be one of ${formatNames.join(', ')}`);
  }
}

export async function showList<Item>(
  session: Session,
  view: View<Item>,
  body: ListBody<Item>,
  { headers = true }: { readonly headers?: boolean } = {},
): Promise<void> {
  const { kind } = await session.format();
  const isTable = kind === 'table' || kind === 'wide';
  const isDocuments = kind === 'yaml' && view.documentOf !== undefined;
  if (kind === 'name') {
    for (const item of body.items) session.print(`${view.kind}/${visible(view.nameOf(item))}\n`);
  } else if (body.items.length === 0 && (isTable || isDocuments)) {
    session.note(`No ${view.plural ?? `${view.kind}s`} found.`);
  } else if (isTable) session.print(tableOf(session, view, body.items, { headers }));
  else if (isDocuments) await showDocuments(session, view, body.items);
  else await showData(session, body);
}

/** Of commands that show what has documents, in their help. */
export const documentsHelp = 'With -o yaml, prints documents that `coffer apply` accepts.';

export async function showOne<Item>(session: Session, view: View<Item>, item: Item): Promise<void> {
  const { kind } = await session.format();
  if (kind === 'yaml' && view.documentOf) await showDocuments(session, view, [item]);
  else {
    await showText(session, item, {
      name: `${view.kind}/${view.nameOf(item)}`,
      text: () => tableOf(session, view, [item], { headers: true }),
    });
  }
}

async function showDocuments<Item>(
  session: Session,
  view: View<Item>,
  items: readonly Item[],
): Promise<void> {
  const { formatYaml } = await import('./yaml-text.ts');
  const documents = items.map((item) => formatYaml(view.documentOf?.(item)));
  session.print(visibleLines(documents.join('---\n')));
}

/** One object that has no columns: as `text` for people, as data for programs. */
export async function showText(
  session: Session,
  body: unknown,
  words: { readonly name: string | readonly string[]; readonly text: () => string },
): Promise<void> {
  const format = await session.format();
  const names = [words.name].flat();
  if (format.kind === 'name') session.print(names.map((name) => `${visible(name)}\n`).join(''));
  else if (format.kind === 'table' || format.kind === 'wide') session.print(words.text());
  else await showData(session, body);
}

/**
 * What a change did, in one line for people: `secret/a deleted (current 2)`.
 *
 * @param words.done - What is said of the subject, where that does not say it all.
 */
export async function showDone(
  session: Session,
  body: unknown,
  words: { readonly subject: string; readonly done?: string },
): Promise<void> {
  const { subject, done = '' } = words;
  const rehearsed = session.dryRun === 'server' ? '(server dry run)' : '';
  const said = [subject, done, rehearsed].filter((part) => part !== '').join(' ');
  await showText(session, body, { name: subject, text: () => `${visible(said)}\n` });
}

/** Of a watched list: one more row, or one more JSON line. */
export async function showRow<Item>(
  session: Session,
  view: View<Item>,
  item: Item,
  { headers = false }: { readonly headers?: boolean } = {},
): Promise<void> {
  const { kind } = await session.format();
  if (kind === 'name') session.print(`${view.kind}/${visible(view.nameOf(item))}\n`);
  else if (kind === 'table' || kind === 'wide') {
    session.print(tableOf(session, view, [item], { headers }));
  } else if (kind === 'json') session.print(`${jsonText(item)}\n`);
  else {
    if (kind === 'yaml') session.print('---\n');
    await showOne(session, view, item);
  }
}

export function tableOf<Item>(
  session: Session,
  view: View<Item>,
  items: readonly Item[],
  options: { readonly headers: boolean },
): string {
  return formatTable(view.columns, items, {
    nowMs: session.io.clock.wallMs(),
    wide: session.isWide,
    headers: options.headers,
    widths: session.columnWidths,
  });
}

async function showData(session: Session, body: unknown): Promise<void> {
  const format = await session.format();
  switch (format.kind) {
    case 'json':
      session.print(`${jsonText(body, 2)}\n`);
      return;
    case 'yaml': {
      const { formatYaml } = await import('./yaml-text.ts');
      session.print(visibleLines(formatYaml(body)));
      return;
    }
    case 'jsonpath': {
      const text = format.apply(body);
      session.print(session.io.stdout.isTty ? `${visibleLines(text)}\n` : text);
      return;
    }
    case 'table':
    case 'wide':
    case 'name':
      assert(false, 'tables and names are not data');
  }
}
