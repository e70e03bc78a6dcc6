/**
 * Goal: nobody waits long for a gateway that is not there, and a call has one end for all of its attempts.
 * Method: peers that accept and say nothing, before and after the handshake; a clock of the test's own says
 * when the time is over. Control: the same peer, while there is time, is tried again.
 */
import { deepEqual, equal, fail, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { type Clock, systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { systemRandom } from '../base/random.ts';
import { startHttpGateway } from '../testing/http-gateway.ts';
import { Client } from './client.ts';

interface Silent extends AsyncDisposable {
  readonly address: string;
  readonly accepted: readonly Socket[];
  /** Once so many have connected. */
  reached(count: number): Promise<void>;
}

/** Accepts whoever comes, and never says a word. */
async function startSilent(): Promise<Silent> {
  const accepted: Socket[] = [];
  let look = (): void => undefined;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    accepted.push(socket);
    look();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    accepted,
    reached: (count) =>
      new Promise((resolve) => {
        look = () => {
          if (accepted.length >= count) resolve();
        };
        look();
      }),
    async [Symbol.asyncDispose]() {
      for (const socket of accepted) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Only the test says when a timer is due. */
class HeldClock {
  readonly #timers = new Set<{ readonly delayMs: number; readonly act: () => void }>();
  readonly clock: Clock = {
    ...systemClock,
    setTimer: (delayMs, act) => {
      const timer = { delayMs, act };
      this.#timers.add(timer);
      return { cancel: () => this.#timers.delete(timer) };
    },
  };

  get delays(): readonly number[] {
    return [...this.#timers].map(({ delayMs }) => delayMs);
  }

  ring(): void {
    for (const timer of [...this.#timers]) timer.act();
  }
}

test('who accepts and says nothing is given up soon, and tried again', async () => {
  await using silent = await startSilent();
  for (const trust of [{}, { pins: [`sha256:${'0'.repeat(64)}`] }]) {
    const before = silent.accepted.length;
    const { clock } = new HeldClock();
    const options = { clock, random: systemRandom, connectTimeoutMs: 20, timeoutMs: 60_000 };
    const client = new Client({ address: silent.address, trust, ...options });
    await rejects(
      client.call('system.seal-status', {}),
      (error: { code: string; detail: object }) => {
        deepEqual(error.code, 'gateway.unreachable');
        return true;
      },
    );
    equal(silent.accepted.length - before, 3, 'control: there was time for all attempts');
    await client.close();
  }
});

test('one bound ends all attempts, and the one under way', async () => {
  await using silent = await startSilent();
  const held = new HeldClock();
  const options = { clock: held.clock, random: systemRandom };
  const client = new Client({
    ...options,
    ...{ address: silent.address, connectTimeoutMs: 60_000, timeoutMs: 70_000 },
  });
  const call = client.call('system.seal-status', {});
  await silent.reached(1);
  deepEqual(held.delays, [70_000], 'one timer for the call');
  held.ring();
  await rejects(call, { code: 'gateway.unreachable' });
  equal(silent.accepted.length, 1);
  deepEqual(held.delays, [], 'and none is left');
  await client.close();
});

test('a call that is given up ends at once, and leaves no connection', async () => {
  await using silent = await startSilent();
  for (const trust of [{}, { pins: [`sha256:${'0'.repeat(64)}`] }]) {
    const before = silent.accepted.length;
    const { clock } = new HeldClock();
    const options = { clock, random: systemRandom, connectTimeoutMs: 60_000, timeoutMs: 70_000 };
    const client = new Client({ address: silent.address, trust, ...options });
    const ending = new AbortController();
    const call = client.call('system.seal-status', {}, { signal: ending.signal });
    await silent.reached(before + 1);
    ending.abort();
    await rejects(call, { name: 'AbortError' });
    const ended = once(silent.accepted[before] ?? fail(), 'close');
    await client.close();
    await ended;
  }
});

test('a gateway that is asked and does not answer is waited for until then, and not asked again', async () => {
  const asked = Promise.withResolvers<void>();
  let count = 0;
  await using gateway = await startHttpGateway(() => {
    count += 1;
    asked.resolve();
    return new Promise(() => undefined);
  });
  const held = new HeldClock();
  const client = gateway.client({ clock: held.clock, timeoutMs: 60_000 });
  const call = client.call('secret.list', {});
  await asked.promise;
  held.ring();
  await rejects(call, { code: 'gateway.unreachable' });
  equal(count, 1);
});

test('who has answered, and is to be asked again when the time is over, is not called silent', async () => {
  const paused = Promise.withResolvers<void>();
  await using gateway = await startHttpGateway(() => {
    throw new Fault('rate.exceeded', { retryAfterSeconds: 5 });
  });
  const held = new HeldClock();
  const sleep = (): Promise<void> => {
    paused.resolve();
    return new Promise(() => undefined);
  };
  const client = gateway.client({ clock: { ...held.clock, sleep }, timeoutMs: 60_000 });
  const call = client.call('secret.list', {});
  await paused.promise;
  held.ring();
  await rejects(call, { code: 'rate.exceeded' });
});
