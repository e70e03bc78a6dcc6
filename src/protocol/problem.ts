/**
 * Problems: faults as they travel over HTTP (RFC 9457, `application/problem+json`), there and back.
 *
 * Promises
 *   - A problem is built from a fault's code, facts and errors alone. A bug becomes `gateway.bug`
 *     with nothing else in it; no cause, no stack and no text of a foreign error ever travels.
 *   - Back again it is a Fault with the same code, facts and errors. A code that this program does
 *     not know becomes the known fault of the same status nearest in meaning, and stays readable.
 */
import { Fault, type FaultDetail, type FaultError, isFault, sentenceOf } from '../base/fault.ts';
import { type FaultCode, type FaultSpec, faults } from '../base/fault-table.ts';
import * as schema from '../base/schema.ts';

export const problemMediaType = 'application/problem+json';
const typePrefix = 'https://cofferdam.dev/faults#';
const retryAfterSecondsDefault = 2;

export interface Problem {
  /** Stable: the place of the code in docs/FAULTS.md as published. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** The request id. */
  readonly instance: string;
  readonly code: string;
  readonly hint: string;
  /** The facts of `detail`, for programs. */
  readonly facts?: FaultDetail;
  readonly errors?: readonly FaultError[];
  /** On 403: what a role would have to allow. */
  readonly required?: { readonly verb: string; readonly resource: string };
  readonly retryAfterSeconds?: number;
}

/** The problem as JSON Schema, for the OpenAPI document. */
export const problemJsonSchema: schema.JsonSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'hint'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string', description: 'What went wrong, the same for each code.' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string', description: 'What went wrong this time.' },
    instance: { type: 'string', description: 'The request id.' },
    code: { type: 'string', pattern: '^[a-z-]+\\.[a-z-]+$' },
    hint: { type: 'string', description: 'What to do next.' },
    facts: { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['pointer', 'detail'],
        properties: { pointer: { type: 'string' }, detail: { type: 'string' } },
        additionalProperties: false,
      },
    },
    required: {
      type: 'object',
      required: ['verb', 'resource'],
      properties: { verb: { type: 'string' }, resource: { type: 'string' } },
      additionalProperties: false,
    },
    retryAfterSeconds: { type: 'integer', minimum: 0 },
  },
  additionalProperties: false,
};

/** Whatever was thrown, as it may be shown to anyone. */
export function problemOf(error: unknown, requestId: string): Problem {
  const fault = isFault(error) ? error : new Fault('gateway.bug');
  const { code, detail: facts, errors } = fault;
  const spec: FaultSpec = fault.spec;
  const { action, resource } = facts;
  const names = typeof action === 'string' && typeof resource === 'string';
  return {
    type: `${typePrefix}${code}`,
    title: spec.title,
    status: spec.status,
    detail: detailOf(fault),
    instance: requestId,
    code,
    hint: spec.hint,
    ...(Object.keys(facts).length > 0 ? { facts } : {}),
    ...(errors.length > 0 ? { errors } : {}),
    ...(spec.status === 403 && names ? { required: { verb: action, resource } } : {}),
    ...(spec.retry === 'later' ? { retryAfterSeconds: retryAfter(facts) } : {}),
  };
}

/** For people: with the first of what is wrong, which `errors` has in whole. */
function detailOf(fault: Fault): string {
  const [first, ...more] = fault.errors;
  if (first === undefined) return sentenceOf(fault);
  const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
  return `${fault.spec.title}: ${first.pointer || '/'} ${first.detail}${others}`;
}

function retryAfter(facts: FaultDetail): number {
  const given = facts['retryAfterSeconds'];
  return typeof given === 'number' ? Math.max(1, Math.ceil(given)) : retryAfterSecondsDefault;
}

/**
 * The fault that a problem says. Its facts include `requestId`.
 *
 * @returns undefined if `body` is no problem.
 */
export function faultOf(body: unknown): Fault | undefined {
  if (!schema.isPlainObject(body)) return undefined;
  const { code, status, detail, instance } = body;
  if (typeof code !== 'string' || typeof status !== 'number') return undefined;
  const requestId = typeof instance === 'string' ? { requestId: shorten(instance, 128) } : {};
  const after = body['retryAfterSeconds'];
  const retryAfterSeconds = typeof after === 'number' ? { retryAfterSeconds: after } : {};
  const options = { errors: errorsOf(body['errors']) };
  if (isFaultCode(code)) {
    const facts = { ...factsOf(body['facts']), ...retryAfterSeconds, ...requestId };
    return new Fault(code, facts, options);
  }
  const facts = {
    code: shorten(code, 64),
    status,
    ...(typeof detail === 'string' ? { detail: shorten(detail, 512) } : {}),
    ...retryAfterSeconds,
    ...requestId,
  };
  return new Fault(nearest[status] ?? 'remote.unknown', facts, options);
}

/** For a code that this program does not know: the fault that exits and retries as its status says. */
const nearest: Readonly<Record<number, FaultCode>> = {
  400: 'request.invalid',
  401: 'auth.required',
  403: 'policy.denied',
  404: 'resource.unknown',
  409: 'request.conflict',
  412: 'request.stale',
  429: 'rate.exceeded',
  503: 'gateway.stopping',
};

function isFaultCode(code: string): code is FaultCode {
  return Object.hasOwn(faults, code);
}

function factsOf(value: unknown): FaultDetail {
  if (!schema.isPlainObject(value)) return {};
  const flat = Object.entries(value).filter(
    (entry): entry is [string, string | number | boolean] =>
      entry[0] !== '__proto__' && ['string', 'number', 'boolean'].includes(typeof entry[1]),
  );
  return Object.fromEntries(flat.slice(0, 32));
}

function errorsOf(value: unknown): readonly FaultError[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, 1000).flatMap((item: unknown) => {
    if (!schema.isPlainObject(item)) return [];
    const { pointer, detail } = item;
    return typeof pointer === 'string' && typeof detail === 'string' ? [{ pointer, detail }] : [];
  });
}

function shorten(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
}
