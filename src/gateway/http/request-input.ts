/**
 * Puts an operation's input together from path, query and body.
 *
 * Promises: each member comes from one place; a key that the operation does not have, or that comes
 * from two places with two meanings, is refused. Text in queries becomes numbers and booleans only
 * where the schema says so, and only in one spelling. The schema itself is checked by `handle`.
 */
import type { IncomingMessage } from 'node:http';
import { Fault } from '../../base/fault.ts';
import { parseJson } from '../../base/json.ts';
import { limits } from '../../base/limits.ts';
import * as schema from '../../base/schema.ts';
import type { OperationName } from '../../protocol/operations.ts';
import { hasBody, readBody } from './body.ts';
import { assertBodyType, assertNoEncoding } from './request-headers.ts';
import { type Match, memberSchemas } from './router.ts';

/** Whole policies in one document; everything else fits the ordinary bounds. */
const documentOperations: ReadonlySet<OperationName> = new Set(['policy.diff', 'policy.apply']);

export function bodyBytesMax(match: Match): number {
  if (match.operation.body === 'none') return 0;
  if (match.operation.body === 'value') return limits.secretValueBytesMax;
  return documentOperations.has(match.name) ? limits.applyBodyBytesMax : limits.httpBodyBytesMax;
}

/** @throws Fault `request.unsupported-media`, `request.malformed`, `limit.exceeded`: all before reading. */
export function assertBodyFits(request: IncomingMessage, match: Match): void {
  assertNoEncoding(request.headers);
  const { body } = match.operation;
  if (body === 'none') {
    if (hasBody(request))
      throw new Fault('request.malformed', { what: 'body', problem: 'is not taken here' });
    return;
  }
  if (body === 'value' || hasBody(request)) assertBodyType(request.headers, body);
  const max = bodyBytesMax(match);
  if (Number(request.headers['content-length'] ?? 0) > max) {
    throw new Fault('limit.exceeded', { what: 'body', unit: 'bytes', max });
  }
}

/** Whether `?dryRun=server` was asked for. @throws Fault `request.invalid` for anything else it may say. */
export function isDryRun(match: Match, query: ReadonlyMap<string, string>): boolean {
  const given = query.get('dryRun');
  if (given === undefined) return false;
  if (given !== 'server') throw invalid('/dryRun', 'must be server');
  if (match.operation.effect !== 'change') throw invalid('/dryRun', 'only changes have a dry run');
  return true;
}

/** The input as far as path and query say it. */
export function readTargetInput(
  match: Match,
  query: ReadonlyMap<string, string>,
): Record<string, unknown> {
  const members = memberSchemas(match.operation);
  const input: Record<string, unknown> = {};
  for (const [key, text] of query) {
    if (key === 'dryRun') continue;
    const member = Object.hasOwn(members, key) ? members[key] : undefined;
    if (!member || match.operation.body === 'json')
      throw invalid(`/${key}`, 'is not a known query key');
    if (key === match.member) throw invalid(`/${key}`, 'is already in the path');
    input[key] = coerce(text, member, `/${key}`);
  }
  if (match.member !== undefined) input[match.member] = match.given;
  return input;
}

function coerce(text: string, member: schema.Schema<unknown>, pointer: string): unknown {
  switch (member.json['type']) {
    case 'integer':
      if (!/^(0|-?[1-9][0-9]{0,15})$/.test(text)) throw invalid(pointer, 'must be a whole number');
      return Number(text);
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw invalid(pointer, 'must be true or false');
      return text === 'true';
    default:
      return text;
  }
}

/** Adds what a JSON body says. No body is an empty object. */
export async function readJsonInput(
  request: IncomingMessage,
  match: Match,
  input: Record<string, unknown>,
): Promise<void> {
  if (!hasBody(request)) return;
  const bytesMax = bodyBytesMax(match);
  const bytes = await readBody(request, bytesMax);
  const nodesMax =
    bytesMax === limits.applyBodyBytesMax ? limits.applyJsonNodesMax : limits.jsonKeysMax;
  try {
    const body = parseJson(bytes, 'body', { bytesMax, nodesMax, depthMax: limits.jsonDepthMax });
    if (!schema.isPlainObject(body)) throw invalid('', 'must be an object');
    for (const [key, value] of Object.entries(body)) {
      if (key === match.member) {
        if (value !== match.given) throw invalid(`/${key}`, 'says something else than the path');
      } else if (key === '__proto__') throw invalid(`/${key}`, 'is not a known field');
      else input[key] = value;
    }
  } finally {
    // A body may hold a join token.
    bytes.fill(0);
  }
}

function invalid(pointer: string, detail: string): Fault {
  const errors = [{ pointer, detail }];
  return new Fault(
    'request.invalid',
    { what: 'input', at: pointer || '/', problem: detail },
    { errors },
  );
}
