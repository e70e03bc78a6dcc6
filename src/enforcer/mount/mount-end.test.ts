/**
 * Goal: a bug in the thread that makes the calls is said, and who waits for its end hears of it.
 * Method: a process that no caller may name is a bug, which ends the thread. Control: a thread that is told
 * to end.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { createLog } from '../../base/log.ts';
import { TestMounts } from '../../testing/mount-setup.ts';
import { whyNoContainers } from '../../testing/namespace-container.ts';

const nobody = { pid: 0, startTicks: 1, mountNamespace: 1 };
const skip = whyNoContainers();

test('the end of the thread by a bug is said, and nothing is asked of it any more', {
  skip,
}, async () => {
  const lines: string[] = [];
  const log = createLog({ clock: systemClock, level: 'info', write: (line) => lines.push(line) });
  await using opened = new TestMounts({ log });
  const { mounts } = opened;
  equal(await mounts.inspect('none'), 'gone', 'control: a thread that lives answers');
  equal(mounts.isStuck, false);
  await rejects(mounts.find(nobody), /a process id is a positive number/);
  await rejects(mounts.ended, /a process id is a positive number/);
  await rejects(mounts.inspect('none'), /a process id is a positive number/);
  ok(mounts.isStuck, 'no lease is prolonged by it');
  const events = lines.map((line) => (JSON.parse(line) as { readonly event: string }).event);
  deepEqual(events, ['mount.ended']);
});

test('control: a thread that is told to end ends nothing else', { skip }, async () => {
  const lines: string[] = [];
  const log = createLog({ clock: systemClock, level: 'debug', write: (line) => lines.push(line) });
  const opened = new TestMounts({ log });
  let ended = false;
  opened.mounts.ended.catch(() => (ended = true));
  await opened.mounts.inspect('none');
  await opened.mounts.close();
  deepEqual([ended, lines], [false, []]);
});
