/**
 * Podman instead of Docker: the same enforcer, through Docker's API.
 *
 * 1. A value is in the container that is entitled to it, for its user, and in no other.
 * 2. A container that is paused, which Podman does not count as running, keeps its file and gets the change.
 * 3. Podman's service ends and comes back: files stay, a change arrives meanwhile.
 * 4. A restart: a new mount namespace, and the file is there again.
 * 5. The secret is revoked: the file is gone, with a receipt.
 */
import { equal, ok } from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { parseSecretName } from '../../src/model/name.ts';
import { readInside, Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { startPodman } from './podman-engine.ts';

const path = '/run/secrets/token';
const labels = { app: 'podman' };

test('containers of Podman get their secrets', async (t) => {
  await using stack = new AsyncDisposableStack();
  const podman = await startPodman();
  if (!podman.engine) {
    t.skip(podman.reason);
    return;
  }
  const engine = stack.use(podman.engine);
  const story = await Story.open(t, { images: ['busybox'], engine });
  if (!story) return;
  stack.use(story);
  t.diagnostic(`podman ${engine.version}`);
  await story.put('podman/token', 'one');
  await story.grant('podman', ['podman/token']);

  t.diagnostic('1. placed');
  const app = await story.container({ labels, user: '1000:1000' });
  const other = await story.container({ labels: { app: 'other' } });
  const reads = async (text: string | undefined): Promise<void> => {
    const pid = await app.pid();
    await until(`it reads ${text}`, () => readInside(pid, path) === text);
  };
  await reads('one');
  const { uid, mode } = statSync(`/proc/${await app.pid()}/root${path}`);
  equal(uid, 1000);
  equal(mode & 0o777, 0o400);
  equal(readInside(await other.pid(), path), undefined, 'control: it is not entitled');

  t.diagnostic('2. paused');
  await app.pause();
  await story.put('podman/token', 'two');
  await reads('two');
  await app.unpause();

  t.diagnostic('3. without the service');
  const pid = await app.pid();
  await engine.stopService();
  await until('the enforcer has noticed', () => saw(story, 'runtime.down'));
  equal(readInside(pid, path), 'two');
  await story.put('podman/token', 'three');
  await until('the change arrives', () => readInside(pid, path) === 'three');
  await engine.startService();
  await until('it is heard again', () => saw(story, 'runtime.up', 2));
  equal(readInside(pid, path), 'three');

  t.diagnostic('4. restarted');
  await app.restart();
  ok((await app.pid()) !== pid);
  await reads('three');

  t.diagnostic('5. revoked');
  const secret = parseSecretName('podman/token');
  await story.client.call('secret.revoke', { name: secret });
  await reads(undefined);
  await until('the receipt is in', async () => {
    return (await story.client.call('holding.list', { secret })).output.items.length === 0;
  });
});

function saw(story: Story, event: string, times = 1): boolean {
  return story.logged.filter((line) => line['event'] === event).length >= times;
}
