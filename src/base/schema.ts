/**
 * Schemas: one value that parses untrusted input, infers the static type, and is a JSON Schema.
 *
 * Promises
 *   - What `parse` returns are fresh objects with exactly the declared members; unknown ones are errors,
 *     never dropped in silence. Where people choose the keys (`record`), the object has no prototype.
 *   - All that is wrong is reported at once, each with its RFC 6901 pointer. Reports name places and
 *     rules; they never repeat the input, which may be a misplaced secret.
 *
 * Why not a library: docs/decisions/0002-schema.md.
 */
import { count } from './count.ts';
import { Fault, type FaultError, isFault } from './fault.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface Schema<T> {
  readonly json: JsonSchema;
  /** Whether an object member with this schema may be left out. */
  readonly optional?: boolean;
  /** Adds to `errors` what is wrong below `pointer`. The result is meaningful only if it added none. */
  read(value: unknown, pointer: string, errors: FaultError[]): T;
}

export type Infer<S> = S extends Schema<infer T> ? T : never;

interface OptionalSchema<T> extends Schema<T | undefined> {
  readonly optional: true;
}

type Members = Readonly<Record<string, Schema<unknown>>>;
type OptionalNames<M extends Members> = {
  [K in keyof M]: M[K] extends OptionalSchema<unknown> ? K : never;
}[keyof M];
type Flat<T> = { [K in keyof T]: T[K] };
export type InferMembers<M extends Members> = Flat<
  { readonly [K in Exclude<keyof M, OptionalNames<M>>]: Infer<M[K]> } & {
    readonly [K in OptionalNames<M>]?: Exclude<Infer<M[K]>, undefined>;
  }
>;

/** @throws Fault `request.invalid` with every error found. `what` names the input in the fault. */
export function parse<T>(schema: Schema<T>, value: unknown, what: string): T {
  const errors: FaultError[] = [];
  const parsed = schema.read(value, '', errors);
  if (errors.length > 0) {
    const first = errors[0];
    throw new Fault(
      'request.invalid',
      { what, at: first?.pointer === '' ? '/' : first?.pointer, problem: first?.detail },
      { errors },
    );
  }
  return parsed;
}

interface StringRules {
  readonly min?: number;
  /** In UTF-16 code units. Every string has a bound. */
  readonly max: number;
  readonly pattern?: RegExp;
  readonly description?: string;
}

export function string(rules: StringRules): Schema<string> {
  const { min = 0, max, pattern, description } = rules;
  const json = {
    type: 'string',
    minLength: min,
    maxLength: max,
    ...(pattern ? { pattern: pattern.source } : {}),
    ...(description === undefined ? {} : { description }),
  };
  return {
    json,
    read(value, pointer, errors) {
      const rule = (text: string): string =>
        description === undefined ? text : `must be ${description}`;
      if (typeof value !== 'string') return wrong(errors, pointer, rule('must be a string'), '');
      if (value.length < min)
        return wrong(errors, pointer, rule(`must have at least ${count(min, 'character')}`), value);
      if (value.length > max)
        return wrong(errors, pointer, rule(`must have at most ${count(max, 'character')}`), value);
      if (pattern && !pattern.test(value))
        return wrong(errors, pointer, rule(`must match ${pattern.source}`), value);
      return value;
    },
  };
}

/** A string that `parseText` accepts: it returns the branded value or throws a Fault. */
export function text<T>(
  parseText: (value: string) => T,
  rules: { readonly max: number; readonly description: string },
): Schema<T> {
  return {
    json: { type: 'string', maxLength: rules.max, description: rules.description },
    read(value, pointer, errors) {
      if (typeof value !== 'string') return wrong(errors, pointer, 'must be a string', '' as T);
      try {
        return parseText(value);
      } catch (error) {
        if (!isFault(error)) throw error;
        return wrong(errors, pointer, `must be ${rules.description}`, value as T);
      }
    },
  };
}

export function integer(rules: { readonly min: number; readonly max: number }): Schema<number> {
  return {
    json: { type: 'integer', minimum: rules.min, maximum: rules.max },
    read(value, pointer, errors) {
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
        return wrong(errors, pointer, 'must be a whole number', 0);
      }
      if (value < rules.min || value > rules.max) {
        return wrong(errors, pointer, `must be ${rules.min} … ${rules.max}`, value);
      }
      return value;
    },
  };
}

export function boolean(): Schema<boolean> {
  return {
    json: { type: 'boolean' },
    read: (value, pointer, errors) =>
      typeof value === 'boolean' ? value : wrong(errors, pointer, 'must be true or false', false),
  };
}

export function oneOf<const T extends string>(values: readonly T[]): Schema<T> {
  return {
    json: { type: 'string', enum: values },
    read(value, pointer, errors) {
      const found = values.find((candidate) => candidate === value);
      return found ?? wrong(errors, pointer, `must be one of ${values.join(', ')}`, value as T);
    },
  };
}

export function array<T>(
  item: Schema<T>,
  rules: { readonly max: number; readonly min?: number },
): Schema<readonly T[]> {
  const { max, min = 0 } = rules;
  return {
    json: { type: 'array', items: item.json, maxItems: max, minItems: min },
    read(value, pointer, errors) {
      if (!Array.isArray(value)) return wrong(errors, pointer, 'must be a list', []);
      if (value.length < min)
        return wrong(errors, pointer, `must have at least ${count(min, 'item')}`, []);
      if (value.length > max)
        return wrong(errors, pointer, `must have at most ${count(max, 'item')}`, []);
      return value.map((element, index) => item.read(element, `${pointer}/${index}`, errors));
    },
  };
}

export function object<M extends Members>(
  members: M,
): Schema<InferMembers<M>> & { readonly members: M } {
  const names = Object.keys(members);
  return {
    members,
    json: {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, members[name]?.json])),
      required: names.filter((name) => members[name]?.optional !== true),
      additionalProperties: false,
    },
    read(value, pointer, errors) {
      const parsed: Record<string, unknown> = {};
      if (!isPlainObject(value))
        return wrong(errors, pointer, 'must be an object', parsed as never);
      for (const name of Object.keys(value)) {
        if (!Object.hasOwn(members, name)) {
          errors.push({
            pointer: `${pointer}/${escapePointer(name)}`,
            detail: 'is not a known field',
          });
        }
      }
      for (const name of names) {
        const member = members[name] as Schema<unknown>;
        const given = Object.hasOwn(value, name) ? value[name] : undefined;
        if (given === undefined) {
          if (member.optional !== true)
            errors.push({ pointer: `${pointer}/${name}`, detail: 'is required' });
          continue;
        }
        parsed[name] = member.read(given, `${pointer}/${name}`, errors);
      }
      return parsed as InferMembers<M>;
    },
  };
}

/** A map from keys that people choose. Keys are checked by their own schema. */
export function record<T>(
  key: Schema<string>,
  item: Schema<T>,
  rules: { readonly max: number },
): Schema<Readonly<Record<string, T>>> {
  return {
    json: {
      type: 'object',
      propertyNames: key.json,
      additionalProperties: item.json,
      maxProperties: rules.max,
    },
    read(value, pointer, errors) {
      const parsed: Record<string, T> = Object.create(null) as Record<string, T>;
      if (!isPlainObject(value)) return wrong(errors, pointer, 'must be an object', parsed);
      const entries = Object.entries(value);
      if (entries.length > rules.max) {
        const most = count(rules.max, 'entry', 'entries');
        return wrong(errors, pointer, `must have at most ${most}`, parsed);
      }
      for (const [name, element] of entries) {
        const place = `${pointer}/${escapePointer(name)}`;
        const before = errors.length;
        key.read(name, place, errors);
        if (errors.length === before) parsed[name] = item.read(element, place, errors);
      }
      return parsed;
    },
  };
}

export function optional<T>(schema: Schema<T>): OptionalSchema<T> {
  return { ...schema, optional: true };
}

/** One of several object shapes, told apart by what one member says: each shape stands under what that is. */
export function tagged<const S extends Readonly<Record<string, Schema<unknown>>>>(
  member: string,
  schemas: S,
): Schema<Infer<S[keyof S]>> {
  const tags = Object.keys(schemas);
  return {
    json: { anyOf: Object.values(schemas).map((schema) => schema.json) },
    read(value, pointer, errors) {
      type Read = Infer<S[keyof S]>;
      if (!isPlainObject(value)) {
        return wrong(errors, pointer, 'must be an object', value as Read);
      }
      const tag = value[member];
      const chosen =
        typeof tag === 'string' && Object.hasOwn(schemas, tag) ? schemas[tag] : undefined;
      if (chosen) return chosen.read(value, pointer, errors) as Read;
      const problem = `must be one of ${tags.join(', ')}`;
      return wrong(errors, `${pointer}/${member}`, problem, value as Read);
    },
  };
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong<T>(errors: FaultError[], pointer: string, detail: string, result: T): T {
  errors.push({ pointer, detail });
  return result;
}

function escapePointer(name: string): string {
  const short = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  return short.replaceAll('~', '~0').replaceAll('/', '~1');
}
