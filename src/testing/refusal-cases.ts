/**
 * One raw request for each way in which the HTTP listener refuses, and what it must answer. A canary
 * stands wherever a request can hold something that must not come back.
 */
import { goodToken } from './http-gateway.ts';
import { rawRequest } from './raw-http.ts';

export const canary = 'Zq7canaryX3';
export const bearer = `authorization: Bearer ${goodToken}`;
export const json = 'content-type: application/json';
export const bytes = 'content-type: application/octet-stream';

export interface RefusalCase {
  readonly what: string;
  readonly text: string;
  readonly status: number;
  readonly code: string;
}

const put = 'POST /v1/secrets/a:put';
const many = (count: number): string => `[${'0,'.repeat(count)}0]`;
export const refusalCases: readonly RefusalCase[] = [
  {
    what: 'an escaped path',
    text: rawRequest(`GET /v1/secrets/a%2f${canary}`),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'a trailing slash',
    text: rawRequest('GET /v1/secrets/'),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'an absolute target',
    text: rawRequest('GET https://localhost/v1/status'),
    status: 400,
    code: 'request.malformed',
  },
  { what: 'an asterisk', text: rawRequest('OPTIONS *'), status: 400, code: 'request.malformed' },
  {
    what: 'a doubled key',
    text: rawRequest('GET /v1/nodes?limit=1&limit=2'),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'an unknown key',
    text: rawRequest('GET /v1/nodes?nothing=1', [bearer]),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: 'a key of the path',
    text: rawRequest('GET /v1/groups/a?name=b', [bearer]),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: 'a number spelt oddly',
    text: rawRequest('GET /v1/nodes?limit=01', [bearer]),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: 'a dry run of a read',
    text: rawRequest('GET /v1/nodes?dryRun=server', [bearer]),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: 'malformed JSON',
    text: rawRequest('POST /v1/policy:diff', [bearer, json], `{"${canary}`),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'a doubled member',
    text: rawRequest('POST /v1/policy:diff', [bearer, json], '{"a":1,"a":2}'),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'JSON that is no object',
    text: rawRequest('POST /v1/policy:diff', [bearer, json], '[]'),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: 'a field of the wrong type',
    text: rawRequest('POST /v1/policy:diff', [bearer, json], `{"documents":"${canary}"}`),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: '__proto__',
    text: rawRequest(
      'POST /v1/policy:diff',
      [bearer, json],
      '{"documents":[],"__proto__":{"a":1}}',
    ),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: 'a body that contradicts the path',
    text: rawRequest('POST /v1/nodes/a:token', [bearer, json], '{"name":"b"}'),
    status: 400,
    code: 'request.invalid',
  },
  {
    what: 'a body where none is taken',
    text: rawRequest('GET /v1/status', [bearer, json], '{}'),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'a wrong idempotency key',
    text: rawRequest('POST /v1/seal:seal', [bearer, `idempotency-key: ${canary} ${canary}`]),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'a wrong ETag',
    text: rawRequest('DELETE /v1/secrets/a', [bearer, 'if-match: W/"1"']),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'two authorizations',
    text: rawRequest('GET /v1/status', [bearer, `authorization: Bearer ${canary}`]),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'no host',
    text: 'GET /v1/status HTTP/1.1\r\n\r\n',
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'HTTP/1.0',
    text: 'GET /v1/status HTTP/1.0\r\nhost: a\r\n\r\n',
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'an expectation',
    text: rawRequest('GET /v1/status', ['expect: miracles']),
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'no HTTP at all',
    text: `${canary} ${canary}\r\n\r\n`,
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'two lengths',
    text: `POST /v1/seal:seal HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n`,
    status: 400,
    code: 'request.malformed',
  },
  {
    what: 'a length and chunks',
    text: `POST /v1/seal:seal HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    status: 400,
    code: 'request.malformed',
  },
  { what: 'no token', text: rawRequest('GET /v1/status'), status: 401, code: 'auth.required' },
  {
    what: 'a wrong token',
    text: rawRequest('GET /v1/status', [`authorization: Bearer ${canary}`]),
    status: 401,
    code: 'auth.required',
  },
  {
    what: 'another scheme',
    text: rawRequest('GET /v1/status', [`authorization: Basic ${canary}`]),
    status: 401,
    code: 'auth.required',
  },
  {
    what: 'metrics without a token',
    text: rawRequest('GET /metrics'),
    status: 401,
    code: 'auth.required',
  },
  {
    what: 'a denial',
    text: rawRequest('POST /v1/secrets/a:promote', [bearer]),
    status: 403,
    code: 'policy.denied',
  },
  {
    what: 'an unknown path',
    text: rawRequest(`GET /v1/${canary.toLowerCase()}`, [bearer]),
    status: 404,
    code: 'resource.unknown',
  },
  {
    what: 'an unknown object',
    text: rawRequest('GET /v1/secrets/a', [bearer]),
    status: 404,
    code: 'resource.unknown',
  },
  {
    what: 'a wrong method',
    text: rawRequest('PUT /v1/status', [bearer]),
    status: 405,
    code: 'request.method',
  },
  {
    what: 'a method of WebDAV',
    text: rawRequest('PROPFIND /v1/status', [bearer]),
    status: 405,
    code: 'request.method',
  },
  {
    what: 'a wrong method of a probe',
    text: rawRequest('DELETE /livez'),
    status: 405,
    code: 'request.method',
  },
  {
    what: 'nothing acceptable',
    text: rawRequest('GET /v1/status', [bearer, 'accept: text/html, application/json;q=0']),
    status: 406,
    code: 'request.not-acceptable',
  },
  {
    what: 'a conflict',
    text: rawRequest('POST /v1/secrets/a:revoke', [bearer]),
    status: 409,
    code: 'request.conflict',
  },
  {
    what: 'a stale revision',
    text: rawRequest('PATCH /v1/secrets/a', [bearer, json, 'if-match: "1"'], '{}'),
    status: 412,
    code: 'request.stale',
  },
  {
    what: 'a value too long',
    text: rawRequest(put, [bearer, bytes], canary.repeat(7000)),
    status: 413,
    code: 'limit.exceeded',
  },
  {
    what: 'a length too long',
    text: rawRequest(put, [bearer, bytes, 'content-length: 99999999999']),
    status: 413,
    code: 'limit.exceeded',
  },
  {
    what: 'too deep',
    text: rawRequest('POST /v1/policy:diff', [bearer, json], '['.repeat(9000)),
    status: 413,
    code: 'limit.exceeded',
  },
  {
    what: 'too wide',
    text: rawRequest('PUT /v1/groups/a', [bearer, json, 'if-match: "1"'], many(20_000)),
    status: 413,
    code: 'limit.exceeded',
  },
  {
    what: 'a long target',
    text: rawRequest(`GET /v1/${'a'.repeat(9000)}`),
    status: 414,
    code: 'request.target-too-long',
  },
  {
    what: 'no media type',
    text: rawRequest(put, [bearer], canary),
    status: 415,
    code: 'request.unsupported-media',
  },
  {
    what: 'a wrong media type',
    text: rawRequest(put, [bearer, json], canary),
    status: 415,
    code: 'request.unsupported-media',
  },
  {
    what: 'a charset',
    text: rawRequest(put, [bearer, 'content-type: text/plain; charset=utf-16'], canary),
    status: 415,
    code: 'request.unsupported-media',
  },
  {
    what: 'an encoding',
    text: rawRequest(put, [bearer, bytes, 'content-encoding: gzip'], canary),
    status: 415,
    code: 'request.unsupported-media',
  },
  {
    what: 'no precondition',
    text: rawRequest('DELETE /v1/secrets/a', [bearer]),
    status: 428,
    code: 'request.precondition-required',
  },
  {
    what: 'large headers',
    text: rawRequest('GET /v1/status', [`x-a: ${canary.repeat(2000)}`]),
    status: 431,
    code: 'request.header-too-large',
  },
  {
    what: 'a bug',
    text: rawRequest('POST /v1/seal:seal', [bearer]),
    status: 500,
    code: 'gateway.bug',
  },
  {
    what: 'an undeclared member in the output',
    text: rawRequest('POST /v1/system:accept-rollback', [bearer, json], '{"reason":"long enough"}'),
    status: 500,
    code: 'gateway.bug',
  },
];
