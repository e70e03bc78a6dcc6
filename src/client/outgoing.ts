/** How an operation's input becomes a request: path, query, headers, body, all read off the table. */
import { assert } from '../base/assert.ts';
import { isPlainObject } from '../base/schema.ts';
import type { SecretValue } from '../model/secret-value.ts';
import type { HttpMethod } from '../protocol/operation.ts';
import { type OperationName, operationNamed } from '../protocol/operations.ts';

export interface Outgoing {
  readonly method: HttpMethod;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | number>>;
  /** `value`: the body is the value that was lent, and is not in here. */
  readonly body: Buffer | 'value' | undefined;
}

export interface OutgoingOptions {
  readonly value?: SecretValue;
  readonly ifRevision?: number;
  readonly idempotencyKey?: string;
  readonly dryRun?: boolean;
  readonly requestId?: string;
  readonly token?: string;
}

const accepts = {
  json: 'application/json, application/problem+json',
  events: 'text/event-stream, application/problem+json',
  file: 'application/octet-stream, application/problem+json',
} as const;

export function requestOf(name: OperationName, input: unknown, options: OutgoingOptions): Outgoing {
  const operation = operationNamed(name);
  assert(isPlainObject(input), 'the input of an operation is an object');
  const members = new Map(Object.entries(input).filter(([, value]) => value !== undefined));
  const path = operation.path.replace(/\{([A-Za-z]+)\}/, (_braces, member: string) => {
    const value = members.get(member);
    members.delete(member);
    // Names have no character that would need an escape; the gateway refuses every other.
    return encodeURI(String(value)).replaceAll(/[?#]/g, encodeURIComponent);
  });
  const query = operation.body === 'json' ? [] : [...members].map(queryPair);
  if (options.dryRun === true) query.push('dryRun=server');
  const body = bodyOf(operation.body, members);
  return {
    method: operation.method,
    path: query.length === 0 ? path : `${path}?${query.join('&')}`,
    body,
    headers: {
      accept: accepts[operation.reply],
      ...bodyHeaders(body, options.value),
      ...(typeof operation.access === 'string' && options.token !== undefined
        ? { authorization: `Bearer ${options.token}` }
        : {}),
      ...preconditionHeader(options.ifRevision),
      ...(options.idempotencyKey === undefined
        ? {}
        : { 'idempotency-key': options.idempotencyKey }),
      ...(options.requestId === undefined ? {} : { 'x-request-id': options.requestId }),
    },
  };
}

function queryPair([key, value]: [string, unknown]): string {
  assert(['string', 'number', 'boolean'].includes(typeof value), 'queries hold plain values');
  return `${key}=${encodeURIComponent(String(value))}`;
}

function bodyOf(
  kind: 'none' | 'json' | 'value',
  members: ReadonlyMap<string, unknown>,
): Outgoing['body'] {
  if (kind === 'none') return undefined;
  if (kind === 'value') return 'value';
  return Buffer.from(JSON.stringify(Object.fromEntries(members)), 'utf8');
}

function bodyHeaders(
  body: Outgoing['body'],
  value: SecretValue | undefined,
): Record<string, string | number> {
  if (body === undefined) return {};
  if (body === 'value') {
    return { 'content-type': 'application/octet-stream', 'content-length': value?.length ?? 0 };
  }
  return { 'content-type': 'application/json', 'content-length': body.length };
}

function preconditionHeader(ifRevision: number | undefined): Record<string, string> {
  if (ifRevision === undefined) return {};
  return ifRevision === 0 ? { 'if-none-match': '*' } : { 'if-match': `"${ifRevision}"` };
}
