/**
 * What happens to secrets when gateway, enforcer, watchdog or the network between them fail.
 *
 * Killed in storms, on a lease of ten minutes:
 *  1. The enforcer is killed in the middle of rotations, again and again: it takes up what is there.
 *  2. A secret is revoked, one is put, a container starts, all while it is dead.
 *  3. The gateway is killed under load: no container sees a file missing or changed.
 * Silence, on a lease of five seconds:
 *  4. Pauses shorter than the lease change nothing.
 *  5. The network swallows everything.   6. The gateway hangs.   7. The enforcer was stopped.
 * Nobody there:
 *  8. The enforcer dies.   9. The enforcer hangs.   The watchdog wipes.
 * 10. A short lease under a gateway with a long one.
 */
import { suite, test } from 'node:test';
import { Story } from '../../src/testing/story.ts';
import { NetworkPath } from '../../src/testing/network-path.ts';
import { changedInItsAbsence, enforcerKilled, gatewayKilled, startStorm } from './kills.ts';
import {
  enforcerDies,
  enforcerHangs,
  enforcerStopped,
  gatewayHangs,
  leaseMs,
  packetsDropped,
  shortLease,
  shortPause,
  startLeased,
} from './silence.ts';

const lease = ['--lease-seconds', String(leaseMs / 1000)];

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
    await t.test('10. a short lease', () => shortLease(story));
  });

  test('silence', async (t) => {
    await using path = await NetworkPath.open();
    const gatewayArguments = [...path.gatewayArguments, ...lease];
    await using story = await Story.open(t, { images: ['busybox'], gatewayArguments });
    if (!story) return;
    const silenced = await startLeased(story);
    await t.test('4. short pauses', () => shortPause(silenced));
    await t.test('5. packets are dropped', () => packetsDropped(silenced, path));
    await t.test('6. the gateway hangs', () => gatewayHangs(silenced));
    await t.test('7. the enforcer was stopped', () => enforcerStopped(silenced));
  });

  test('nobody there', async (t) => {
    await using story = await Story.open(t, { images: ['busybox'], gatewayArguments: lease });
    if (!story) return;
    const silenced = await startLeased(story);
    await t.test('8. the enforcer dies', () => enforcerDies(silenced));
    await t.test('9. the enforcer hangs', () => enforcerHangs(silenced));
  });
});
