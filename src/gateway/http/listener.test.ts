/**
 * Goal: connections end when they should, with an answer that is the peer's own or with none; a gateway that
 * stops finishes what is under way, and nobody outside decides how long that takes.
 * Method: raw connections in every state that one can be in, over TLS on loopback. Requests are held by the
 * test and let go when it says so; the patience of the listener is on a clock that the test moves, so that
 * waiting for it would never end. Control: what is under way goes on meanwhile.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { connect as connectTcp, type Socket } from 'node:net';
import { test } from 'node:test';
import { type HttpGateway, startHttpGateway } from '../../testing/http-gateway.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import {
  rawAnswer,
  rawConnect,
  rawExchange,
  rawRequest,
  type RawTarget,
} from '../../testing/raw-http.ts';
import { until } from '../../testing/until.ts';
import { bearer, bytes, json } from '../../testing/refusal-cases.ts';

const seal = rawRequest('POST /v1/seal:seal', [bearer]);
const alive = rawRequest('GET /livez');

function targetOf(gateway: HttpGateway): RawTarget {
  return { port: gateway.server.port, ca: gateway.certificate.authorityPem };
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve();
    socket.resume().on('close', () => resolve());
  });

/** Everything that comes until the connection ends. */
async function allOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  await closed(socket);
  return text;
}

const statusesIn = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));

/** Requests that run until the test lets them go. */
function held() {
  const reached = Promise.withResolvers<void>();
  const letGo = Promise.withResolvers<void>();
  const handle = async (): Promise<unknown> => {
    reached.resolve();
    await letGo.promise;
    return { output: { sealed: true } };
  };
  return { handle, reached: reached.promise, letGo: letGo.resolve };
}

async function untilMeasured(gateway: HttpGateway, line: string): Promise<void> {
  await until(line, () => gateway.metrics.text().split('\n').includes(line));
}

test('stopping cuts at once whatever asks nothing, and finishes what is under way', async () => {
  const { handle, reached, letGo } = held();
  await using gateway = await startHttpGateway(handle, {
    clock: new ManualClock(),
    limits: { handshakeTimeoutMs: 3_600_000 },
  });
  const target = targetOf(gateway);
  const below = connectTcp({ host: '127.0.0.1', port: target.port }).on('error', () => undefined);
  await untilMeasured(gateway, 'coffer_http_connections 1');
  const silent = await rawConnect(target);
  const headless = await rawConnect(target);
  headless.write('GET /livez HTTP/1.1\r\nx-a');
  const idle = await rawConnect(target);
  idle.write(alive);
  equal((await rawAnswer(idle))?.status, 200);
  const halfNext = await rawConnect(target);
  halfNext.write(`${alive}GET /li`);
  equal((await rawAnswer(halfNext))?.status, 200);
  const busy = await rawConnect(target);
  const answers = allOf(busy);
  busy.write(seal);
  await reached;

  let isStopped = false;
  const stopping = gateway.server.close().then(() => (isStopped = true));
  await Promise.all([silent, headless, idle, halfNext].map(closed));
  // What comes on a connection that is still there is told to go elsewhere, after the answers before it.
  busy.write(alive);
  await untilMeasured(gateway, 'coffer_http_request_duration_seconds_count{status="5xx"} 1');
  equal(isStopped, false, 'control: one is under way');
  equal(busy.destroyed, false);
  letGo();
  const text = await answers;
  deepEqual(statusesIn(text), [200, 503]);
  match(text, /connection: close[^]*"code":"gateway.stopping"/);
  await stopping;
  await closed(below);
});

test('a connection that begins before the gateway stops and shakes hands after it is cut', async () => {
  const { handle, reached, letGo } = held();
  await using gateway = await startHttpGateway(handle, { clock: new ManualClock() });
  const target = targetOf(gateway);
  const call = rawExchange(target, seal);
  await reached;
  const below = connectTcp({ host: '127.0.0.1', port: target.port });
  await untilMeasured(gateway, 'coffer_http_connections 2');
  const stopping = gateway.server.close();
  const late = await rawConnect(target, { socket: below }).catch(() => undefined);
  late?.write(alive);
  equal(late && (await rawAnswer(late)), undefined);
  letGo();
  equal((await call)?.status, 200, 'control');
  await stopping;
});

test('what is under way has as long as it may have, and is cut then', async () => {
  const clock = new ManualClock();
  const { handle, reached } = held();
  await using gateway = await startHttpGateway(handle, { clock, limits: { drainMs: 1000 } });
  const target = targetOf(gateway);
  const call = rawExchange(target, seal);
  await reached;
  // A request whose body is not there yet is one, too.
  const [inTime, tooLate] = [await rawConnect(target), await rawConnect(target)];
  for (const socket of [inTime, tooLate]) {
    socket.write(rawRequest('POST /v1/policy:diff', [bearer, json, 'content-length: 1']));
  }
  // Once another, that came later, is answered, those have been read.
  equal((await rawExchange(target, alive))?.status, 200);
  const stopping = gateway.server.close();
  clock.advance(999);
  inTime.write('x');
  equal((await rawAnswer(inTime))?.status, 400, 'control: not before');
  clock.advance(1);
  await closed(tooLate);
  equal(await call, undefined);
  await stopping;
});

test('what cannot be read is refused only where its peer takes that for the answer to it', async () => {
  const { handle, reached, letGo } = held();
  await using gateway = await startHttpGateway(handle);
  const target = targetOf(gateway);
  const behindRunning = await rawConnect(target);
  behindRunning.write(`${seal}garbage\r\n\r\n`);
  equal(await allOf(behindRunning), '', 'or the put that is under way would look refused');
  await reached;
  letGo();
  const behindAnswered = await rawConnect(target);
  behindAnswered.write(alive);
  equal((await rawAnswer(behindAnswered))?.status, 200);
  behindAnswered.write('garbage\r\n\r\n');
  deepEqual(statusesIn(await allOf(behindAnswered)), [400], 'control: its own answer');
  const itself = await rawConnect(target);
  itself.write(
    `${rawRequest('POST /v1/seal:seal', [bearer, json, 'transfer-encoding: chunked'])}x\r\n`,
  );
  deepEqual(statusesIn(await allOf(itself)), [400], 'control: of the request that is being read');
});

test('a peer that never closes its half of a refused connection keeps none', async () => {
  await using gateway = await startHttpGateway(async () => ({ output: {} }));
  const below = connectTcp({ host: '127.0.0.1', port: gateway.server.port, allowHalfOpen: true });
  const socket = await rawConnect(targetOf(gateway), { socket: below });
  socket.write('garbage\r\n\r\n');
  equal((await rawAnswer(socket))?.status, 400);
  await untilMeasured(gateway, 'coffer_http_connections 0');
  below.destroy();
});

test('HEAD is refused without a body, and the connection goes on', async () => {
  await using gateway = await startHttpGateway(async () => ({ output: {} }));
  const socket = await rawConnect(targetOf(gateway));
  socket.write(rawRequest('HEAD /v1/status', [bearer]));
  socket.write(rawRequest('GET /livez', ['connection: close']));
  const text = await allOf(socket);
  match(text, /^HTTP\/1\.1 405 [^]*\r\nallow: GET\r\n[^]*\r\n\r\nHTTP\/1\.1 200 /);
  ok(!text.includes('request.method'), 'no body');
});

test('an upgrade is answered as the request it is, a tunnel is cut', async () => {
  await using gateway = await startHttpGateway(async () => ({ output: { sealed: true } }));
  const target = targetOf(gateway);
  const upgrade = ['connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'];
  equal((await rawExchange(target, rawRequest('GET /livez', upgrade)))?.status, 200);
  equal((await rawExchange(target, rawRequest('GET /v1/stream', upgrade)))?.status, 404);
  const h2c = [bearer, json, 'connection: upgrade', 'upgrade: h2c'];
  equal((await rawExchange(target, rawRequest('POST /v1/seal:seal', h2c, '{}')))?.status, 200);
  equal(await rawExchange(target, rawRequest('CONNECT example.org:443', [bearer])), undefined);
  const tunnel = [bearer, 'content-length: 9'];
  equal(await rawExchange(target, rawRequest('CONNECT example.org:443', tunnel)), undefined);
  equal((await rawExchange(target, alive))?.status, 200);
});

test('a connection ends after so many requests, after so long without one, and when nothing moves on it', async () => {
  const { handle } = held();
  await using gateway = await startHttpGateway(handle, {
    limits: { requestsPerConnectionMax: 2, keepAliveTimeoutMs: 1, idleTimeoutMs: 50 },
  });
  const target = targetOf(gateway);
  const third = await rawConnect(target);
  third.write(alive.repeat(3));
  match(
    await allOf(third),
    /^HTTP[^]*keep-alive[^]*\r\n\r\n\{"ok":true\}HTTP\/1\.1 200 [^]*connection: close/i,
  );
  const idle = await rawConnect(target);
  idle.write(alive);
  match(await allOf(idle), /^HTTP\/1\.1 200 /);
  const running = await rawConnect(target);
  running.write(rawRequest('POST /v1/secrets/a:put', [bearer, bytes], 'value'));
  equal(await allOf(running), '');
});
