/** Goal: `system.status` shows what nodes said of themselves, to whom nodes may be shown. */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { bind, RequestRig } from '../../testing/request-rig.ts';

test('status lists each weak node that its reader may see', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  for (const name of ['db-1', 'web-1', 'web-2']) await rig.ask(owner, 'node.token', { name });
  rig.seenNodes.set('web-1', { weakenings: ['swap-on', 'no-watchdog'] });
  rig.seenNodes.set('db-1', { weakenings: ['swap-on'] });
  rig.seenNodes.set('web-2', {});
  rig.seenNodes.set('gone-1', { weakenings: ['swap-on'] });
  const { output } = await rig.ask(owner, 'system.status', {});
  deepEqual(output.nodeWeakenings, [
    { node: 'db-1', weakenings: ['swap-on'] },
    { node: 'web-1', weakenings: ['swap-on', 'no-watchdog'] },
  ]);
  const web = await rig.principal('web', bind('auditor', 'system', 'nodes/web-1'));
  const shown = await rig.ask(web, 'system.status', {});
  deepEqual(
    shown.output.nodeWeakenings.map(({ node }) => node),
    ['web-1'],
  );
});
