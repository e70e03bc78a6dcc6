/**
 * Goal: no network input ends the process (G41), holds memory (G40) or keeps others waiting (G39).
 * Method: dribbling, malformed, oversized and broken-off connections against the listener in this very
 * process, so that an uncaught error fails the run; a well-behaved client must be served meanwhile and
 * afterwards. Nothing is asserted about time, only about what happens in the end.
 */
import { equal, ok } from 'node:assert/strict';
import { connect as connectTcp, type Socket } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { type HttpGateway, startHttpGateway } from '../../testing/http-gateway.ts';
import {
  rawAnswer,
  rawConnect,
  rawExchange,
  rawRequest,
  type RawTarget,
} from '../../testing/raw-http.ts';
import { bearer, bytes, json } from '../../testing/refusal-cases.ts';

const long = process.env['COFFER_LONG'] === '1';
const sealed = async (): Promise<unknown> => ({ output: { sealed: true } });

function targetOf(gateway: HttpGateway): RawTarget {
  return { port: gateway.server.port, ca: gateway.certificate.authorityPem };
}

async function assertServes(gateway: HttpGateway): Promise<void> {
  equal((await gateway.client().call('system.seal', {})).output.sealed, true);
}

function tcp(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: '127.0.0.1', port });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject).on('error', () => undefined);
      resolve(socket);
    });
  });
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve();
    socket.resume().on('close', () => resolve());
  });

/** Runs `act` for each item, `width` at a time. */
async function inParallel<T>(
  items: readonly T[],
  act: (item: T) => Promise<void>,
  width = 16,
): Promise<void> {
  const rest = [...items];
  const worker = async (): Promise<void> => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await act(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

test('slow connections are cut, each of them, while a well-behaved client is served', async () => {
  const each = long ? 700 : 30;
  const limits = long
    ? {}
    : { handshakeTimeoutMs: 200, headersTimeoutMs: 200, requestTimeoutMs: 400 };
  await using gateway = await startHttpGateway(sealed, {
    limits: { ...limits, connectionsPerSourceMax: 4000, connectionsBurst: 8000 },
  });
  const target = targetOf(gateway);
  const slow: Socket[] = [];
  for (let count = 0; count < each; count += 1) {
    slow.push(await tcp(target.port));
    const silent = await rawConnect(target);
    const headless = await rawConnect(target);
    headless.write('GET /v1/status HTTP/1.1\r\nx-a');
    const bodiless = await rawConnect(target);
    bodiless.write(`${rawRequest('POST /v1/policy:diff', [bearer, json, 'content-length: 100'])}{`);
    slow.push(silent, headless, bodiless);
  }
  await assertServes(gateway);
  await Promise.all(slow.map(closed));
  await assertServes(gateway);
});

test('more connections than one address may have are cut; those that were there go on', async () => {
  const limits = { connectionsPerSourceMax: 3 };
  await using gateway = await startHttpGateway(sealed, { limits });
  const target = targetOf(gateway);
  const kept = [await rawConnect(target), await rawConnect(target), await rawConnect(target)];
  await closed(await tcp(target.port));
  kept[0]?.write(rawRequest('GET /livez'));
  equal((await rawAnswer(kept[0] as never))?.status, 200);
  for (const socket of kept) socket.destroy();
  await Promise.all(kept.map(closed));
});

const garbage = fc.sample(
  fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 600 }).map((array) => Buffer.from(array)),
    // A record header of TLS, with whatever behind it.
    fc
      .tuple(
        fc.constantFrom(20, 21, 22, 23, 24),
        fc.constantFrom(0, 1, 3, 4),
        fc.uint8Array({ maxLength: 300 }),
      )
      .map(([type, version, rest]) =>
        Buffer.from([type, 3, version, rest.length >> 8, rest.length & 255, ...rest]),
      ),
    // A client hello that claims lengths it does not have.
    fc
      .tuple(fc.nat(0xffff), fc.nat(0xff_ffff), fc.uint8Array({ maxLength: 200 }))
      .map(([record, hello, rest]) =>
        Buffer.from([
          22,
          3,
          1,
          record >> 8,
          record & 255,
          1,
          hello >> 16,
          (hello >> 8) & 255,
          hello & 255,
          3,
          3,
          ...rest,
        ]),
      ),
    fc.constant(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')),
  ),
  long ? 10_000 : 300,
);

test('malformed TLS does not end the process', async () => {
  await using gateway = await startHttpGateway(sealed);
  await inParallel(garbage, async (bytesOfOne) => {
    const socket = await tcp(gateway.server.port);
    socket.end(bytesOfOne);
    await closed(socket);
  });
  await assertServes(gateway);
});

const seeds = [
  rawRequest('GET /v1/status?limit=1', [bearer, 'accept: */*']),
  rawRequest('POST /v1/secrets/a:put', [bearer, bytes], 'value'),
  rawRequest('POST /v1/policy:diff', [bearer, json], '{"documents":[]}'),
  `${rawRequest('POST /v1/seal:seal', [bearer, json, 'transfer-encoding: chunked'])}2\r\n{}\r\n0\r\n\r\n`,
  rawRequest('GET /v1/events', [
    bearer,
    'connection: upgrade',
    'upgrade: websocket',
    'sec-websocket-key: AAAA',
    'sec-websocket-version: 13',
  ]),
  rawRequest('POST /v1/seal:seal', [bearer, json, 'expect: 100-continue'], '{}'),
  rawRequest('CONNECT example.org:443', [bearer]),
  rawRequest('GET /livez').repeat(3),
];
const splices = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  ':',
  '\r\n\r\n',
  'HTTP/1.1',
  'HTTP/9.9',
  '\xff\xfe',
  '-1',
  '99999999999999999999',
  '%',
  'chunked',
  'upgrade: h2c\r\n',
  '\x81\x85\x00\x00\x00\x00hello',
];
const malformed = fc.sample(
  fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(400), fc.constantFrom(...splices), fc.nat(4)), {
        minLength: 1,
        maxLength: 4,
      }),
    )
    .map(([seed, steps]) =>
      steps.reduce((text, [place, splice, cut]) => {
        const at = place % (text.length + 1);
        return text.slice(0, at) + splice + text.slice(at + cut);
      }, seed),
    ),
  long ? 100_000 : 1_500,
);

test('malformed HTTP does not end the process, and every answer to it is whole', async () => {
  const limits = { headersTimeoutMs: 200, requestTimeoutMs: 400 };
  await using gateway = await startHttpGateway(sealed, { limits });
  const target = targetOf(gateway);
  let answered = 0;
  await inParallel(malformed, async (text) => {
    const below = await tcp(target.port);
    const socket = await rawConnect(target, { socket: below });
    const answer = rawAnswer(socket);
    socket.write(text, 'latin1');
    // Some hang up at once, in the middle of whatever is going on; some are polite about it.
    if (text.length % 4 === 0) setImmediate(() => below.resetAndDestroy());
    else socket.end();
    const whole = await answer;
    below.destroy();
    if (!whole) return;
    answered += 1;
    const { status, headers } = whole;
    ok(
      status < 400 || headers['content-type'] === 'application/problem+json',
      `${status}: ${text}`,
    );
  });
  ok(answered > malformed.length / 10, `${answered} were answered`);
  await assertServes(gateway);
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
async function heldBytes(): Promise<number> {
  // More than once: what the first collection frees may be what kept something else.
  for (let round = 0; round < 5; round += 1) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test('refused bodies hold no memory: oversized, deep, wide, doubled, dribbled, compressed', async () => {
  await using gateway = await startHttpGateway(sealed);
  const target = targetOf(gateway);
  const diff = 'POST /v1/policy:diff';
  const refused = [
    rawRequest(diff, [bearer, json, 'content-length: 4000000000']),
    rawRequest(diff, [bearer, json], '['.repeat(30_000)),
    rawRequest('POST /v1/nodes/a:token', [bearer, json], `{"a":[${'0,'.repeat(30_000)}0]}`),
    rawRequest(diff, [bearer, json], `{"a":1,"a":"${'x'.repeat(30_000)}"}`),
    rawRequest(diff, [bearer, json, 'content-encoding: gzip'], 'x'.repeat(30_000)),
    rawRequest('POST /v1/secrets/a:put', [bearer, bytes, 'transfer-encoding: chunked']) +
      `1000\r\n${'x'.repeat(4096)}\r\n`.repeat(17),
  ];
  const round = async (count: number): Promise<void> => {
    const texts = Array.from(
      { length: count },
      (_, index) => refused[index % refused.length] ?? '',
    );
    await inParallel(texts, async (text) => {
      const answer = await rawExchange(target, text);
      ok(answer && answer.status >= 400 && answer.status < 500, `${answer?.status}`);
    });
  };
  await round(200);
  const before = await heldBytes();
  await round(long ? 10_000 : 1_000);
  const afterwards = await heldBytes();
  const grown = afterwards - before;
  ok(grown < 4 * 1024 * 1024 * (long ? 10 : 1), `${grown} bytes are held`);

  const kept = refused.map((text, index) => Buffer.alloc(4 * 1024 * 1024, text.length + index));
  ok(
    (await heldBytes()) - afterwards > 4 * 1024 * 1024,
    'the control: keeping the bodies of six would show',
  );
  equal(kept.length, refused.length);
});

test('an event stream asks for no more than its reader takes, and lets go when the reader goes', async () => {
  let made = 0;
  let letGo = (): void => undefined;
  const released = new Promise<void>((resolve) => (letGo = resolve));
  const endless: AsyncIterable<unknown> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        made += 1;
        await new Promise(setImmediate);
        return {
          done: false,
          value: { revision: made, kind: 'x'.repeat(500), name: 'y'.repeat(500), change: 'put' },
        };
      },
      return: async () => {
        letGo();
        return { done: true, value: undefined };
      },
    }),
  };
  await using gateway = await startHttpGateway(async () => ({ output: endless }), {
    limits: { eventStreamsMax: 1 },
  });
  const socket = await rawConnect(targetOf(gateway));
  socket.pause();
  socket.write(rawRequest('GET /v1/events', [bearer]));
  for (let before = -1; before < 1 || before !== made; ) {
    before = made;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  ok(made < 20_000, `${made} events were made for a reader that takes none`);
  equal(
    (await rawExchange(targetOf(gateway), rawRequest('GET /v1/events', [bearer])))?.status,
    429,
  );
  socket.destroy();
  await released;
});

test('an event stream beats while it is silent, and ends when the gateway stops', async () => {
  let asked = 0;
  const silent: AsyncIterable<unknown> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        asked += 1;
        return new Promise<IteratorResult<unknown>>(() => undefined);
      },
      return: async () => ({ done: true, value: undefined }),
    }),
  };
  const gateway = await startHttpGateway(async () => ({ output: silent }), {
    limits: { heartbeatMs: 20 },
  });
  const socket = await rawConnect(targetOf(gateway));
  socket.write(rawRequest('GET /v1/events', [bearer]));
  let text = '';
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.split(':\n\n').length > 3) resolve();
    });
  });
  ok(text.includes('retry: 2000\n\n'));
  ok(text.toLowerCase().includes('content-type: text/event-stream'));
  equal(asked, 1);
  await gateway.server.close();
  await closed(socket);
});
