/**
 * Reading a whole store, page by page, in the order that is cheapest: as its rows lie in the file, one
 * page of the file after the other; or key by key, where what is left out is most of it. Key by key a
 * million rows are a million pages looked for, since keys are hashes.
 */
import { assert } from '../../base/assert.ts';
import { isPhysicalKey } from './key-range.ts';
import type { ScanOptions } from './physical.ts';
import { damaged } from './sqlite-row.ts';

type Found = Record<string, unknown>;

interface Statement {
  get(...parameters: readonly (string | number)[]): Found | undefined;
  all(...parameters: readonly (string | number)[]): Found[];
}

export interface ScanStatements {
  readonly lastPlace: Statement;
  readonly placeAfter: Statement;
  readonly between: Statement;
  /** From a key (included) to a key (not included), at most so many, by key. */
  readonly list: Statement;
}

/** `NOT INDEXED`: in the order of the table, whatever the planner thinks. */
export const scanQueries = {
  lastPlace: 'SELECT max(rowid) AS place FROM rows',
  placeAfter:
    'SELECT rowid AS place FROM rows NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT 1 OFFSET ?',
  between: `SELECT key, revision, bytes FROM rows NOT INDEXED
    WHERE rowid > ? AND rowid <= ? AND NOT (key >= ? AND key < ?) ORDER BY rowid`,
} as const;

/** Where a scan goes on. */
type ScanPlace =
  | { readonly by: 'place'; readonly after: number; readonly last: number }
  | { readonly by: 'key'; readonly from: string; readonly to: string };

interface ScanStep {
  readonly rows: readonly Found[];
  readonly next: ScanPlace | undefined;
}

/** So few that most of what is made of them is gone before the collector copies it. */
const rowsPerStep = 200;
/** Rows that are passed over cost a tenth of those that are looked up by key, or less. */
const passedOverMax = 8;
/** Sorts before every key, and after every one. */
const [first, end] = ['\x20', '\x7f'];

/** @param reading - Runs what reads, and says in our words what goes wrong. */
export function* scanPages(
  reading: <T>(read: (statements: ScanStatements) => T) => T,
  options: ScanOptions & { readonly place: string },
): Generator<readonly Found[], void, undefined> {
  assert(isPhysicalKey(options.without), 'what is left out is the beginning of a key');
  let place: ScanPlace | undefined = reading((statements) => startScan(statements, options));
  while (place !== undefined) {
    const here: ScanPlace = place;
    const step: ScanStep = reading((statements) => stepScan(statements, options, here));
    // A file that was edited could send it round in circles.
    if (!goesOn(here, step.next)) throw damaged(options.place, 'order');
    yield step.rows;
    place = step.next;
  }
}

function startScan(statements: ScanStatements, options: ScanOptions): ScanPlace {
  const place = statements.lastPlace.get()?.['place'];
  // Rows that are gone leave their places behind, so there are no more rows than this.
  const last = typeof place === 'number' ? place : 0;
  if (last <= options.expected * passedOverMax + rowsPerStep)
    return { by: 'place', after: 0, last };
  return { by: 'key', from: first, to: options.without };
}

function stepScan(statements: ScanStatements, options: ScanOptions, place: ScanPlace): ScanStep {
  const { without } = options;
  if (place.by === 'place') {
    const found = statements.placeAfter.get(place.after, rowsPerStep - 1)?.['place'];
    const until = typeof found === 'number' ? found : place.last;
    const rows = statements.between.all(place.after, until, without, without + end);
    return { rows, next: until < place.last ? { ...place, after: until } : undefined };
  }
  const { from, to } = place;
  const rows = statements.list.all(from, to, rowsPerStep);
  const key = rows.at(-1)?.['key'];
  if (rows.length === rowsPerStep && typeof key === 'string') {
    return { rows, next: { by: 'key', from: key + first, to } };
  }
  const beyond: ScanPlace = { by: 'key', from: without + end, to: end };
  return { rows, next: to === end ? undefined : beyond };
}

function goesOn(here: ScanPlace, next: ScanPlace | undefined): boolean {
  if (next === undefined) return true;
  if (here.by === 'place' && next.by === 'place') return next.after > here.after;
  return here.by === 'key' && next.by === 'key' && next.from > here.from;
}
