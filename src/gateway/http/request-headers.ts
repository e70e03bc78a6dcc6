/**
 * What request headers say. Each is read by one function that either understands it wholly or refuses;
 * a header that occurs twice where once is meant was already refused (`assertSingle`).
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import type { Operation } from '../../protocol/operation.ts';

const requestIdPattern = /^[A-Za-z0-9._-]{8,128}$/;
const idempotencyKeyPattern = /^"?([A-Za-z0-9._:-]{8,128})"?$/;
const etagPattern = /^"(0|[1-9][0-9]{0,15})"$/;
const bearerPattern = /^Bearer ([A-Za-z0-9._~+/=-]{1,4096})$/i;

/** Those of which two would let two readers choose differently. Node joins or drops doubles in silence. */
const single = [
  'authorization',
  'content-type',
  'content-length',
  'content-encoding',
  'host',
  'if-match',
  'if-none-match',
  'idempotency-key',
  'last-event-id',
  'transfer-encoding',
  'x-request-id',
];

/** @throws Fault `request.malformed` */
export function assertSingle(request: IncomingMessage): void {
  for (const name of single) {
    if ((request.headersDistinct[name]?.length ?? 0) > 1) throw malformed(name, 'occurs twice');
  }
}

/** The caller's own id if it is well-formed, else a new one. */
export function requestIdOf(headers: IncomingHttpHeaders, random: Random): string {
  const given = headers['x-request-id'];
  if (typeof given === 'string' && requestIdPattern.test(given)) return given;
  return `req_${random.bytes(12).toString('hex')}`;
}

/** @throws Fault `auth.required` if there is an authorization of another kind. */
export function bearerOf(headers: IncomingHttpHeaders): string | undefined {
  const given = headers.authorization;
  if (given === undefined) return undefined;
  const token = bearerPattern.exec(given)?.[1];
  if (token === undefined) throw new Fault('auth.required', { problem: 'is no bearer token' });
  return token;
}

/** @throws Fault `request.malformed` */
export function idempotencyKeyOf(headers: IncomingHttpHeaders): string | undefined {
  const given = headers['idempotency-key'];
  if (given === undefined) return undefined;
  const key = typeof given === 'string' ? idempotencyKeyPattern.exec(given)?.[1] : undefined;
  if (key === undefined)
    throw malformed('idempotency-key', 'needs 8 to 128 of A-Z a-z 0-9 . _ : -');
  return key;
}

/**
 * The revision that a change states: If-Match with an ETag, or 0 for If-None-Match: *.
 *
 * @throws Fault `request.malformed`, or `request.precondition-required` where the operation needs one.
 */
export function ifRevisionOf(
  headers: IncomingHttpHeaders,
  operation: Operation<unknown, unknown>,
): number | undefined {
  const match = headers['if-match'];
  const noneMatch = operation.effect === 'change' ? headers['if-none-match'] : undefined;
  if (match !== undefined && noneMatch !== undefined)
    throw malformed('if-match', 'excludes if-none-match');
  if (noneMatch !== undefined && noneMatch !== '*') throw malformed('if-none-match', 'must be *');
  if (noneMatch === '*') return 0;
  if (match !== undefined) return revisionOf('if-match', match);
  if (operation.preconditioned === true) throw new Fault('request.precondition-required');
  return undefined;
}

/** The revision that a reader has already: If-None-Match on a read. */
export function knownRevisionOf(
  headers: IncomingHttpHeaders,
  operation: Operation<unknown, unknown>,
): number | undefined {
  const given = headers['if-none-match'];
  if (given === undefined || operation.effect !== 'read') return undefined;
  return revisionOf('if-none-match', given);
}

function revisionOf(header: string, text: string): number {
  const digits = etagPattern.exec(text)?.[1];
  if (digits === undefined) throw malformed(header, 'must be one ETag as it was given out');
  return Number(digits);
}

const replyTypes = {
  json: 'application/json',
  events: 'text/event-stream',
  file: 'application/octet-stream',
} as const;

/** @throws Fault `request.not-acceptable` */
export function assertAccepted(headers: IncomingHttpHeaders, reply: keyof typeof replyTypes): void {
  const accept = headers.accept;
  if (accept === undefined || accept === '') return;
  const wanted = replyTypes[reply];
  const fitting = ['*/*', `${wanted.split('/')[0]}/*`, wanted];
  const accepted = accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return fitting.includes(type) && !parameters.some((part) => /^q=0(\.0*)?$/.test(part));
  });
  if (!accepted) throw new Fault('request.not-acceptable', { type: wanted });
}

const bodyTypes = {
  json: ['application/json'],
  value: ['application/octet-stream', 'text/plain'],
} as const;

/** @throws Fault `request.unsupported-media` */
export function assertBodyType(headers: IncomingHttpHeaders, body: keyof typeof bodyTypes): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').toLowerCase().split(';');
  const known = bodyTypes[body].some((wanted) => wanted === type.trim());
  const plain = parameters.every((part) => /^\s*(charset="?utf-8"?)?\s*$/.test(part));
  if (!known || !plain)
    throw new Fault('request.unsupported-media', { wants: bodyTypes[body].join(' or ') });
}

/** No encoding but identity, so that there is no bomb to unpack. @throws Fault `request.unsupported-media` */
export function assertNoEncoding(headers: IncomingHttpHeaders): void {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new Fault('request.unsupported-media', { problem: 'content encodings are not allowed' });
  }
}

function malformed(what: string, problem: string): Fault {
  return new Fault('request.malformed', { what, problem });
}
