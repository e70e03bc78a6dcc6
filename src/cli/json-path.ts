/**
 * `-o jsonpath=…`, the part of kubectl's that scripts use: text with `{…}` in it, and in the braces a
 * path of `.name`, `['name']`, `[0]`, `[*]`, or a quoted text with `\n` and `\t`.
 */
import { isPlainObject } from '../base/schema.ts';
import { usage } from './command-spec.ts';

/** A member, an index, or `all`: every member or item. */
type Step = string | number | typeof all;
const all: unique symbol = Symbol('all');

/** A template that was read whole: nothing about it can go wrong any more. */
export type JsonPath = (value: unknown) => string;

/** @throws Fault `cli.usage` */
export function compileJsonPath(template: string): JsonPath {
  const parts: JsonPath[] = [];
  let rest = template;
  for (let open = rest.indexOf('{'); open >= 0; open = rest.indexOf('{')) {
    const close = rest.indexOf('}', open);
    if (close < 0) throw usage('the jsonpath has an unclosed brace');
    parts.push(literal(rest.slice(0, open)), compileExpression(rest.slice(open + 1, close).trim()));
    rest = rest.slice(close + 1);
  }
  parts.push(literal(rest));
  return (value) => parts.map((part) => part(value)).join('');
}

function literal(text: string): JsonPath {
  return () => text;
}

function compileExpression(expression: string): JsonPath {
  const quoted = /^"(.*)"$|^'(.*)'$/s.exec(expression);
  if (quoted) {
    const text = quoted[1] ?? quoted[2] ?? '';
    return literal(text.replaceAll('\\n', '\n').replaceAll('\\t', '\t'));
  }
  const steps = stepsOf(expression);
  return (value) => select(steps, value).map(textOf).join(' ');
}

function stepsOf(expression: string): readonly Step[] {
  const pattern = /\.([A-Za-z0-9_-]+)|\['([^']*)'\]|\[(\d+)\]|(\[\*\]|\.\*)/y;
  const path = expression.replace(/^\$/, '');
  const steps: Step[] = [];
  if (path === '' || path === '.') return steps;
  while (pattern.lastIndex < path.length) {
    const match = pattern.exec(path);
    if (!match) throw usage(`the jsonpath cannot be read: ${JSON.stringify(expression)}`);
    const [, plain, quoted, number] = match;
    steps.push(number === undefined ? (plain ?? quoted ?? all) : Number(number));
  }
  return steps;
}

function select(steps: readonly Step[], value: unknown): readonly unknown[] {
  let found: readonly unknown[] = [value];
  for (const step of steps) {
    found = found.flatMap((item): readonly unknown[] => {
      if (step === all) {
        if (Array.isArray(item)) return item as unknown[];
        return isPlainObject(item) ? Object.values(item) : [];
      }
      if (typeof step === 'number') return Array.isArray(item) && step in item ? [item[step]] : [];
      return isPlainObject(item) && Object.hasOwn(item, step) ? [item[step]] : [];
    });
  }
  return found;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
