/**
 * What happens to secrets when gateway, enforcer, watchdog or the network between them fail.
 *
 * Killed in storms, on a lease of ten minutes:
 *  1. The enforcer is killed in the middle of rotations, again and again: it takes up what is there.
 *  2. A secret is revoked, one is put, a container starts, all while it is dead.
 *  3. The gateway is killed under load: no container sees a file missing or changed.
 * Silence, on a lease of five seconds (in the long form also of 30 and 300, and 200 silences in all), the
 * gateway in a network namespace of its own:
 *  4. Pauses shorter than the lease change nothing.
 *  5. The network swallows everything.   6. The gateway dies, and the network swallows that it did.
 *  7. Nobody knows the gateway's name any more.   8. The gateway hangs.   9. The enforcer was stopped.
 * Nobody there:
 * 10. The enforcer dies, and who read its log.   11. The enforcer hangs.   The watchdog wipes.
 * 12. A short lease under a gateway with a long one.
 */
import { suite, test, type TestContext } from 'node:test';
import { GatewayNetwork, type NetworkOrReason } from '../../src/testing/gateway-network.ts';
import { Story, times } from '../../src/testing/story.ts';
import { changedInItsAbsence, enforcerKilled, gatewayKilled, startStorm } from './kills.ts';
import { halfOpen, nameLost, packetsDropped } from './partitions.ts';
import {
  enforcerDies,
  enforcerHangs,
  enforcerStopped,
  gatewayHangs,
  shortLease,
  shortPause,
  type Silenced,
  startLeased,
} from './silence.ts';

const leaseMs = 5000;
const lease = (ms: number): readonly string[] => ['--lease-seconds', String(ms / 1000)];

/** Silences of four kinds each. */
const silences = [
  { leaseMs, rounds: times(1, 30) },
  { leaseMs: 30_000, rounds: times(0, 15) },
  { leaseMs: 300_000, rounds: times(0, 5) },
].filter(({ rounds }) => rounds > 0);

// They mostly wait, so they wait together.
suite('the life of an enforcer', { concurrency: 3 }, () => {
  test('killed in storms', async (t) => {
    await using story = await Story.open(t, { images: ['busybox'] });
    if (!story) return;
    const stormed = await startStorm(story);
    await using _storm = stormed.storm;
    await t.test('1. the enforcer is killed', () => enforcerKilled(stormed));
    await t.test('2. things change in its absence', () => changedInItsAbsence(stormed));
    await t.test('3. the gateway is killed', () => gatewayKilled(stormed));
    await t.test('12. a short lease', () => shortLease(story));
  });

  for (const silence of silences) {
    test(`silence, on a lease of ${silence.leaseMs / 1000} s`, async (t) => {
      const opened = GatewayNetwork.open();
      using network = opened.network;
      await using story = await Story.open(t, {
        images: ['busybox'],
        gatewayArguments: [...(network?.gatewayArguments ?? []), ...lease(silence.leaseMs)],
        ...(network ? { network } : {}),
      });
      if (!story) return;
      const silenced = await startLeased(story, silence.leaseMs);
      await t.test('4. short pauses', () => shortPause(silenced));
      for (let round = 1; round <= silence.rounds; round += 1) {
        await partitioned(t, silenced, opened);
        await t.test('8. the gateway hangs', () => gatewayHangs(silenced));
      }
      await t.test('9. the enforcer was stopped', () => enforcerStopped(silenced));
    });
  }

  test('nobody there', async (t) => {
    await using story = await Story.open(t, {
      images: ['busybox'],
      gatewayArguments: lease(leaseMs),
    });
    if (!story) return;
    const silenced = await startLeased(story, leaseMs);
    await t.test('10. the enforcer dies', () => enforcerDies(silenced));
    await t.test('11. the enforcer hangs', () => enforcerHangs(silenced));
  });
});

async function partitioned(
  t: TestContext,
  silenced: Silenced,
  { network, reason }: NetworkOrReason,
): Promise<void> {
  for (const [name, act] of [
    ['5. packets are dropped', packetsDropped],
    ['6. a connection that is half open', halfOpen],
    ['7. a name that is lost', nameLost],
  ] as const) {
    await t.test(name, { skip: reason ?? false }, () => act(silenced, network!));
  }
}
