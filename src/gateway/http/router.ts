/**
 * The router: a request target is parsed here, once, and whatever has a second spelling is refused.
 *
 * Promises
 *   - Two targets that match the same operation with the same member are the same path, byte for
 *     byte. There is no percent-encoding, dot segment, doubled or trailing slash, upper case,
 *     absolute form or fragment in a path; queries decode once, `+` and repeated keys are refused.
 *   - What comes out is what policy is asked about: members are parsed by their own schema here,
 *     before anybody is authenticated, and never again from the text.
 *   - Constant work per request: one map look-up, no patterns over input that can backtrack.
 * Does not promise
 *   - That the object exists, or that anybody may know about it.
 */
import { assert } from '../../base/assert.ts';
import { Fault, type FaultError } from '../../base/fault.ts';
import type { Schema } from '../../base/schema.ts';
import type { HttpMethod, Operation } from '../../protocol/operation.ts';
import { type OperationName, operationNamed, operationNames } from '../../protocol/operations.ts';

export interface Target {
  readonly path: string;
  /** Decoded, in order. Each key occurs once. */
  readonly query: ReadonlyMap<string, string>;
}

export interface Route {
  readonly name: OperationName;
  readonly operation: Operation<unknown, unknown>;
  /** Name of the input's member that the path holds, if it holds one. */
  readonly member?: string;
}

export interface Match extends Route {
  /** The member's value, already parsed by its schema. */
  readonly given?: string;
}

const targetCharsMax = 8192;
const queryKeysMax = 64;
/** `/v1/nouns`, then a member, then a verb. */
const templatePattern = /^(\/v1\/[a-z-]+)(?:\/\{([A-Za-z]+)\})?(?::([a-z-]+))?$/;
const pathPattern = /^[a-z0-9._:/-]+$/;
const queryKeyPattern = /^[a-zA-Z]{1,64}$/;
/** RFC 3986 unreserved, `%`, and what people type unescaped into a query without harm. */
const queryValuePattern = /^[A-Za-z0-9._~%:/@!$'()*,;=-]*$/;

/** @throws Fault `request.malformed`, or `request.target-too-long`. */
export function parseTarget(raw: string): Target {
  if (raw.length > targetCharsMax) throw new Fault('request.target-too-long');
  const mark = raw.indexOf('?');
  const path = mark < 0 ? raw : raw.slice(0, mark);
  if (!path.startsWith('/') || !pathPattern.test(path))
    throw malformedPath('has a character that no path here has');
  const segments = path.slice(1).split('/');
  if (segments.some((segment) => segment === '' && path !== '/')) {
    throw malformedPath('has an empty segment');
  }
  if (segments.some((segment) => segment === '.' || segment === '..')) {
    throw malformedPath('has a dot segment');
  }
  return { path, query: mark < 0 ? new Map() : parseQuery(raw.slice(mark + 1)) };
}

function parseQuery(text: string): ReadonlyMap<string, string> {
  const query = new Map<string, string>();
  if (text === '') throw malformedQuery('is empty');
  for (const pair of text.split('&', queryKeysMax + 1)) {
    const equals = pair.indexOf('=');
    const key = equals < 0 ? pair : pair.slice(0, equals);
    const value = equals < 0 ? '' : pair.slice(equals + 1);
    if (!queryKeyPattern.test(key)) throw malformedQuery('has a key that is no name');
    if (query.has(key)) throw malformedQuery('names a key twice');
    if (query.size >= queryKeysMax) throw malformedQuery('has too many keys');
    if (value.includes('+'))
      throw malformedQuery('has a plus: write %20 for a space, %2B for a plus');
    if (!queryValuePattern.test(value)) throw malformedQuery('has an unescaped character');
    query.set(key, decode(value));
  }
  return query;
}

function decode(value: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(value);
  } catch {
    throw malformedQuery('has a wrong percent escape');
  }
  for (const character of decoded) {
    if (character < ' ' || character === '\u007f') throw malformedQuery('has a control character');
  }
  return decoded;
}

function malformedPath(problem: string): Fault {
  return new Fault('request.malformed', { what: 'path', problem });
}

function malformedQuery(problem: string): Fault {
  return new Fault('request.malformed', { what: 'query', problem });
}

/** By place (`/v1/secrets/{}:put`), then by method. */
const places: ReadonlyMap<string, ReadonlyMap<HttpMethod, Route>> = readTable();

function readTable(): ReadonlyMap<string, ReadonlyMap<HttpMethod, Route>> {
  const table = new Map<string, Map<HttpMethod, Route>>();
  for (const name of operationNames) {
    const operation = operationNamed(name);
    const [, collection, member, verb] = templatePattern.exec(operation.path) ?? [];
    assert(collection !== undefined, `the path of ${name} has the one shape that is routed`);
    const place = placeOf(collection, member !== undefined, verb);
    const methods = table.get(place) ?? new Map<HttpMethod, Route>();
    assert(!methods.has(operation.method), `${name} has a method and path of its own`);
    assert(
      typeof operation.access === 'string' || operation.access.publicBecause !== '',
      `${name} says who may call it`,
    );
    methods.set(operation.method, { name, operation, ...(member === undefined ? {} : { member }) });
    table.set(place, methods);
  }
  return table;
}

function placeOf(collection: string, hasMember: boolean, verb: string | undefined): string {
  return `${collection}${hasMember ? '/{}' : ''}${verb === undefined ? '' : `:${verb}`}`;
}

/**
 * @returns undefined if no operation has this path.
 * @throws Fault `request.method` with `allow`, `request.malformed` if a name is not canonical.
 */
export function matchRoute(method: string, path: string): Match | undefined {
  const colon = path.indexOf(':');
  const noun = colon < 0 ? path : path.slice(0, colon);
  const verb = colon < 0 ? undefined : path.slice(colon + 1);
  if (verb !== undefined && (verb.includes(':') || verb.includes('/'))) {
    throw malformedPath('has a colon in the wrong place');
  }
  const second = noun.indexOf('/', '/v1/'.length);
  const collection = second < 0 ? noun : noun.slice(0, second);
  const methods = places.get(placeOf(collection, second >= 0, verb));
  if (!methods) return undefined;
  const route = methods.get(method as HttpMethod);
  if (!route)
    throw new Fault('request.method', { allow: [...methods.keys()].toSorted().join(', ') });
  if (second < 0 || route.member === undefined) return route;
  return { ...route, given: parseMember(route.operation, route.member, noun.slice(second + 1)) };
}

function parseMember(operation: Operation<unknown, unknown>, member: string, text: string): string {
  const errors: FaultError[] = [];
  const parsed = memberSchemas(operation)[member]?.read(text, `/${member}`, errors);
  if (errors.length > 0 || typeof parsed !== 'string')
    throw malformedPath('has a name that is not canonical');
  return parsed;
}

/** The members of an operation's input. Every input in the table is an object. */
export function memberSchemas(
  operation: Operation<unknown, unknown>,
): Readonly<Record<string, Schema<unknown>>> {
  const input = operation.input as Schema<unknown> & {
    readonly members?: Readonly<Record<string, Schema<unknown>>>;
  };
  assert(input.members !== undefined, 'the input of an operation is an object schema');
  return input.members;
}
