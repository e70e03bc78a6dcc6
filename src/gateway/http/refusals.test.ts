/**
 * Goal: every refusal is a problem document (A2), and nothing of a request or of a bug is in it or in
 * the log (V13).
 * Method: one raw request per class of error over TLS, with a canary in every place where a request
 * can hold one and in what `handle` throws; then search every answer and every log line for it, in every
 * form in which it may be written. Control: the search finds the canary in the request itself.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import { isPlainObject, parse } from '../../base/schema.ts';
import { operationNamed } from '../../protocol/operations.ts';
import { type Problem, problemJsonSchema } from '../../protocol/problem.ts';
import { formsFound } from '../../testing/canary-scan.ts';
import { type HttpGateway, startHttpGateway } from '../../testing/http-gateway.ts';
import { type RawAnswer, rawExchange, rawRequest } from '../../testing/raw-http.ts';
import { bearer, bytes, canary, json, refusalCases as cases } from '../../testing/refusal-cases.ts';

const put = 'POST /v1/secrets/a:put';
let gateway: HttpGateway;
const answers: RawAnswer[] = [];
const sent: string[] = [];

before(async () => {
  gateway = await startHttpGateway(
    async (request) => {
      parse(operationNamed(request.operation).input, request.input, 'input');
      if (request.operation === 'system.seal')
        throw new TypeError(`a bug with ${canary} in its text`);
      if (request.operation === 'secret.promote') {
        const cause = new Error(canary);
        throw new Fault(
          'policy.denied',
          { action: 'secret.promote', resource: 'secrets/a' },
          { cause },
        );
      }
      if (request.operation === 'secret.revoke') throw new Fault('request.conflict');
      if (request.operation === 'secret.update') throw new Fault('request.stale');
      if (request.operation === 'system.accept-rollback') {
        return { output: { state: 'ready', value: canary } };
      }
      throw new Fault('resource.unknown');
    },
    { checks: [{ name: 'storage', isWell: () => Promise.reject(new Error(canary)) }] },
  );
});
after(() => gateway[Symbol.asyncDispose]());

async function send(text: string): Promise<RawAnswer> {
  const { server, certificate } = gateway;
  sent.push(text);
  const answer = await rawExchange({ port: server.port, ca: certificate.authorityPem }, text);
  ok(answer, 'there is an answer');
  answers.push(answer);
  return answer;
}

/** Checks by hand what problemJsonSchema says: members, which are required, and their plain types. */
function assertProblem(answer: RawAnswer, status: number, code: string): Problem {
  equal(answer.headers['content-type'], 'application/problem+json', code);
  const problem = JSON.parse(answer.body) as Problem;
  const { required, properties } = problemJsonSchema as {
    readonly required: readonly string[];
    readonly properties: Readonly<Record<string, { readonly type: string }>>;
  };
  for (const member of required) ok(member in problem, `${code} has ${member}`);
  for (const [member, value] of Object.entries(problem)) {
    const type = properties[member]?.type ?? 'none';
    const actual = Array.isArray(value)
      ? 'array'
      : typeof value === 'number'
        ? 'integer'
        : typeof value;
    equal(actual, type, `${code}: ${member}`);
  }
  equal(problem.code, code);
  equal(problem.status, status);
  equal(answer.status, status);
  equal(problem.instance, answer.headers['x-request-id']);
  equal(problem.type, `https://cofferdam.dev/faults#${code}`);
  equal(answer.headers['cache-control'], 'no-store');
  equal(answer.headers['x-content-type-options'], 'nosniff');
  return problem;
}

for (const { what, text, status, code } of cases) {
  test(`${status} ${code}: ${what}`, async () => {
    assertProblem(await send(text), status, code);
  });
}

test('a refusal says what helps: Allow, WWW-Authenticate, Retry-After, required, errors', async () => {
  equal((await send(rawRequest('PUT /v1/status', [bearer]))).headers['allow'], 'GET');
  equal((await send(rawRequest('GET /v1/status'))).headers['www-authenticate'], 'Bearer');
  const denied = assertProblem(
    await send(rawRequest('POST /v1/secrets/a:promote', [bearer])),
    403,
    'policy.denied',
  );
  deepEqual(denied.required, { verb: 'secret.promote', resource: 'secrets/a' });
  const wrong = await send(rawRequest('POST /v1/policy:diff', [bearer, json], '{"documents":1}'));
  deepEqual((JSON.parse(wrong.body) as Problem).errors, [
    { pointer: '/documents', detail: 'must be a list' },
  ]);
});

test('a header that two readers might read differently is taken once, or not at all', async () => {
  const once = {
    authorization: bearer.slice(bearer.indexOf(' ') + 1),
    'content-type': 'application/json',
    'content-encoding': 'identity',
    'if-match': '"7"',
    'if-none-match': '*',
    'idempotency-key': 'a-good-key',
    'last-event-id': '7',
    'x-request-id': 'req-12345678',
  };
  const ask = (lines: readonly string[]) =>
    send(rawRequest('POST /v1/policy:apply', lines, '{"documents":[]}'));
  for (const [name, value] of Object.entries(once)) {
    const others = [bearer, json].filter((line) => !line.startsWith(`${name}:`));
    const line = `${name}: ${value}`;
    const control = await ask([...others, line]);
    equal(control.status, 404, `control: ${name} once`);
    assertProblem(await ask([...others, line, line]), 400, 'request.malformed');
  }
  const both = [bearer, json, 'if-match: "7"', 'if-none-match: *'];
  assertProblem(await ask(both), 400, 'request.malformed');
});

test('what belongs into a body is not taken from the query', async () => {
  const ask = (query: string) =>
    send(rawRequest(`POST /v1/policy:apply${query}`, [bearer, json], '{"documents":[]}'));
  equal((await ask('?dryRun=server')).status, 404, 'control');
  assertProblem(await ask('?prune=true'), 400, 'request.invalid');
});

test('a chunked body is cut at its bound, and the rest of a refused body is not waited for', async () => {
  const chunk = `1000\r\n${'x'.repeat(4096)}\r\n`;
  const head = rawRequest(put, [bearer, bytes, 'transfer-encoding: chunked']);
  assertProblem(await send(head + chunk.repeat(17)), 413, 'limit.exceeded');
});

test('a request id is taken over if it is well-formed, else made', async () => {
  const own = await send(rawRequest('GET /livez', ['x-request-id: mine-12345']));
  equal(own.headers['x-request-id'], 'mine-12345');
  for (const id of ['short', 'a b c d e f g h', 'x'.repeat(129)]) {
    const made = await send(rawRequest('GET /livez', [`x-request-id: ${id}`]));
    ok(/^req_[0-9a-f]{24}$/.test(made.headers['x-request-id'] ?? ''), id);
  }
});

test('probes: alive, not ready, and which check it is, but not why', async () => {
  equal((await send(rawRequest('GET /livez'))).status, 200);
  const ready = await send(rawRequest('GET /readyz'));
  deepEqual([ready.status, JSON.parse(ready.body)], [503, { ok: false }]);
  const verbose = await send(rawRequest('GET /readyz?verbose'));
  deepEqual(JSON.parse(verbose.body), { ok: false, failing: ['storage'] });
  equal((await send(rawRequest('GET /healthz'))).status, 503);
  const metrics = await send(rawRequest('GET /metrics', [bearer]));
  ok(metrics.body.includes('coffer_http_request_duration_seconds_count{status="4xx"}'));
  const openApi = await send(rawRequest('GET /openapi.json'));
  ok(isPlainObject(JSON.parse(openApi.body)));
});

test('too many requests from one address are refused before anything is read', async () => {
  const limits = { requestsPerSecond: 1e-6, requestsBurst: 1 };
  await using limited = await startHttpGateway(async () => ({ output: {} }), { limits });
  const target = { port: limited.server.port, ca: limited.certificate.authorityPem };
  equal((await rawExchange(target, rawRequest('GET /livez')))?.status, 200);
  const refused = await rawExchange(target, rawRequest(put, [bearer, bytes], canary));
  ok(refused);
  const problem = assertProblem(refused, 429, 'rate.exceeded');
  ok((problem.retryAfterSeconds ?? 0) > 0);
  equal(refused.headers['retry-after'], String(problem.retryAfterSeconds));
});

test('a request that comes too slowly is refused as such', async () => {
  const limits = { headersTimeoutMs: 50, requestTimeoutMs: 100 };
  await using slow = await startHttpGateway(async () => ({ output: {} }), { limits });
  const target = { port: slow.server.port, ca: slow.certificate.authorityPem };
  const headless = await rawExchange(target, `GET /v1/status HTTP/1.1\r\nx-a: ${canary}`);
  ok(headless);
  assertProblem(headless, 408, 'request.timeout');
  const bodiless = await rawExchange(
    target,
    `${put} HTTP/1.1\r\nhost: a\r\n${bearer}\r\n${bytes}\r\ncontent-length: 100\r\n\r\n${canary}`,
  );
  ok(bodiless);
  assertProblem(bodiless, 408, 'request.timeout');
});

test('no answer and no log line holds a canary, in any spelling', () => {
  // In a path it is in lower case, because there is no other there.
  const forms = (text: string): readonly string[] =>
    [canary, canary.toLowerCase()].flatMap((secret) => formsFound(text, Buffer.from(secret)));
  for (const secret of [canary, canary.toLowerCase()]) {
    ok(
      sent.some((text) => formsFound(text, Buffer.from(secret)).includes('raw')),
      'control: the search finds the canary in what was sent',
    );
  }
  ok(answers.length >= cases.length);
  ok(gateway.logged.length > 0, 'something was logged');
  for (const answer of answers) deepEqual(forms(JSON.stringify(answer)), [], answer.body);
  for (const line of gateway.logged) deepEqual(forms(line), [], line);
});
