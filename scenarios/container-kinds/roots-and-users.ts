/** Containers by what they are made of: their root, their user, the programs they have. */
import { equal, match, ok } from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { parseSecretName } from '../../src/model/name.ts';
import { readInside, type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { faultOf, isCurrent } from './shown.ts';

const file = '/run/secrets/token';

/** Read-only roots: with a tmpfs on /run, with an empty /run, and with neither. */
export async function readOnlyRoots(story: Story): Promise<void> {
  await story.put('roots/token', 'for read-only roots');
  await story.grant('roots', ['roots/token']);
  const common = { readOnlyRoot: true, labels: { app: 'roots' } } as const;

  const onTmpfs = await story.container({ ...common, name: 'on-tmpfs', tmpfs: { '/run': '' } });
  await isCurrent(story, 'on-tmpfs');
  equal(readInside(await onTmpfs.pid(), file), 'for read-only roots');

  // The image brings an empty /run: nobody can write there, so it stands in for the directory.
  const onRun = await story.container({ ...common, name: 'on-empty-run' });
  await isCurrent(story, 'on-empty-run');
  equal(readInside(await onRun.pid(), file), 'for read-only roots');
  await secondTarget(story, await onRun.pid());

  // Nothing to mount on, and none can be made: said, not worked around.
  const bare = { ...common, image: 'distroless' } as const;
  await story.container({ ...bare, name: 'on-nothing' });
  equal(await faultOf(story, 'on-nothing'), 'mount.target-missing');

  // What its hint says to do.
  const mended = await story.container({ ...bare, name: 'mended', tmpfs: { '/run/secrets': '' } });
  await isCurrent(story, 'mended');
  equal((await mended.exec(['/cat', file])).stdout, 'for read-only roots');
}

/** A directory beside the first, where none can be made. Once nothing is due, nothing of ours is there. */
async function secondTarget(story: Story, pid: number): Promise<void> {
  await story.put('roots/second', 'beside the first');
  const match = { docker: { name: 'on-empty-run' } };
  await story.grantTo('roots-second', match, ['roots/second'], { target: '/run/coffer/second' });
  await isCurrent(story, 'on-empty-run', 2);
  equal(readInside(pid, '/run/coffer/second/second'), 'beside the first');
  const mounts = (): string => readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
  ok(mounts().includes(' tmpfs coffer'), 'control');
  for (const name of ['roots/second', 'roots/token']) {
    await story.client.call('secret.revoke', { name: parseSecretName(name) });
  }
  await until('all of it is gone', () => !mounts().includes(' tmpfs coffer'));
  await story.put('roots/token', 'for read-only roots');
  await isCurrent(story, 'on-empty-run');
}

/** The container's user reads its files; another user in the same container does not. */
export async function users(story: Story): Promise<void> {
  await story.put('users/token', 'for one user');
  await story.grant('users', ['users/token', { secret: 'users/token', file: 'all', mode: '0444' }]);
  const container = await story.container({
    name: 'with-user',
    user: '1000:1000',
    labels: { app: 'users' },
  });
  await isCurrent(story, 'with-user', 2);

  const { uid, gid, mode } = statSync(await container.hostPath(file));
  equal(`${uid}:${gid} ${(mode & 0o777).toString(8)}`, '1000:1000 400');
  equal((await container.exec(['cat', file])).stdout, 'for one user');
  const other = await container.exec(['cat', file], { user: 'nobody' });
  equal(other.exitCode, 1);
  match(other.stderr, /Permission denied/);
  equal(
    (await container.exec(['cat', '/run/secrets/all'], { user: 'nobody' })).stdout,
    'for one user',
  );
  // Root inside reads everything inside: said in the threat model.
  equal((await container.exec(['cat', file], { user: 'root' })).exitCode, 0);
  // Nobody inside writes, root neither.
  const write = await container.exec(['sh', '-c', `echo x > ${file}`], { user: 'root' });
  match(write.stderr, /Read-only file system/);
}

/** No shell, no mount program, no libc: nothing in the image is ever run. */
export async function distroless(story: Story): Promise<void> {
  await story.put('distroless/token', 'for a lone program');
  await story.grant('distroless', ['distroless/token']);
  const container = await story.container({
    image: 'distroless',
    name: 'lone-program',
    user: '65534:65534',
    labels: { app: 'distroless' },
  });
  await isCurrent(story, 'lone-program');
  equal((await container.exec(['/cat', file])).stdout, 'for a lone program');
}
