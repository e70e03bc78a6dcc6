/**
 * Goal: a node that cannot get in as it is says so and does not knock all the time; one whose gateway is
 * merely gone tries again soon. Method: real connections to a port where nobody is, on a clock that only
 * counts how long it was to wait.
 */
import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../../base/log.ts';
import { type Random, systemRandom } from '../../base/random.ts';
import { makeAuthority } from '../../crypto/x509.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { nodeCredentials } from '../../testing/node-credentials.ts';
import { connect, keepConnected } from './uplink.ts';

const hourMs = 3_600_000;

/** The longest pauses that may be drawn, and what was logged, of so many attempts. */
async function attempts(count: number, sinceIssuedMs: number) {
  const clock = new ManualClock();
  const life = { trustDomain: 'test', nowMs: clock.wallMs(), lifetimeMs: hourMs };
  const authority = makeAuthority({ ...life, commonName: 'test', random: systemRandom });
  const credentials = nodeCredentials(authority, life);
  clock.advance(sinceIssuedMs);
  const pauses: number[] = [];
  const said: { readonly event: string; readonly code?: string; readonly hint?: string }[] = [];
  const stop = new AbortController();
  clock.sleep = async (delayMs) => {
    if (pauses.push(delayMs) === count) stop.abort();
  };
  const random: Random = { ...systemRandom, fraction: () => 0.999 };
  const write = (line: string): void => void said.push(JSON.parse(line) as (typeof said)[number]);
  const log = createLog({ clock, level: 'info', write });
  const options = {
    clock,
    random,
    log,
    connect: (signal: AbortSignal) => connect({ clock, credentials }, signal),
  };
  await keepConnected(options, stop.signal, () => Promise.resolve());
  return { pauses, said };
}

test('a gateway that is gone is tried every few seconds', async () => {
  const { pauses, said } = await attempts(20, 0);
  ok(Math.max(...pauses) <= 15_100, 'control');
  deepEqual(new Set(said.map(({ event }) => event)), new Set(['gateway.unreachable']));
});

test('a node whose certificate has ended says what to do, and knocks every few minutes', async () => {
  const { pauses, said } = await attempts(20, hourMs + 1);
  ok((pauses[0] ?? 0) < 1000, 'a gateway that is just going down refuses too');
  ok((pauses.at(-1) ?? 0) > 4 * 60_000);
  deepEqual(
    new Set(said.map(({ event, code }) => `${event} ${code}`)),
    new Set(['gateway.refused certificate.ended']),
  );
  ok(said.every(({ hint }) => hint?.includes('coffer node token NAME')));
});
