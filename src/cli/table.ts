/** Tables as kubectl writes them: columns padded with blanks, three between, no lines. */
import { visible } from '../base/visible-text.ts';

export interface Column<Item> {
  readonly title: string;
  /** Only with `-o wide`. */
  readonly wide?: true;
  of(item: Item, nowMs: number): string;
  /** What the column is sorted by, where the text would sort otherwise. */
  sortKey?(item: Item): number;
}

export interface TableOptions {
  readonly nowMs: number;
  readonly wide: boolean;
  readonly headers: boolean;
  /** At least so wide; widened by what is shown, for the rows that follow. */
  readonly widths?: number[];
}

export function formatTable<Item>(
  columns: readonly Column<Item>[],
  items: readonly Item[],
  options: TableOptions,
): string {
  const shown = columns.filter((column) => options.wide || column.wide !== true);
  const rows = items.map((item) => shown.map((column) => cellOf(column.of(item, options.nowMs))));
  if (options.headers) rows.unshift(shown.map((column) => column.title));
  return formatRows(rows, options.widths);
}

/** @returns whole lines. */
export function formatRows(rows: readonly (readonly string[])[], widths: number[] = []): string {
  for (const row of rows) {
    row.forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, widthOf(cell));
    });
  }
  const lines = rows.map((row) =>
    row
      .map((cell, at) =>
        at === row.length - 1 ? cell : cell + ' '.repeat((widths[at] ?? 0) - widthOf(cell) + 3),
      )
      .join('')
      .trimEnd(),
  );
  return lines.map((line) => `${line}\n`).join('');
}

function cellOf(text: string): string {
  return text === '' ? '<none>' : visible(text);
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const wide =
  /\p{Extended_Pictographic}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;

/** In terminal cells, near enough: labels are chosen by people who write Chinese, too. */
function widthOf(text: string): number {
  if (/^[\u0020-\u007e]*$/.test(text)) return text.length;
  return [...graphemes.segment(text)].reduce(
    (sum, { segment }) => sum + (wide.test(segment) ? 2 : 1),
    0,
  );
}
