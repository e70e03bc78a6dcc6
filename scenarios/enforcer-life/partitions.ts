/** Nothing comes from the gateway any more, for what happens in the network between it and the node (G26). */
import { deepEqual, equal } from 'node:assert/strict';
import { systemClock as clock } from '../../src/base/clock.ts';
import { constant, FileWatcher } from '../../src/testing/file-watcher.ts';
import type { GatewayNetwork } from '../../src/testing/gateway-network.ts';
import { isThere, type Silenced, wipedByItself, wipedInTime, wipedPath } from './silence.ts';

/** Nothing passes, and nobody is told. */
export async function packetsDropped(silenced: Silenced, network: GatewayNetwork): Promise<void> {
  const reasons = await disconnections(silenced, async () => {
    await wipedInTime(silenced, wipedByItself, () => network.cut());
  });
  deepEqual(reasons, ['silent']);
  network.heal();
  await isThere(silenced, 'value 1');
}

/** The gateway has died, and its machine's word of that is lost: to the node the connection is open. */
export async function halfOpen(silenced: Silenced, network: GatewayNetwork): Promise<void> {
  const { installation } = silenced.story;
  const reasons = await disconnections(silenced, async () => {
    await wipedInTime(silenced, wipedByItself, async () => {
      network.loseFarewells();
      await installation.gateway?.stop('SIGKILL');
    });
  });
  deepEqual(reasons, ['silent']);
  network.heal();
  await installation.startGateway();
  await isThere(silenced, 'value 1');
}

/** The gateway is there, and nobody can find it. */
export async function nameLost(silenced: Silenced, network: GatewayNetwork): Promise<void> {
  const { installation } = silenced.story;
  network.forgetName();
  {
    // Control: who is connected asks for no name.
    await using watcher = new FileWatcher([silenced.pid], wipedPath, constant('value 1'));
    await clock.sleep(silenced.leaseMs * 1.2);
    deepEqual(watcher.breaches, []);
  }
  const reasons = await disconnections(silenced, async () => {
    await wipedInTime(silenced, wipedByItself, async () => {
      await installation.gateway?.stop('SIGKILL');
      await installation.startGateway();
    });
  });
  equal(reasons.includes('silent'), false, 'it saw the connection end');
  network.knowName();
  await isThere(silenced, 'value 1');
}

/** Why the enforcer's connections ended meanwhile. */
async function disconnections(
  { story }: Silenced,
  act: () => Promise<void>,
): Promise<readonly unknown[]> {
  const before = story.logged.length;
  await act();
  return story.logged
    .slice(before)
    .filter(({ program, event }) => program === 'enforcer' && event === 'gateway.disconnected')
    .map(({ reason }) => reason);
}
