/**
 * Goal: no answer can be longer or later than allowed.
 * Method: a server on a unix socket that answers as each case wants it; time is a clock of the test.
 */
import { equal, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Clock, systemClock } from '../base/clock.ts';
import { UnixHttp } from './unix-http.ts';

async function serve(answer: RequestListener) {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-http-'));
  const socketPath = join(directory, 'socket');
  const server = createServer(answer);
  await once(server.listen(socketPath), 'listening');
  let expire = (): void => undefined;
  const clock: Clock = {
    ...systemClock,
    setTimer(_delayMs, act) {
      expire = act;
      return { cancel: () => undefined };
    },
  };
  return {
    http: new UnixHttp({ socketPath, clock, timeoutMs: 1, bodyBytesMax: 1000 }),
    expire: () => expire(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

test('UnixHttp takes an answer at the bound and refuses one above it', async () => {
  await using at = await serve((_request, response) => response.end('x'.repeat(1000)));
  const reply = await at.http.send({ method: 'GET', path: '/' });
  equal(reply.body.length, 1000);
  await using above = await serve((_request, response) => response.end('x'.repeat(1001)));
  await rejects(above.http.send({ method: 'GET', path: '/' }), { code: 'limit.exceeded' });
});

test('UnixHttp gives up on a server that is silent, before and within the answer', async () => {
  for (const begin of [false, true]) {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    await using silent = await serve((_request, response) => {
      if (begin) response.write('x');
      resolve();
    });
    const sending = silent.http.send({ method: 'GET', path: '/' });
    await asked;
    silent.expire();
    await rejects(sending, { code: 'ETIMEDOUT' });
  }
});

test('UnixHttp rejects with the reason of an abort, and ends a stream that was opened', async () => {
  await using endless = await serve((_request, response) => response.write('x'));
  const abort = new AbortController();
  const incoming = await endless.http.open({ method: 'GET', path: '/', signal: abort.signal });
  const reading = incoming.toArray();
  abort.abort(new Error('enough'));
  await rejects(reading);
  const sending = endless.http.send({ method: 'GET', path: '/', signal: abort.signal });
  await rejects(sending, /enough/);
});

test('UnixHttp passes on what the connection says', async () => {
  const options = { clock: systemClock, timeoutMs: 1000, bodyBytesMax: 1000 };
  const http = new UnixHttp({ ...options, socketPath: '/nonexistent/socket' });
  await rejects(http.send({ method: 'GET', path: '/' }), { code: 'ENOENT' });
});
