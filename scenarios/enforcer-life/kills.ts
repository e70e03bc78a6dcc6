/** Enforcer and gateway are killed in the middle of a storm of rotations, and come back. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { systemClock as clock } from '../../src/base/clock.ts';
import { parseSecretName } from '../../src/model/name.ts';
import { readInside, type Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { Storm } from './storm.ts';
import { constant, rising, FileWatcher } from '../../src/testing/file-watcher.ts';

const counter = '/run/secrets/counter';
const fixed = '/run/secrets/fixed';

export interface Stormed {
  readonly story: Story;
  readonly storm: Storm;
  readonly pids: readonly number[];
}

export async function startStorm(story: Story): Promise<Stormed> {
  const storm = new Storm(story, 'life/counter');
  await storm.settle();
  await story.put('life/fixed', 'never changes');
  await story.grant('life', ['life/counter', 'life/fixed']);
  const containers = await Promise.all(
    ['life-a', 'life-b', 'life-c'].map((name) =>
      story.container({ name, labels: { app: 'life' } }),
    ),
  );
  const pids = await Promise.all(containers.map((container) => container.pid()));
  const stormed = { story, storm, pids };
  await converged(stormed);
  return stormed;
}

/** G30: killed at any point, it converges: one mount each, the last value, and nothing was missing. */
export async function enforcerKilled({ story, storm, pids }: Stormed): Promise<void> {
  await using counting = new FileWatcher(pids, counter, rising);
  await using fixing = new FileWatcher(pids, fixed, constant('never changes'));
  const { installation } = story;
  for (let round = 1; round <= times(15, 1000); round += 1) {
    storm.blow();
    await clock.sleep(Math.random() * 150);
    installation.enforcer?.child.kill('SIGKILL');
    if (round % 3 === 0) {
      // Killed again, somewhere between its first instruction and its first assignment.
      const starting = installation.startEnforcer();
      await clock.sleep(Math.random() * 700);
      installation.enforcer?.child.kill('SIGKILL');
      await starting.catch(() => undefined);
    }
    await installation.startEnforcer();
    await converged({ story, storm, pids });
  }
  deepEqual(counting.breaches, []);
  deepEqual(fixing.breaches, []);
  ok(counting.looks > 100 && fixing.looks > 100);
}

/** What happens while no enforcer is there is made good when one is. */
export async function changedInItsAbsence({ story, storm, pids }: Stormed): Promise<void> {
  await story.put('life/leaked', 'known to the wrong people');
  await story.put('life/newcomer', 'for who comes later');
  await story.grantTo('life-leaked', { docker: { labels: { app: 'life' } } }, ['life/leaked'], {
    target: '/run/coffer/leaked',
  });
  await story.grant('life-newcomer', ['life/newcomer']);
  const leaked = '/run/coffer/leaked/leaked';
  await until('it is delivered', () => pids.every((pid) => readInside(pid, leaked) !== undefined));

  story.installation.enforcer?.child.kill('SIGKILL');
  const name = parseSecretName('life/leaked');
  await story.client.call('secret.revoke', { name });
  const last = await storm.settle();
  const newcomer = await story.container({ name: 'newcomer', labels: { app: 'life-newcomer' } });
  await story.installation.startEnforcer();

  await until('what was revoked is gone', () => pids.every((pid) => mountsOf(pid) === 1));
  ok(pids.every((pid) => readInside(pid, leaked) === undefined));
  await until('what was put is there', () =>
    pids.every((pid) => readInside(pid, counter) === last),
  );
  const pid = await newcomer.pid();
  await until('who was started has its file', () => {
    return readInside(pid, '/run/secrets/newcomer') === 'for who comes later';
  });
  equal(mountsOf(pid), 1);
}

/** G28: an outage shorter than the lease is invisible to workloads. */
export async function gatewayKilled({ story, storm, pids }: Stormed): Promise<void> {
  await using counting = new FileWatcher(pids, counter, rising);
  await using fixing = new FileWatcher(pids, fixed, constant('never changes'));
  const { installation } = story;
  for (let round = 1; round <= times(6, 100); round += 1) {
    storm.blow();
    await clock.sleep(Math.random() * 100);
    const { gateway } = installation;
    await gateway?.stop('SIGKILL');
    await installation.startGateway();
    await converged({ story, storm, pids });
  }
  deepEqual(counting.breaches, []);
  deepEqual(fixing.breaches, []);
}

async function converged({ storm, pids }: Stormed): Promise<void> {
  const last = await storm.settle();
  await until('every container has the last value', () =>
    pids.every((pid) => readInside(pid, counter) === last),
  );
  for (const pid of pids) equal(mountsOf(pid), 1, 'no mount is left over');
}

/** Mounts of ours in a container. */
function mountsOf(pid: number): number {
  return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split(' coffer:').length - 1;
}
