/**
 * The line of one request: limits, path, headers, who, body, `handle`, answer.
 *
 * Promises
 *   - Never rejects and never throws: what goes wrong becomes a problem document, and a bug a log
 *     line with its class and place.
 *   - A value that was read is wiped when the answer is decided, whatever that is.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { assert } from '../../base/assert.ts';
import { Fault, type FaultError, isFault } from '../../base/fault.ts';
import { errorFields } from '../../base/log.ts';
import { anonymousFrom, type Principal } from '../../model/principal.ts';
import { SecretValue } from '../../model/secret-value.ts';
import { eventCursor, isEventOperation } from '../../protocol/event-cursor.ts';
import type { OperationReply } from '../../protocol/request.ts';
import type { OperationName } from '../../protocol/operations.ts';
import { hasBody, readBody } from './body.ts';
import { sendEvents } from './event-stream.ts';
import { sendFile } from './file-stream.ts';
import type { HttpLimits, HttpOptions } from './http-options.ts';
import type { HttpMetrics } from './http-metrics.ts';
import { answerProbe } from './probes.ts';
import { sendJson, sendProblem, setCommonHeaders } from './reply.ts';
import * as headers from './request-headers.ts';
import {
  assertBodyFits,
  bodyBytesMax,
  isDryRun,
  readJsonInput,
  readTargetInput,
} from './request-input.ts';
import { type Match, matchRoute, parseTarget, type Target } from './router.ts';
import type { SourceLimits } from './source-limits.ts';

export interface ServeContext {
  readonly options: HttpOptions;
  readonly limits: HttpLimits;
  /** By peer address, before anything is parsed. */
  readonly sources: SourceLimits;
  readonly observed: HttpMetrics;
  /** Event streams that are open: ended when the gateway stops. */
  readonly streams: Set<ServerResponse>;
  readonly isStopping: () => boolean;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly source: string;
}

export async function serve(
  context: ServeContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { options, observed } = context;
  const startedAtMs = options.clock.monotonicMs();
  // A peer that goes away in the middle of an answer is no news.
  request.on('error', () => undefined);
  response.on('error', () => undefined);
  const requestId = headers.requestIdOf(request.headers, options.random);
  const source = request.socket.remoteAddress ?? 'unknown';
  const exchange = { request, response, requestId, source };
  let name: OperationName | undefined;
  try {
    setCommonHeaders(response, requestId);
    if (context.isStopping()) response.setHeader('connection', 'close');
    assertAdmitted(context, exchange);
    // As it came: the only text of it that is ever parsed.
    const target = parseTarget(request.url ?? '');
    if (await answerProbe(context, exchange, target)) return;
    const match = matchRoute(request.method ?? '', target.path);
    if (!match) throw new Fault('resource.unknown', { what: 'path' });
    name = match.name;
    await answerOperation(context, exchange, match, target);
  } catch (error) {
    const problem = sendProblem(request, response, { error, requestId });
    report(context, exchange, name, error);
    if (problem.status === 429) observed.refused('rate');
  } finally {
    const seconds = (options.clock.monotonicMs() - startedAtMs) / 1000;
    observed.answered(response.statusCode, seconds);
  }
}

function assertAdmitted(context: ServeContext, { request, source }: Exchange): void {
  context.sources.admitRequest(source);
  if (context.isStopping()) throw new Fault('gateway.stopping');
  const malformed = (what: string, problem: string): Fault =>
    new Fault('request.malformed', { what, problem });
  if (request.httpVersion !== '1.1') throw malformed('protocol', 'must be HTTP/1.1');
  if (request.headers.host === undefined) throw malformed('host', 'is required');
  const { expect } = request.headers;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    throw malformed('expect', 'must be 100-continue');
  }
  headers.assertSingle(request);
}

async function answerOperation(
  context: ServeContext,
  exchange: Exchange,
  match: Match,
  target: Target,
): Promise<void> {
  const { request, response } = exchange;
  const { operation } = match;
  headers.assertAccepted(request.headers, operation.reply);
  assertBodyFits(request, match);
  const dryRun = isDryRun(match, target.query);
  const ifRevision = headers.ifRevisionOf(request.headers, operation);
  const known = headers.knownRevisionOf(request.headers, operation);
  const idempotencyKey = headers.idempotencyKeyOf(request.headers);
  const input = readTargetInput(match, target.query);
  resumeAfter(match, request, input);
  const principal = await authenticate(context, exchange, match);
  if (request.headers.expect !== undefined && hasBody(request)) response.writeContinue();
  if (operation.body === 'json') await readJsonInput(request, match, input);
  using value = operation.body === 'value' ? await readValue(request, match) : undefined;
  const reply = await context.options.handle({
    operation: match.name,
    principal,
    input,
    requestId: exchange.requestId,
    ...(value ? { value } : {}),
    ...(ifRevision === undefined ? {} : { ifRevision }),
    ...(dryRun ? { dryRun } : {}),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  });
  await answer(context, exchange, match, { reply, known });
}

async function authenticate(
  context: ServeContext,
  { request, source }: Exchange,
  { operation }: Match,
): Promise<Principal> {
  if (typeof operation.access === 'object') {
    context.sources.admitStranger(source);
    return anonymousFrom(source);
  }
  return await context.options.authenticate(headers.bearerOf(request.headers), source);
}

async function readValue(request: IncomingMessage, match: Match): Promise<SecretValue> {
  return SecretValue.own(await readBody(request, bodyBytesMax(match)));
}

/** `Last-Event-ID`, which a browser sends by itself when it reconnects, goes before the query. */
function resumeAfter(match: Match, request: IncomingMessage, input: Record<string, unknown>): void {
  const last = request.headers['last-event-id'];
  if (last === undefined || !isEventOperation(match.name)) return;
  if (typeof last !== 'string' || !/^(0|[1-9][0-9]{0,15})$/.test(last)) {
    throw new Fault('request.malformed', { what: 'last-event-id', problem: 'must be a number' });
  }
  input[eventCursor.after] = Number(last);
}

async function answer(
  context: ServeContext,
  exchange: Exchange,
  match: Match,
  result: { readonly reply: OperationReply<OperationName>; readonly known: number | undefined },
): Promise<void> {
  const { response } = exchange;
  const { output, revision, replayed }: OperationReply<OperationName> = result.reply;
  if (match.operation.reply === 'events') {
    await answerEvents(context, exchange, match, asIterable(output));
    return;
  }
  if (match.operation.reply === 'file') {
    const stamp = new Date(context.options.clock.wallMs())
      .toISOString()
      .replaceAll(/[-:]|\.\d+/g, '');
    const fileName = `coffer-${match.name.replace('.', '-')}-${stamp}`;
    const { clock } = context.options;
    const pieces = asIterable(output) as AsyncIterable<Uint8Array>;
    await sendFile(response, pieces, { clock, limits: context.limits, fileName });
    return;
  }
  const checked = checkOutput(context, match, output);
  if (revision !== undefined) response.setHeader('etag', `"${revision}"`);
  if (replayed === true) response.setHeader('idempotent-replayed', 'true');
  if (revision !== undefined && revision === result.known) response.writeHead(304).end();
  else sendJson(response, 200, checked);
}

async function answerEvents(
  context: ServeContext,
  exchange: Exchange,
  match: Match,
  events: AsyncIterable<unknown>,
): Promise<void> {
  const { response, requestId } = exchange;
  const { streams, limits, options } = context;
  assert(isEventOperation(match.name), 'an operation that answers events has a cursor');
  if (streams.size >= limits.eventStreamsMax) {
    await events[Symbol.asyncIterator]().return?.();
    throw new Fault('rate.exceeded', { what: 'event streams', retryAfterSeconds: 30 });
  }
  streams.add(response);
  context.observed.streams(streams.size);
  const failure = await sendEvents(response, events, {
    clock: options.clock,
    heartbeatMs: limits.heartbeatMs,
    requestId,
    idMember: eventCursor.id,
    check: (event) => checkOutput(context, match, event),
  });
  streams.delete(response);
  context.observed.streams(streams.size);
  if (failure !== undefined) report(context, exchange, match.name, failure);
}

/** The last look before anything leaves: exactly what the table declares, or nothing. */
function checkOutput(context: ServeContext, match: Match, output: unknown): unknown {
  const errors: FaultError[] = [];
  const checked = match.operation.output.read(output, '', errors);
  if (errors.length > 0) {
    const at = errors[0]?.pointer;
    context.options.log.error('http.output-refused', { operation: match.name, at });
  }
  assert(errors.length === 0, 'an output has exactly the members that the table declares');
  return checked;
}

function asIterable(output: unknown): AsyncIterable<unknown> {
  const iterable = output as Partial<AsyncIterable<unknown>> | undefined;
  assert(
    typeof iterable?.[Symbol.asyncIterator] === 'function',
    'the output of a streaming operation is an AsyncIterable',
  );
  return iterable as AsyncIterable<unknown>;
}

function report(
  context: ServeContext,
  { requestId, source }: Exchange,
  operation: OperationName | undefined,
  error: unknown,
): void {
  const { log } = context.options;
  const fields = { requestId, source, operation };
  if (!isFault(error)) log.error('http.bug', { ...fields, ...errorFields(error) });
  else if (error.spec.status >= 500) log.warn('http.failed', { ...fields, code: error.code });
  else log.debug('http.refused', { ...fields, code: error.code });
}
