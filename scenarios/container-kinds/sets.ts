/** Containers by how much they are granted, and by how many grants. */
import { deepEqual, equal } from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { limits } from '../../src/base/limits.ts';
import { readInside, type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { faultOf, isCurrent, shownOf } from './shown.ts';

/** As many files as a set may have, and all of them anew in one change of each. */
export async function manyFiles(story: Story): Promise<void> {
  const names = Array.from({ length: limits.setFilesMax }, (_, index) => `file-${index}`);
  await Promise.all(names.map((name) => story.put(`many/${name}`, `${name} v1`)));
  await story.grant(
    'many',
    names.map((name) => `many/${name}`),
  );
  const container = await story.container({ name: 'many', labels: { app: 'many' } });
  await isCurrent(story, 'many', names.length);
  const pid = await container.pid();
  await Promise.all(names.map((name) => story.put(`many/${name}`, `${name} v2`)));
  await until('every file is at version 2', () =>
    names.every((name) => readInside(pid, `/run/secrets/${name}`) === `${name} v2`),
  );
  const visible = readdirSync(`/proc/${pid}/root/run/secrets`).filter((name) => name[0] !== '.');
  deepEqual(visible.toSorted(), names.toSorted());
}

/** A set at its largest is delivered and rotated; one beyond is refused, and nobody else suffers. */
export async function largeSets(story: Story): Promise<void> {
  const size = limits.secretValueBytesMax;
  const fitting = Math.floor(limits.setBytesMax / size);
  const names = Array.from({ length: limits.setFilesMax }, (_, index) => `blob-${index}`);
  await Promise.all(names.map((name) => story.put(`large/${name}`, Buffer.alloc(size, 'a'))));
  await story.grant(
    'large',
    names.slice(0, fitting).map((name) => `large/${name}`),
  );
  const container = await story.container({ name: 'large', labels: { app: 'large' } });
  await isCurrent(story, 'large', fitting);
  for (const letter of 'bcd') {
    await Promise.all(
      names.slice(0, fitting).map((name) => story.put(`large/${name}`, Buffer.alloc(size, letter))),
    );
  }
  const pid = await container.pid();
  await until('every file is the last', () =>
    names
      .slice(0, fitting)
      .every((name) => readInside(pid, `/run/secrets/${name}`) === 'd'.repeat(size)),
  );

  // A little too much, and far too much for one message.
  for (const [group, count] of [
    ['too-large', fitting + 1],
    ['far-too-large', names.length],
  ] as const) {
    await story.grant(
      group,
      names.slice(0, count).map((name) => `large/${name}`),
    );
    await story.container({ name: group, labels: { app: group } });
    equal(await faultOf(story, group), 'limit.exceeded', group);
  }
  const disconnected = story.logged.filter(({ event }) => event === 'node.disconnected');
  deepEqual(disconnected, [], 'the node stayed connected all the time');
}

/** Two grants reach one container: in one directory, in two, and in conflict over a name. */
export async function twoGrants(story: Story): Promise<void> {
  for (const name of ['base', 'extra', 'clash']) await story.put(`two/${name}`, `from ${name}`);
  const labels = { app: 'two-a', tier: 'backend' };
  const container = await story.container({ name: 'two-grants', labels });
  await story.grant('two-a', ['two/base', { secret: 'two/base', file: 'shared' }]);
  await story.grantTo('two-b', { docker: { labels: { tier: 'backend' } } }, [
    'two/extra',
    { secret: 'two/clash', file: 'shared' },
  ]);
  await story.grantTo('two-c', { docker: { name: 'two-grants' } }, ['two/extra'], {
    target: '/run/coffer/app',
  });
  const pid = await container.pid();
  await until('both directories are there', () => {
    return (
      readInside(pid, '/run/coffer/app/extra') === 'from extra' &&
      readInside(pid, '/run/secrets/extra') === 'from extra'
    );
  });
  equal(readInside(pid, '/run/secrets/base'), 'from base');
  // The name goes to the first group; the other is told, and keeps its other files.
  equal(readInside(pid, '/run/secrets/shared'), 'from base');
  await until('the collision is shown', async () => {
    const shown = await shownOf(story, 'two-grants');
    return shown.some(({ secret, fault }) => {
      return secret === 'two/clash' && fault === 'grant.file-collision';
    });
  });
  const notCurrent = async (): Promise<readonly string[]> =>
    (await shownOf(story, 'two-grants'))
      .filter(({ state }) => state !== 'current')
      .map(({ secret }) => secret);
  // What is seen inside may be there before its receipt.
  await until('all receipts are in', async () => (await notCurrent()).length === 1);
  deepEqual(await notCurrent(), ['two/clash']);
}
