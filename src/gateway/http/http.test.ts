/**
 * Goal: what a client asks is what `handle` is asked, and what `handle` answers is what the client gets.
 * Method: the whole operations table over real TLS on loopback, with a `handle` that records; each
 * operation by its example.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, type FaultError } from '../../base/fault.ts';
import { Client } from '../../client/client.ts';
import { SecretValue } from '../../model/secret-value.ts';
import { eventOperations, fileOperations } from '../../protocol/event-cursor.ts';
import { operationExamples } from '../../protocol/examples.ts';
import { type OperationName, operationNamed, operationNames } from '../../protocol/operations.ts';
import type { OperationRequest } from '../../protocol/request.ts';
import { makeTestCertificate, startHttpGateway } from '../../testing/http-gateway.ts';

type Asked = OperationRequest<OperationName> & { readonly bytes?: string };

/** Records what was asked, as it was at that moment, and answers with the example. */
function recorder(asked: Asked[], revision?: number) {
  return async (request: OperationRequest<OperationName>): Promise<unknown> => {
    const bytes = request.value?.use((buffer) => buffer.toString('latin1'));
    asked.push({ ...request, ...(bytes === undefined ? {} : { bytes }) });
    const { output } = operationExamples[request.operation];
    const { reply } = operationNamed(request.operation);
    async function* stream(): AsyncGenerator {
      yield reply === 'file' ? Buffer.from('first ') : output;
      yield reply === 'file' ? Buffer.from('second') : output;
    }
    return { output: reply === 'json' ? output : stream(), revision };
  };
}

const jsonNames = operationNames.filter((name) => operationNamed(name).reply === 'json');

test('event-cursor names exactly the operations that stream', () => {
  const replying = (reply: string): OperationName[] =>
    operationNames.filter((name) => operationNamed(name).reply === reply);
  deepEqual([...eventOperations].toSorted(), replying('events').toSorted());
  deepEqual([...fileOperations].toSorted(), replying('file').toSorted());
});

test('examples fit their schemas', () => {
  for (const name of operationNames) {
    const errors: FaultError[] = [];
    operationNamed(name).input.read(operationExamples[name].input, '', errors);
    operationNamed(name).output.read(operationExamples[name].output, '', errors);
    deepEqual(errors, [], name);
  }
});

test('every JSON operation arrives as it was asked and comes back as it was answered', async () => {
  const asked: Asked[] = [];
  await using gateway = await startHttpGateway(recorder(asked, 42));
  const client = gateway.client();
  const bytes = Buffer.from([0, 1, 2, 0xff, 0x0a, 0x25]);
  for (const name of jsonNames) {
    const { body, preconditioned, access } = operationNamed(name);
    const { input, output } = operationExamples[name];
    const value = SecretValue.copy(bytes);
    const reply = await client.call(name as 'secret.put', input as never, {
      ...(body === 'value' ? { value } : {}),
      ...(preconditioned ? { ifRevision: 7 } : {}),
      requestId: `test-${name}`,
    });
    const seen = asked.pop();
    // Clones, because what was parsed inherits nothing.
    deepEqual(seen?.operation, name);
    deepEqual(structuredClone(seen.input), input, name);
    equal(seen.requestId, `test-${name}`);
    equal(seen.ifRevision, preconditioned ? 7 : undefined);
    equal(seen.principal.kind, typeof access === 'string' ? 'user' : 'anonymous');
    equal(seen.bytes, body === 'value' ? bytes.toString('latin1') : undefined);
    const expected = { output, revision: 42, replayed: false, requestId: `test-${name}` };
    deepEqual(structuredClone(reply), expected, name);
  }
});

test('the options of a call arrive: dry run, idempotency key, a new object', async () => {
  const asked: Asked[] = [];
  await using gateway = await startHttpGateway(recorder(asked));
  const client = gateway.client();
  const { input } = operationExamples['group.put'];
  await client.call('group.put', input as never, {
    ifRevision: 0,
    dryRun: true,
    idempotencyKey: 'key-12345678',
  });
  equal(asked[0]?.ifRevision, 0);
  equal(asked[0].dryRun, true);
  equal(asked[0].idempotencyKey, 'key-12345678');
});

test('a value is wiped once the answer is decided, and the caller keeps its own', async () => {
  let kept: SecretValue | undefined;
  await using gateway = await startHttpGateway(async ({ value }) => {
    kept = value;
    throw new Fault('policy.denied', { action: 'secret.put', resource: 'secrets/a' });
  });
  const value = SecretValue.copy(Buffer.from('canary'));
  const call = gateway.client().call('secret.put', { name: 'a' as never }, { value });
  await rejects(call, { code: 'policy.denied' });
  equal(
    value.use((bytes) => bytes.toString()),
    'canary',
  );
  ok(kept);
  await rejects(async () => kept?.use(() => undefined), /before it is wiped/);
});

test('a fault arrives with its code, facts and errors, and the request id', async () => {
  const errors = [{ pointer: '/name', detail: 'is required' }];
  await using gateway = await startHttpGateway(async () => {
    throw new Fault('request.invalid', { what: 'input', count: 3 }, { errors });
  });
  const call = gateway.client().call('system.status', {}, { requestId: 'req-12345678' });
  await rejects(call, {
    code: 'request.invalid',
    detail: { what: 'input', count: 3, requestId: 'req-12345678' },
    errors,
  });
});

test('events arrive with their ids, and a watch goes on after the last one seen', async () => {
  const froms: unknown[] = [];
  await using gateway = await startHttpGateway(async ({ input }) => {
    const { after = 0 } = input as { readonly after?: number };
    froms.push(after);
    async function* two(): AsyncGenerator {
      for (const sequence of [after + 1, after + 2]) {
        yield { sequence, kind: 'secret', name: 'a', change: 'put' };
      }
    }
    return { output: two() };
  });
  const seen: number[] = [];
  for await (const event of gateway.client().watch('event.watch', { after: 10 })) {
    equal(event.id, event.output.sequence);
    if (seen.push(event.output.sequence) === 5) break;
  }
  deepEqual(seen, [11, 12, 13, 14, 15]);
  deepEqual(froms, [10, 12, 14]);
});

test('a file arrives whole, with a name; a cut one is a fault', async () => {
  await using gateway = await startHttpGateway(recorder([]));
  const { fileName, pieces } = await gateway.client().download('system.backup', {});
  ok(/^coffer-system-backup-\d{8}T\d{6}Z$/.test(fileName), fileName);
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  equal(Buffer.concat(all).toString(), 'first second');

  await using cutting = await startHttpGateway(async () => {
    async function* cut(): AsyncGenerator<Buffer> {
      yield Buffer.from('first ');
      throw new Error('disk');
    }
    return { output: cut() };
  });
  await rejects(
    async () => {
      const cut = await cutting.client().download('system.backup', {});
      for await (const piece of cut.pieces) ok(piece.length > 0);
    },
    { code: 'gateway.unreachable' },
  );
});

test('a pin is believed only if the chain below it verifies; nothing is sent otherwise', async () => {
  const asked: Asked[] = [];
  await using gateway = await startHttpGateway(recorder(asked));
  const { pinOf } = await import('../../client/connection.ts');
  const leafPin = pinOf(gateway.certificate.leaf);
  const authorityPin = pinOf(gateway.certificate.authority.certificate);
  for (const pin of [leafPin, authorityPin]) {
    await gateway.client({ trust: { pins: [pin] } }).call('system.status', {});
  }
  equal(asked.length, 2);

  const stranger = makeTestCertificate();
  await using impostor = await startHttpGateway(recorder(asked), {
    // A stranger's leaf, followed by the pinned authority's certificate, which is public.
    certificate: stranger.leaf.toString() + gateway.certificate.authorityPem,
    key: stranger.key,
  });
  for (const trust of [{ pins: [authorityPin] }, { pins: [leafPin] }, {}]) {
    const call = impostor.client({ trust }).call('system.status', {});
    await rejects(call, { code: 'gateway.untrusted' });
  }
  const elsewhere = makeTestCertificate({ dnsNames: ['elsewhere.example'], ipAddresses: [] });
  await using misnamed = await startHttpGateway(recorder(asked), {
    certificate: elsewhere.chain,
    key: elsewhere.key,
  });
  const pinnedAuthority = { pins: [pinOf(elsewhere.authority.certificate)] };
  const call = misnamed.client({ trust: pinnedAuthority }).call('system.status', {});
  await rejects(call, { code: 'gateway.untrusted' });
  // The gateway's own key is its name, whatever the certificate says.
  await misnamed.client({ trust: { pins: [pinOf(elsewhere.leaf)] } }).call('system.status', {});
  equal(asked.length, 3);
});

test('a client retries reads and keyed changes, and nothing else', async () => {
  let calls = 0;
  await using gateway = await startHttpGateway(async () => {
    calls += 1;
    throw new Fault('gateway.stopping', { retryAfterSeconds: 0 });
  });
  const client = gateway.client({ attemptsMax: 2, clock: { ...(await quickClock()) } });
  const count = async (act: () => Promise<unknown>): Promise<number> => {
    calls = 0;
    await rejects(act, { code: 'gateway.stopping' });
    return calls;
  };
  equal(await count(() => client.call('system.status', {})), 2);
  const name = { name: 'a' as never };
  equal(await count(() => client.call('secret.promote', name)), 1);
  equal(await count(() => client.call('secret.promote', name, { idempotencyKey: 'key-12345' })), 2);
});

test('a client names what it cannot reach', async () => {
  const nobody = new Client({
    address: 'https://127.0.0.1:1',
    clock: await quickClock(),
    random: { bytes: (length) => Buffer.alloc(length), integer: () => 0, fraction: () => 0 },
  });
  await rejects(nobody.call('system.status', {}), {
    code: 'gateway.unreachable',
    detail: { host: '127.0.0.1', port: 1, problem: 'ECONNREFUSED' },
  });
});

async function quickClock() {
  const { systemClock } = await import('../../base/clock.ts');
  return { ...systemClock, sleep: () => Promise.resolve() };
}
