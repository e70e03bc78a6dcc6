/** Containers by how they live: paused, renamed, restarted, short-lived, killed. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readInside, type Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { isCurrent, shownOf } from './shown.ts';

/** A paused container takes a rotation, and reads it when it goes on. */
export async function paused(story: Story): Promise<void> {
  await story.put('paused/token', 'before the pause');
  await story.grant('paused', ['paused/token']);
  const container = await story.container({ name: 'paused', labels: { app: 'paused' } });
  await isCurrent(story, 'paused');
  await container.pause();
  await story.put('paused/token', 'during the pause');
  await until('it has the new version', async () => {
    const [shown] = await shownOf(story, 'paused');
    return shown?.state === 'current' && shown.version === 2;
  });
  await container.unpause();
  equal((await container.exec(['cat', '/run/secrets/token'])).stdout, 'during the pause');
}

/** A name is a fact like any other: with another one the container is in other groups. */
export async function renamed(story: Story): Promise<void> {
  await story.put('renamed/here', 'while it is called so');
  await story.put('renamed/there', 'once it is called otherwise');
  await story.grantTo('renamed-here', { docker: { name: 'here-*' } }, ['renamed/here']);
  await story.grantTo('renamed-there', { docker: { name: 'there-*' } }, ['renamed/there']);
  const container = await story.container({ name: 'here-1' });
  const other = await story.container({ name: 'here-2' });
  const pids = [await container.pid(), await other.pid()];
  const here = '/run/secrets/here';
  await until('both have it', () => pids.every((pid) => readInside(pid, here) !== undefined));
  await container.rename('there-1');
  const [pid = 0, otherPid = 0] = pids;
  await until('it has what its new name gives it', () => {
    return readInside(pid, '/run/secrets/there') === 'once it is called otherwise';
  });
  equal(readInside(pid, here), undefined, 'and nothing of what the old one did');
  equal(
    readInside(otherPid, here),
    'while it is called so',
    'control: the other has its name still',
  );
  equal(await container.pid(), pid);
}

/** A restart is a new mount namespace: the files are there again, and nobody asked for it. */
export async function restarted(story: Story): Promise<void> {
  await story.put('restarted/token', 'again and again');
  await story.grant('restarted', ['restarted/token']);
  const container = await story.container({ name: 'restarted', labels: { app: 'restarted' } });
  await isCurrent(story, 'restarted');
  for (let round = 1; round <= times(3, 50); round += 1) {
    const before = (await shownOf(story, 'restarted'))[0]?.workloadId;
    await container.restart();
    await until('the new incarnation has its file', async () => {
      const [shown] = await shownOf(story, 'restarted');
      return shown?.workloadId !== before && shown?.state === 'current';
    });
    equal(readInside(await container.pid(), '/run/secrets/token'), 'again and again');
    equal((await shownOf(story, 'restarted')).length, 1, 'of the old incarnation nothing is shown');
  }
}

/** Containers that are gone before anyone can look leave nothing: no handle, no record, no wait. */
export async function shortLived(story: Story): Promise<void> {
  await story.put('short/token', 'hardly read');
  await story.grant('short', ['short/token']);
  await settled(story);
  const before = handlesOf(story);
  for (let batch = 0; batch < times(2, 40); batch += 1) {
    const starting = ['0', '0.01', '0.03', '0.05', '0.08', '0.1'].map((seconds) =>
      story.container({ command: ['sleep', seconds], labels: { app: 'short' } }),
    );
    for (const container of await Promise.all(starting)) await container.wait();
  }
  await settled(story);
  const workloads = await story.client.call('workload.list', { limit: 500 });
  deepEqual(
    workloads.output.items.filter(({ labels }) => labels['app'] === 'short'),
    [],
  );
  deepEqual(await story.holdings('short/token'), []);
  await until('no handle is left', () => handlesOf(story) <= before);
}

/** A container is killed while its secret changes as fast as it can; its neighbours do not notice. */
export async function killedInAStorm(story: Story): Promise<void> {
  await story.put('storm/token', 'version 0');
  await story.grant('storm', ['storm/token']);
  await settled(story);
  const before = handlesOf(story);
  const containers = await Promise.all(
    ['storm-a', 'storm-b', 'storm-c'].map((name) =>
      story.container({ name, labels: { app: 'storm' } }),
    ),
  );
  for (const name of ['storm-a', 'storm-b', 'storm-c']) await isCurrent(story, name);
  let last = '';
  const changes = times(40, 2000);
  for (let change = 1; change <= changes; change += 1) {
    last = `version ${change}`;
    await story.put('storm/token', last);
    if (change === changes / 2) void containers[1]?.kill();
  }
  const [first, killed, third] = containers;
  ok(first && killed && third);
  for (const { pid } of [{ pid: await first.pid() }, { pid: await third.pid() }]) {
    await until('it has the last version', () => readInside(pid, '/run/secrets/token') === last);
  }
  await until('of the killed one nothing is shown', async () => {
    return (await shownOf(story, 'storm-b')).length === 0;
  });
  await Promise.all(containers.map((container) => container.remove()));
  await until('no handle is left', () => handlesOf(story) <= before);
}

/** Open descriptors of the enforcer. */
function handlesOf(story: Story): number {
  return readdirSync(`/proc/${story.installation.enforcer?.child.pid}/fd`).length;
}

/** The enforcer remembers the running containers and no other. */
async function settled(story: Story): Promise<void> {
  const file = join(story.installation.directory, 'run', 'holdings.json');
  await until('the enforcer has seen what ended', async () => {
    const running = await story.engine.client.get('/containers/json');
    const { processes } = JSON.parse(readFileSync(file, 'utf8')) as { processes: unknown[] };
    return processes.length === (running as unknown as unknown[]).length;
  });
}
