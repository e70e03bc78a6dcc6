/**
 * Goal: whoever upgrades nodes sees which version each of them runs.
 * Method: nodes that say theirs, that say none, and that have not been here.
 */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { RequestRig } from '../../testing/request-rig.ts';

test('node.list shows the version that each node last said', async () => {
  const rig = new RequestRig();
  const owner = await rig.owner();
  for (const name of ['old', 'new', 'quiet', 'absent'])
    await rig.ask(owner, 'node.token', { name });
  rig.seenNodes.set('old', { version: '0.1.0', connected: false });
  rig.seenNodes.set('new', { version: '0.2.0' });
  rig.seenNodes.set('quiet', {});
  const { output } = await rig.ask(owner, 'node.list', {});
  deepEqual(Object.fromEntries(output.items.map(({ name, version }) => [name, version])), {
    absent: undefined,
    new: '0.2.0',
    old: '0.1.0',
    quiet: undefined,
  });
});
