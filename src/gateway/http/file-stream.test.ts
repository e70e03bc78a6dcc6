/**
 * Goal: a file that takes long to make arrives whole, and a reader that takes too little ends nobody's turn.
 * Method: files that wait, and readers that do not read, over real connections whose limits are short.
 * Controls: a gateway that keeps silent meanwhile, a reader that takes what it is sent.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { startHttpGateway } from '../../testing/http-gateway.ts';
import { rawConnect, rawRequest } from '../../testing/raw-http.ts';
import { bearer } from '../../testing/refusal-cases.ts';
import { until } from '../../testing/until.ts';

const hourMs = 3_600_000;
const backup = rawRequest('POST /v1/system:backup', [bearer]);

test('a file that is longer in the making than either end waits arrives whole', async () => {
  async function* late(): AsyncGenerator<Uint8Array> {
    await systemClock.sleep(3000);
    yield Buffer.from('first ');
    yield Buffer.from('second');
  }
  const download = async (heartbeatMs: number): Promise<string> => {
    await using gateway = await startHttpGateway(async () => ({ output: late() }), {
      limits: { heartbeatMs, idleTimeoutMs: 1000 },
    });
    const client = gateway.client({ timeoutMs: 1000 });
    const { pieces } = await client.download('system.backup', {});
    return Buffer.concat(await Array.fromAsync(pieces)).toString();
  };
  equal(await download(100), 'first second');
  await rejects(download(hourMs), { code: 'gateway.unreachable' }, 'control');
});

test('a failure in the making is told like any other, after however many heartbeats', async () => {
  const failing: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        await systemClock.sleep(300);
        throw new Error('no copy');
      },
    }),
  };
  await using gateway = await startHttpGateway(async () => ({ output: failing }), {
    limits: { heartbeatMs: 20 },
  });
  await rejects(gateway.client().download('system.backup', {}), { code: 'gateway.bug' });
});

/** Pieces without end, for whoever takes them. */
function endless() {
  const released = Promise.withResolvers<void>();
  const piece = Buffer.alloc(64 * 1024);
  return {
    released: released.promise,
    output: {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false, value: piece }),
        return: async () => {
          released.resolve();
          return { done: true, value: undefined };
        },
      }),
    },
  };
}

test('a reader that takes less than the least rate is cut, and what it held is free', async () => {
  const files = { idle: endless(), eager: endless() };
  const served = [files.idle, files.eager];
  await using gateway = await startHttpGateway(async () => ({ output: served.shift()?.output }), {
    limits: { fileBytesPerSecondMin: 1024, fileRateOverMs: 500, idleTimeoutMs: hourMs },
  });
  const target = { port: gateway.server.port, ca: gateway.certificate.authorityPem };
  const ended: string[] = [];
  void files.idle.released.then(() => ended.push('idle'));
  void files.eager.released.then(() => ended.push('eager'));
  const idle = await rawConnect(target);
  idle.pause();
  idle.write(backup);
  await until('the first is asked for', () => served.length === 1);
  const eager = await rawConnect(target);
  let taken = 0;
  eager.on('data', (bytes: Buffer) => (taken += bytes.length));
  eager.write(backup);
  await files.idle.released;
  const before = taken;
  await until('control: the other goes on', () => taken > before + 32 * 1024 * 1024);
  ok(!eager.destroyed);
  deepEqual(ended, ['idle']);
  for (const socket of [idle, eager]) socket.destroy();
  await files.eager.released;
});
