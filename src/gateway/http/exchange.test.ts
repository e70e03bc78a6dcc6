/**
 * Goal: the finer points of HTTP mean what the API says: ETags, replays, resuming, expectations,
 * renewal of the certificate; and without a token nothing but what is public is ever asked (V9).
 * Method: raw requests over TLS against a recording `handle`.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import { SecretValue } from '../../model/secret-value.ts';
import { operationExamples } from '../../protocol/examples.ts';
import { operationNamed, operationNames, type OperationName } from '../../protocol/operations.ts';
import type { OperationRequest } from '../../protocol/request.ts';
import { bind, RequestRig } from '../../testing/request-rig.ts';
import {
  type HttpGateway,
  makeTestCertificate,
  startHttpGateway,
} from '../../testing/http-gateway.ts';
import {
  rawAnswer,
  rawConnect,
  rawExchange,
  rawRequest,
  type RawTarget,
} from '../../testing/raw-http.ts';
import { bearer, bytes, json } from '../../testing/refusal-cases.ts';

function targetOf(gateway: HttpGateway): RawTarget {
  return { port: gateway.server.port, ca: gateway.certificate.authorityPem };
}

const secret = operationExamples['secret.get'].output;

test('a reader that has the revision is told so, with no body', async () => {
  await using gateway = await startHttpGateway(async () => ({ output: secret, revision: 42 }));
  const target = targetOf(gateway);
  const fresh = await rawExchange(target, rawRequest('GET /v1/secrets/a', [bearer]));
  equal(fresh?.headers['etag'], '"42"');
  const known = await rawExchange(
    target,
    rawRequest('GET /v1/secrets/a', [bearer, 'if-none-match: "42"']),
  );
  deepEqual([known?.status, known?.body], [304, '']);
  // Also one that is newer: the store may have been put back, and then what it says is news.
  for (const other of [41, 43]) {
    const request = rawRequest('GET /v1/secrets/a', [bearer, `if-none-match: "${other}"`]);
    equal((await rawExchange(target, request))?.status, 200);
  }
});

test('a replayed answer says that it is one', async () => {
  await using gateway = await startHttpGateway(async () => ({ output: secret, replayed: true }));
  const options = { idempotencyKey: 'key-12345678' };
  const reply = await gateway.client().call('secret.promote', { name: 'a' as never }, options);
  equal(reply.replayed, true);
});

test('Last-Event-ID goes before the query, as a browser that reconnects means it', async () => {
  const asked: unknown[] = [];
  await using gateway = await startHttpGateway(async ({ input }) => {
    asked.push(input);
    throw new Fault('policy.denied');
  });
  const target = targetOf(gateway);
  const text = rawRequest('GET /v1/events?after=3', [bearer, 'last-event-id: 7']);
  equal((await rawExchange(target, text))?.status, 403);
  deepEqual(asked, [{ after: 7 }]);
  const wrong = rawRequest('GET /v1/events', [bearer, 'last-event-id: x']);
  equal((await rawExchange(target, wrong))?.status, 400);
});

test('a body is asked for only after the token was looked at', async () => {
  await using gateway = await startHttpGateway(async ({ value }) => {
    equal(
      value?.use((buffer) => buffer.toString()),
      'value',
    );
    return { output: secret };
  });
  const head = (authorization: string): string =>
    rawRequest('POST /v1/secrets/a:put', [
      authorization,
      bytes,
      'expect: 100-continue',
      'content-length: 5',
    ]);
  const refused = await rawExchange(targetOf(gateway), head('authorization: Bearer wrong'));
  equal(refused?.status, 401);
  const socket = await rawConnect(targetOf(gateway));
  socket.write(head(bearer));
  const first = await new Promise<string>((resolve) =>
    socket.once('data', (data) => resolve(data.toString())),
  );
  ok(first.startsWith('HTTP/1.1 100 Continue'), first);
  socket.write('value');
  equal((await rawAnswer(socket))?.status, 200);
  socket.destroy();
});

test('requests that share a connection are answered in their order, refused ones too', async () => {
  await using gateway = await startHttpGateway(async () => ({ output: secret }));
  const socket = await rawConnect(targetOf(gateway));
  socket.write(rawRequest('POST /v1/secrets/a:put', [bearer, json], '{"refused":1}'));
  socket.write(rawRequest('GET /v1/secrets/a', [bearer, 'connection: close']));
  let text = '';
  for await (const chunk of socket) text += (chunk as Buffer).toString();
  deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 415', 'HTTP/1.1 200']);
});

test('an empty value is a value; one of the largest size arrives whole; one byte more does not', async () => {
  const lengths: (number | undefined)[] = [];
  await using gateway = await startHttpGateway(async ({ value }) => {
    lengths.push(value?.length);
    return { output: secret };
  });
  const client = gateway.client();
  const put = (length: number): Promise<unknown> =>
    client.call(
      'secret.put',
      { name: 'a' as never },
      { value: SecretValue.copy(Buffer.alloc(length, 7)) },
    );
  await put(0);
  await put(65_536);
  await rejects(put(65_537), { code: 'limit.exceeded' });
  deepEqual(lengths, [0, 65_536]);
});

test('a renewed certificate is served to new connections', async () => {
  await using gateway = await startHttpGateway(async () => ({ output: { sealed: true } }));
  await gateway.client().call('system.seal', {});
  const renewed = makeTestCertificate();
  gateway.server.renewCertificate(renewed.chain, renewed.key);
  await rejects(gateway.client().call('system.seal', {}), { code: 'gateway.untrusted' });
  await gateway.client({ trust: { ca: renewed.authorityPem } }).call('system.seal', {});
});

test('without a token nothing is asked but what is public', async () => {
  const asked: OperationRequest<OperationName>[] = [];
  await using gateway = await startHttpGateway(async (request) => {
    asked.push(request);
    throw new Fault('resource.unknown');
  });
  const anonymous = gateway.client({ token: 'wrong-token' });
  for (const name of operationNames) {
    const { preconditioned, reply, access } = operationNamed(name);
    const { input } = operationExamples[name];
    const options = {
      value: SecretValue.copy(Buffer.from('x')),
      ...(preconditioned ? { ifRevision: 1 } : {}),
    };
    const call = async (): Promise<unknown> => {
      if (reply === 'file')
        return await anonymous.download(name as 'system.backup', input, options);
      if (reply === 'json')
        return await anonymous.call(name as 'secret.get', input as never, options);
      for await (const event of anonymous.watch(name as 'event.watch', input as never))
        return event;
      return undefined;
    };
    await rejects(
      call,
      { code: typeof access === 'string' ? 'auth.required' : 'resource.unknown' },
      name,
    );
  }
  const isPublic = operationNames.filter((name) => typeof operationNamed(name).access === 'object');
  deepEqual(asked.map(({ operation }) => operation).toSorted(), isPublic.toSorted());
  ok(asked.every(({ principal }) => principal.kind === 'anonymous'));
});

test('one principal, and one stranger, can ask for no more than its share', async () => {
  const rig = new RequestRig({ rate: { perSecond: 1e-6, burst: 2 } });
  const [owner, other] = [await rig.owner(), await rig.principal('other', bind('owner', '**'))];
  let caller = owner;
  await using gateway = await startHttpGateway((request) => rig.requests.handle(request), {
    authenticate: async () => caller,
    limits: { strangerRequestsPerSecond: 1e-6, strangerRequestsBurst: 1 },
  });
  const client = gateway.client({ attemptsMax: 1 });
  await client.call('secret.list', {});
  await client.call('secret.list', {});
  await rejects(client.call('secret.list', {}), { code: 'rate.exceeded' });
  caller = other;
  await client.call('secret.list', {});
  await client.call('system.seal-status', {});
  await rejects(client.call('system.seal-status', {}), { code: 'rate.exceeded' });
});
