/**
 * Reads JSON from untrusted bytes. What it accepts is I-JSON (RFC 7493): RFC 8259 without the parts
 * on which two readers may disagree.
 *
 * Promises
 *   - Agrees with `JSON.parse` on everything that it accepts.
 *   - Refuses what is not UTF-8, a byte order mark, duplicate keys, lone surrogates (two of them
 *     would become one character in UTF-8), numbers that are no finite double, and whatever is
 *     larger, deeper or wider than the bounds; each with line and column.
 *   - Objects inherit nothing: they have the members that were written, `__proto__` like any other.
 *   - Throws nothing but Fault `request.malformed` or `limit.exceeded`; never repeats the input.
 */
import { Fault } from './fault.ts';
import { limits } from './limits.ts';

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

export interface JsonBounds {
  readonly bytesMax: number;
  readonly depthMax: number;
  /** Members and list items together, over the whole document. */
  readonly nodesMax: number;
}

export const jsonBounds: JsonBounds = {
  bytesMax: limits.httpBodyBytesMax,
  depthMax: limits.jsonDepthMax,
  nodesMax: limits.jsonKeysMax,
};

/**
 * @param what - Names the input in the fault: `body`, `answer`.
 * @throws Fault `request.malformed` where the bytes are no I-JSON, `limit.exceeded` where they are too much.
 */
export function parseJson(
  bytes: Uint8Array,
  what: string,
  bounds: JsonBounds = jsonBounds,
): JsonValue {
  if (bytes.length > bounds.bytesMax) {
    throw new Fault('limit.exceeded', { what, unit: 'bytes', max: bounds.bytesMax });
  }
  return new Parser(decodeUtf8(bytes, what), what, bounds).document();
}

function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Fault('request.malformed', { what, problem: 'is not UTF-8' });
  }
}

const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** As far as a string goes on without a quote, a backslash or a control character. */
// oxlint-disable-next-line no-control-regex -- exactly what JSON forbids in strings
const plainPattern = /[^"\\\u0000-\u001f]*/y;
const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};
/** As quick as `{}`; what `Object.create(null)` makes is a hash table. */
const Bare = function () {} as unknown as new () => Record<string, JsonValue>;
Bare.prototype = Object.freeze(Object.create(null));
const literals = { t: 'true', f: 'false', n: 'null' } as const;

class Parser {
  readonly #text: string;
  readonly #what: string;
  readonly #bounds: JsonBounds;
  #at = 0;
  #nodes = 0;

  constructor(text: string, what: string, bounds: JsonBounds) {
    this.#text = text;
    this.#what = what;
    this.#bounds = bounds;
  }

  document(): JsonValue {
    this.#skipSpace();
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) this.#fail('has more after its end');
    return value;
  }

  #value(depth: number): JsonValue {
    switch (this.#text[this.#at] ?? '') {
      case '{':
        return this.#object(depth + 1);
      case '[':
        return this.#list(depth + 1);
      case '"':
        return this.#string();
      case 't':
        return this.#literal(literals.t, true);
      case 'f':
        return this.#literal(literals.f, false);
      case 'n':
        return this.#literal(literals.n, null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): JsonValue {
    this.#enter(depth);
    const object = new Bare();
    if (this.#takes('}')) return object;
    do {
      this.#skipSpace();
      this.#count();
      const start = this.#at;
      if (this.#text[start] !== '"') this.#fail('needs a member name in quotes');
      const name = this.#string();
      if (Object.hasOwn(object, name)) this.#fail('names a member twice', start);
      this.#skipSpace();
      if (this.#text[this.#at] !== ':') this.#fail('needs a colon');
      this.#at += 1;
      this.#skipSpace();
      object[name] = this.#value(depth);
    } while (this.#takes(','));
    if (!this.#takes('}')) this.#fail('needs a comma or a closing brace');
    return object;
  }

  #list(depth: number): JsonValue {
    this.#enter(depth);
    const list: JsonValue[] = [];
    if (this.#takes(']')) return list;
    do {
      this.#skipSpace();
      this.#count();
      list.push(this.#value(depth));
    } while (this.#takes(','));
    if (!this.#takes(']')) this.#fail('needs a comma or a closing bracket');
    return list;
  }

  #string(): string {
    const start = this.#at;
    this.#at += 1;
    let text = '';
    for (;;) {
      plainPattern.lastIndex = this.#at;
      plainPattern.exec(this.#text);
      text += this.#text.slice(this.#at, plainPattern.lastIndex);
      this.#at = plainPattern.lastIndex;
      const next = this.#text[this.#at];
      if (next === '"') break;
      if (next !== '\\')
        this.#fail(next === undefined ? 'ends in a string' : 'has a control character');
      text += this.#escape();
    }
    this.#at += 1;
    if (!text.isWellFormed()) this.#fail('has a lone surrogate in a string', start);
    return text;
  }

  /** The character of the escape at the backslash. */
  #escape(): string {
    const kind = this.#text[this.#at + 1] ?? '';
    if (kind === 'u') {
      const digits = this.#text.slice(this.#at + 2, this.#at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#fail('has a wrong \\u escape');
      this.#at += 6;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    if (!Object.hasOwn(escapes, kind)) this.#fail('has an unknown escape');
    this.#at += 2;
    return escapes[kind] ?? '';
  }

  #number(): number {
    numberPattern.lastIndex = this.#at;
    const match = numberPattern.exec(this.#text);
    if (!match) this.#fail(this.#at >= this.#text.length ? 'ends too early' : 'needs a value');
    const value = Number(match[0]);
    if (!Number.isFinite(value)) this.#fail('has a number out of range');
    this.#at = numberPattern.lastIndex;
    return value;
  }

  #literal<T>(literal: string, value: T): T {
    if (!this.#text.startsWith(literal, this.#at)) this.#fail('needs a value');
    this.#at += literal.length;
    return value;
  }

  #enter(depth: number): void {
    if (depth > this.#bounds.depthMax) this.#exceed('levels', this.#bounds.depthMax);
    this.#at += 1;
  }

  #count(): void {
    this.#nodes += 1;
    if (this.#nodes > this.#bounds.nodesMax) this.#exceed('members', this.#bounds.nodesMax);
  }

  /** Skips space, and `token` if it comes next. */
  #takes(token: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #fail(problem: string, at = this.#at): never {
    throw new Fault('request.malformed', { what: this.#what, problem, ...this.#place(at) });
  }

  #exceed(unit: string, max: number): never {
    throw new Fault('limit.exceeded', { what: this.#what, unit, max, ...this.#place(this.#at) });
  }

  /** Both count from 1; columns in UTF-16 code units, as editors count. */
  #place(at: number): { readonly line: number; readonly column: number } {
    let line = 1;
    let lineStart = 0;
    for (let end = this.#text.indexOf('\n'); end >= 0 && end < at; ) {
      line += 1;
      lineStart = end + 1;
      end = this.#text.indexOf('\n', lineStart);
    }
    return { line, column: at - lineStart + 1 };
  }
}
