/**
 * Everything that can be asked of a listener: every path that it publishes, and some that it might have,
 * with every method there is and with each header that asks for a part, another form or an echo of what is
 * there. Bytes are written by hand, so that no library leaves a request out.
 */
import { METHODS } from 'node:http';
import { defined } from '../base/assert.ts';
import { requestOf } from '../client/outgoing.ts';
import { SecretValue } from '../model/secret-value.ts';
import { type OperationName, operationNamed, operationNames } from '../protocol/operations.ts';
import type { Example } from './operation-examples.ts';
import { type RawTarget, rawConnect } from './raw-http.ts';

export interface SweptRequest {
  /** Method, path and variant: what a finding is called. */
  readonly name: string;
  /** Undefined if no operation has this method and path. */
  readonly operation: OperationName | undefined;
  readonly method: string;
  readonly path: string;
  /** Without authorization and request id. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface SweepContents {
  readonly examples: Readonly<Record<OperationName, Example>>;
  /** Of whatever the examples are about: for If-Match and its like. */
  readonly revision: (operation: OperationName | undefined) => number;
  /** What is sent with a request that takes no body. */
  readonly body: string;
  /** Only so few of the variants: each so many-th, from this one on. */
  readonly some?: { readonly each: number; readonly from: number };
}

/** Each asks for what is there in another way. `REV` stands for the revision that is there. */
const variants: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: {},
  range: { range: 'bytes=0-199' },
  ranges: { range: 'bytes=0-99,100-199', accept: 'multipart/byteranges, */*' },
  'last bytes': { range: 'bytes=-200', 'if-range': '"REV"' },
  'as bytes': { accept: 'application/octet-stream' },
  'as text': { accept: 'text/plain' },
  'as a page': { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.1' },
  'as events': { accept: 'text/event-stream' },
  'as anything': { accept: '*/*' },
  compressed: { 'accept-encoding': 'gzip, br', te: 'trailers, gzip' },
  known: { 'if-none-match': '"REV"' },
  'known weakly': { 'if-none-match': 'W/"REV"' },
  'not there': { 'if-none-match': '*' },
  unchanged: { 'if-match': '"REV"' },
  'there at all': { 'if-match': '*' },
  since: { 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
  overridden: { 'x-http-method-override': 'GET', 'x-original-url': '/v1/secrets' },
  'with an echo': { prefer: 'return=representation', 'want-digest': 'sha-256', depth: 'infinity' },
  'kept twice': { 'idempotency-key': 'key-of-the-sweep' },
  'with a debugger': { 'x-debug': '1', cookie: 'debug=1', origin: 'https://localhost' },
};
/** What a read might take that we know nothing of. */
const queries = [
  'value=true',
  'reveal=1',
  'fields=value',
  'format=raw',
  'version=1',
  'dryRun=server',
];
const guesses = [
  ...['value', 'raw', 'data', 'versions/1', 'versions/1/value'].map((end) => `/${end}`),
  ...['get', 'read', 'value', 'reveal', 'export', 'download', 'copy'].map((verb) => `:${verb}`),
];
const guessedPlaces = ['/v1/values', '/v1/export', '/v1/search', '/v1/backup', '/debug/pprof', '/'];
const mainMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];
/** Node loses its place in more than 64 KiB that arrive at once. */
const pipelined = 60;
/** CONNECT asks for a tunnel, and has no path. */
const otherMethods = METHODS.filter((method) => ![...mainMethods, 'CONNECT'].includes(method));

/**
 * @param templates - Paths as the API publishes them.
 * @returns What goes over one connection, one after the other.
 */
export function sweepUnits(
  templates: readonly string[],
  contents: SweepContents,
): (readonly SweptRequest[])[] {
  const secretPath = pathOf('secret.get', contents);
  const places = [...templates, ...guessedPlaces, ...guesses.map((end) => secretPath + end)];
  const { each, from } = contents.some ?? { each: 1, from: 0 };
  const all = places
    .flatMap((template) => requestsOf(template, contents))
    .filter(({ name }, index) => name.endsWith(' plain') || index % each === from % each);
  const streams = all.filter(isStream);
  const others = all.filter((request) => !isStream(request));
  const units: (readonly SweptRequest[])[] = streams.map((request) => [request]);
  while (others.length > 0) units.push(others.splice(0, pipelined));
  return units;
}

export function isStream({ operation }: SweptRequest): boolean {
  return operation !== undefined && operationNamed(operation).reply === 'events';
}

function requestsOf(template: string, contents: SweepContents): SweptRequest[] {
  const here = operationNames.filter((name) => operationNamed(name).path === template);
  const [first] = here;
  const path = first === undefined ? template : pathOf(first, contents);
  const main = mainMethods.flatMap((method) => {
    const operation = here.find((name) => operationNamed(name).method === method);
    const bare = { method, path, operation };
    return variantsOf(operation ? operationRequest(operation, contents) : bare, contents);
  });
  const bare = { path, operation: undefined };
  return [...main, ...otherMethods.map((method) => named({ ...bare, method }, 'plain'))];
}

interface Base {
  readonly operation: OperationName | undefined;
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

function named(base: Base, variant: string, headers: SweptRequest['headers'] = {}): SweptRequest {
  const { operation, method, path, body = '' } = base;
  const name = `${method} ${path} ${variant}`;
  return { name, operation, method, path, headers: { ...base.headers, ...headers }, body };
}

function variantsOf(base: Base, contents: SweepContents): SweptRequest[] {
  const revision = String(contents.revision(base.operation));
  const asked = Object.entries(variants).map(([variant, headers]) => {
    const said = Object.entries(headers).map(([key, text]) => [key, text.replace('REV', revision)]);
    return named(base, variant, Object.fromEntries(said) as SweptRequest['headers']);
  });
  const mark = base.path.includes('?') ? '&' : '?';
  const queried = queries.map((query) =>
    named({ ...base, path: `${base.path}${mark}${query}` }, 'plain'),
  );
  const text = { 'content-type': 'application/octet-stream' };
  const bodied = named({ ...base, body: base.body ?? contents.body }, 'with a body', text);
  return [...asked, ...queried, bodied];
}

function operationRequest(operation: OperationName, contents: SweepContents): Base {
  const { input, value, ifRevision } = contents.examples[operation];
  using lent = value === undefined ? undefined : SecretValue.copy(Buffer.from(value));
  const request = requestOf(operation, input, {
    ...(lent === undefined ? {} : { value: lent }),
    ...(ifRevision === undefined ? {} : { ifRevision: contents.revision(operation) }),
  });
  const { 'content-length': _, ...headers } = request.headers;
  const { method, path, body } = request;
  const sent = body === 'value' ? defined(value, 'a value that is put') : body?.toString();
  return { operation, method, path, headers: headers as SweptRequest['headers'], body: sent ?? '' };
}

function pathOf(operation: OperationName, contents: SweepContents): string {
  const { path } = operationRequest(operation, contents);
  return path.replace(/\?.*/, '');
}

/**
 * @param linesOf - Further headers of each request.
 * @returns All that came back; of a stream, up to its first event, heartbeat or the end.
 */
export async function sendUnit(
  target: RawTarget,
  unit: readonly SweptRequest[],
  linesOf: (request: SweptRequest) => readonly string[],
): Promise<string> {
  const socket = await rawConnect(target);
  const last = unit.at(-1);
  const texts = unit.map((request) => {
    const { method, path, body } = request;
    const length = body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const close = request === last ? { connection: 'close' } : {};
    const headers = { host: 'localhost', ...request.headers, ...length, ...close };
    const lines = Object.entries(headers).map(([key, value]) => `${key}: ${value}`);
    const head = [`${method} ${path} HTTP/1.1`, ...lines, ...linesOf(request)];
    return `${head.join('\r\n')}\r\n\r\n${body}`;
  });
  socket.write(texts.join(''));
  const chunks: string[] = [];
  try {
    for await (const chunk of socket) {
      chunks.push((chunk as Buffer).toString('latin1'));
      if (last !== undefined && isStream(last) && isStarted(chunks.join(''))) break;
    }
  } catch {
    // Cut instead of ended: what came is what is looked at.
  }
  socket.destroy();
  return chunks.join('');
}

function isStarted(seen: string): boolean {
  return seen.includes('\r\ncontent-type: text/event-stream') && /\n(data: .*|:)\n\n/.test(seen);
}
