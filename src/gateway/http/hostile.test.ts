/**
 * Goal: no network input ends the process (G41), holds memory (G40) or keeps others waiting (G39).
 * Method: dribbling, malformed, oversized and broken-off connections against the listener in this very
 * process, so that an uncaught error fails the run; a well-behaved client must be served meanwhile and
 * afterwards. Nothing is asserted about time, only about what happens in the end. Controls: a gateway that
 * has all the time in the world, one that keeps what it refuses, a reader that takes what it is sent.
 */
import { equal, ok, rejects } from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { systemClock } from '../../base/clock.ts';
import { type HttpGateway, startHttpGateway } from '../../testing/http-gateway.ts';
import {
  rawAnswer,
  rawConnect,
  rawExchange,
  rawRequest,
  type RawTarget,
} from '../../testing/raw-http.ts';
import { until } from '../../testing/until.ts';
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

async function untilConnected(gateway: HttpGateway, count: number): Promise<void> {
  const line = `coffer_http_connections ${count}`;
  await until(line, () => gateway.metrics.text().split('\n').includes(line));
}

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

/** So many connections of each kind that says too little: nothing, no handshake, half a head, half a body. */
async function slowConnections(target: RawTarget, each: number): Promise<readonly Socket[]> {
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
  return slow;
}

const many = { connectionsPerSourceMax: 4000, connectionsBurst: 8000 };
const impatient = { handshakeTimeoutMs: 200, headersTimeoutMs: 200, requestTimeoutMs: 400 };

test('slow connections are cut, each of them, while a well-behaved client is served', async () => {
  const limits = { ...many, ...(long ? {} : impatient) };
  await using gateway = await startHttpGateway(sealed, { limits });
  const slow = await slowConnections(targetOf(gateway), long ? 700 : 30);
  await assertServes(gateway);
  await Promise.all(slow.map(closed));
  await assertServes(gateway);
});

test('slow connections that fill a gateway starve others only if nothing cuts them', async () => {
  const each = 5;
  const connectionsMax = 4 * each;
  const hour = 3_600_000;
  const forEver = { handshakeTimeoutMs: hour, headersTimeoutMs: hour, requestTimeoutMs: hour };
  await using patient = await startHttpGateway(sealed, {
    limits: { ...forEver, idleTimeoutMs: hour, connectionsMax },
  });
  const kept = await slowConnections(targetOf(patient), each);
  const starves = () => rejects(assertServes(patient), { code: 'gateway.unreachable' });
  await starves();
  ok(patient.metrics.text().includes('coffer_http_refused_total{reason="connections"} 1'));

  await using gateway = await startHttpGateway(sealed, {
    limits: { ...impatient, connectionsMax },
  });
  await Promise.all((await slowConnections(targetOf(gateway), each)).map(closed));
  await assertServes(gateway);

  ok(
    kept.every((socket) => !socket.destroyed),
    'control: it is the limits that cut them',
  );
  await starves();
  kept[0]?.destroy();
  await untilConnected(patient, connectionsMax - 1);
  await assertServes(patient);
  for (const socket of kept) socket.destroy();
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

/** What `act` leaves behind in memory once its connections are gone. */
async function bytesKeptBy(gateway: HttpGateway, act: () => Promise<void>): Promise<number> {
  const held = async (): Promise<number> => {
    await untilConnected(gateway, 0);
    // More than once: what the first collection frees may be what kept something else.
    for (let round = 0; round < 5; round += 1) {
      await systemClock.nextTurn();
      collect();
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = await held();
  await act();
  return (await held()) - before;
}

/** What a listener does that keeps every body that comes in. */
async function keepingBodies(act: () => Promise<void>): Promise<readonly Buffer[]> {
  const kept: Buffer[] = [];
  const keep = (message: unknown): void => {
    const { request } = message as { readonly request: IncomingMessage };
    const push = request.push.bind(request);
    request.push = (chunk: Buffer | null) => {
      if (chunk) kept.push(Buffer.from(chunk));
      return push(chunk);
    };
  };
  subscribe('http.server.request.start', keep);
  await act().finally(() => unsubscribe('http.server.request.start', keep));
  return kept;
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
  const count = long ? 10_000 : 1_000;
  const bytesMax = 4 * 1024 * 1024 * (long ? 10 : 1);
  await round(200);
  const left = await bytesKeptBy(gateway, () => round(count));
  ok(left < bytesMax, `${left} bytes are held`);

  let kept: readonly Buffer[] = [];
  const leftKeeping = await bytesKeptBy(gateway, async () => {
    kept = await keepingBodies(() => round(count / 2));
  });
  ok(leftKeeping > bytesMax, `control: a listener that keeps ${kept.length} pieces shows`);
});

/** Events without end, one in each turn of the loop, for whoever asks. */
function endlessEvents() {
  const released = Promise.withResolvers<void>();
  const source = {
    made: 0,
    released: released.promise,
    events: {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          source.made += 1;
          await systemClock.nextTurn();
          const [kind, name] = ['x'.repeat(500), 'y'.repeat(500)];
          return { done: false, value: { sequence: source.made, kind, name, change: 'put' } };
        },
        return: async () => {
          released.resolve();
          return { done: true, value: undefined };
        },
      }),
    },
  };
  return source;
}

test('an event stream asks for no more than its reader takes, and lets go when the reader goes', async () => {
  const [idle, eager] = [endlessEvents(), endlessEvents()];
  const sources = [idle, eager, endlessEvents()];
  await using gateway = await startHttpGateway(async () => ({ output: sources.shift()?.events }), {
    limits: { eventStreamsMax: 2 },
  });
  const target = targetOf(gateway);
  const watch = rawRequest('GET /v1/events', [bearer]);
  const takesNone = await rawConnect(target);
  takesNone.pause();
  takesNone.write(watch);
  await until('the first is under way', () => idle.made > 0);
  const takesAll = await rawConnect(target);
  takesAll.resume();
  takesAll.write(watch);
  // More than fits between the two ends, and in as many turns as the first would have needed, too.
  await until('20,000 are made', () => eager.made >= 20_000, { withinMs: 120_000 });
  ok(idle.made < eager.made / 2, `${idle.made} events were made for a reader that takes none`);
  equal((await rawExchange(target, watch))?.status, 429);
  takesNone.destroy();
  await idle.released;
  takesAll.destroy();
  await eager.released;
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
