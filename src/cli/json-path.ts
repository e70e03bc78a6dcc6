/**
 * `-o jsonpath=…`, the part of kubectl's that scripts use: text with `{…}` in it. In the braces stands a
 * path, a quoted text with `\n` and `\t`, or `range PATH`, which repeats what follows until `{end}`. A path
 * is made of `.name`, `['name']`, `[0]`, `[-1]`, `[0:2]`, `[*]` and filters: `[?(@.state=="stored")]`.
 */
import { isPlainObject } from '../base/schema.ts';
import { usage } from './command-spec.ts';

/** A template that was read whole: nothing about it can go wrong any more. */
export type JsonPath = (value: unknown) => string;

/** From one item to those that the path goes on with. */
type Step = (item: unknown) => readonly unknown[];

interface Range {
  readonly steps: readonly Step[];
  readonly parts: JsonPath[];
}

/** @throws Fault `cli.usage` */
export function compileJsonPath(template: string): JsonPath {
  const open: Range[] = [{ steps: [], parts: [] }];
  const add = (part: JsonPath): unknown => open.at(-1)?.parts.push(part);
  for (const [text, expression] of piecesOf(template)) {
    add(() => text);
    const range = /^range\s+(.*)$/s.exec(expression ?? '')?.[1];
    if (range !== undefined) open.push({ steps: stepsOf(range), parts: [] });
    else if (expression === 'end') {
      const ended = open.length > 1 ? open.pop() : undefined;
      if (!ended) throw usage('the jsonpath has an {end} without a {range …}');
      add((value) => select(ended.steps, value).map(joined(ended.parts)).join(''));
    } else if (expression !== undefined) add(compileExpression(expression));
  }
  const [whole, unended] = open;
  if (!whole || unended) throw usage('the jsonpath has a {range …} without an {end}');
  return joined(whole.parts);
}

function joined(parts: readonly JsonPath[]): JsonPath {
  return (value) => parts.map((part) => part(value)).join('');
}

/** Text, and what stands in the braces behind it; nothing behind the last. */
function* piecesOf(template: string): Generator<readonly [string, string | undefined]> {
  let rest = template;
  for (let start = rest.indexOf('{'); start >= 0; start = rest.indexOf('{')) {
    const end = rest.indexOf('}', start);
    if (end < 0) throw usage('the jsonpath has an unclosed brace');
    yield [rest.slice(0, start), rest.slice(start + 1, end).trim()];
    rest = rest.slice(end + 1);
  }
  yield [rest, undefined];
}

function compileExpression(expression: string): JsonPath {
  const quoted = /^"(.*)"$|^'(.*)'$/s.exec(expression);
  if (quoted) {
    const text = (quoted[1] ?? quoted[2] ?? '').replaceAll('\\n', '\n').replaceAll('\\t', '\t');
    return () => text;
  }
  const steps = stepsOf(expression);
  return (value) => select(steps, value).map(textOf).join(' ');
}

/** Each begins where the last one ended (`y`); the first that fits makes the step. */
const forms: readonly (readonly [RegExp, (...found: readonly string[]) => Step])[] = [
  [/\[\*\]|\.\*/y, () => everything],
  [/\.([A-Za-z0-9_-]+)/y, (name = '') => member(name)],
  [/\['([^']*)'\]/y, (name = '') => member(name)],
  [
    /\[(-?\d{1,9})\]/y,
    (at) => items((list) => (-Number(at) > list.length ? [] : list.slice(Number(at)).slice(0, 1))),
  ],
  [
    /\[(-?\d{1,9})?:(-?\d{1,9})?\]/y,
    (from, to) => items((list) => list.slice(Number(from ?? 0), to ? Number(to) : undefined)),
  ],
  [
    /\[\?\(@((?:\.[A-Za-z0-9_-]+|\['[^']*'\])+)\s*(?:(==|!=|<=|>=|<|>)\s*([^)]+?))?\s*\)\]/y,
    (path = '', operator, literal) => filter(path, operator, literal),
  ],
];

/** @throws Fault `cli.usage` */
function stepsOf(expression: string): readonly Step[] {
  const path = expression.replace(/^\$/, '');
  const steps: Step[] = [];
  if (path === '' || path === '.') return steps;
  for (let at = 0; at < path.length; ) {
    const next = stepAt(path, at);
    if (!next) throw usage(`the jsonpath cannot be read: ${JSON.stringify(expression)}`);
    steps.push(next.step);
    ({ end: at } = next);
  }
  return steps;
}

function stepAt(
  path: string,
  at: number,
): { readonly step: Step; readonly end: number } | undefined {
  for (const [form, make] of forms) {
    form.lastIndex = at;
    const found = form.exec(path);
    if (found) return { step: make(...found.slice(1)), end: form.lastIndex };
  }
  return undefined;
}

function everything(item: unknown): readonly unknown[] {
  if (Array.isArray(item)) return item as unknown[];
  return isPlainObject(item) ? Object.values(item) : [];
}

function member(name: string): Step {
  return (item) => (isPlainObject(item) && Object.hasOwn(item, name) ? [item[name]] : []);
}

function items(pick: (list: readonly unknown[]) => readonly unknown[]): Step {
  return (item) => (Array.isArray(item) ? pick(item as unknown[]) : []);
}

/** Items of which the path leads somewhere, or to what compares so. @throws Fault `cli.usage` */
function filter(path: string, operator: string | undefined, literal: string | undefined): Step {
  const steps = stepsOf(path);
  const wanted = literal === undefined ? undefined : literalOf(literal);
  const holds = comparison(operator, wanted);
  return items((list) => list.filter((item) => select(steps, item).some(holds)));
}

function literalOf(text: string): string | number | boolean {
  const quoted = /^"([^"]*)"$|^'([^']*)'$/.exec(text);
  if (quoted) return quoted[1] ?? quoted[2] ?? '';
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^-?\d{1,15}(\.\d{1,15})?$/.test(text)) return Number(text);
  throw usage(`the jsonpath compares with what is no text, number or boolean: ${text}`);
}

function comparison(
  operator: string | undefined,
  wanted: string | number | boolean | undefined,
): (value: unknown) => boolean {
  if (operator === undefined || wanted === undefined) return () => true;
  if (operator === '==') return (value) => value === wanted;
  if (operator === '!=') return (value) => value !== wanted;
  return (value) => {
    if (typeof value !== typeof wanted) return false;
    const order = (value as typeof wanted) < wanted ? -1 : value === wanted ? 0 : 1;
    if (order === 0) return operator.endsWith('=');
    return operator.startsWith(order < 0 ? '<' : '>');
  };
}

function select(steps: readonly Step[], value: unknown): readonly unknown[] {
  let found: readonly unknown[] = [value];
  for (const step of steps) found = found.flatMap(step);
  return found;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
