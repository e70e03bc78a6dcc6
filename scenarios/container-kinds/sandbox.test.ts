/**
 * A container whose engine runs it in a sandbox, as gVisor or Kata, is told apart from one that holds its
 * files: nothing is mounted, and `coffer where` says why.
 *
 * The engine is given two more runtimes, which are runc under other names: one whose program is called like
 * gVisor's, and one that is not. The containers of the second, and of runc itself, are the controls.
 */
import { equal } from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseSecretName } from '../../src/model/name.ts';
import { startPrivateEngine } from '../../src/testing/engine.ts';
import { readInside, Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';

const path = '/run/secrets/token';
const secret = 'sandbox/token';

test('containers in a sandbox are not said to hold what they cannot see', async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'coffer-sandbox-'));
  stack.defer(() => rmSync(directory, { recursive: true }));
  const added = ['runsc', 'other'].flatMap((program) => {
    symlinkSync('/usr/sbin/runc', join(directory, program));
    return ['--add-runtime', `my-${program}=${join(directory, program)}`];
  });
  const own = await startPrivateEngine(added);
  if (!own.engine) {
    t.skip(own.reason);
    return;
  }
  const engine = stack.use(own.engine);
  const story = await Story.open(t, { images: ['busybox'], engine });
  if (!story) return;
  stack.use(story);
  await story.put(secret, 'one');
  await story.grant('sandbox', [secret]);
  const states = async (): Promise<string> => {
    const { output } = await story.client.call('holding.list', { secret: parseSecretName(secret) });
    const shown = output.items.map(({ workload, state, fault }) => `${workload} ${fault ?? state}`);
    return shown.toSorted().join(', ');
  };
  const pids = new Map<string, number>();
  for (const Runtime of ['my-runsc', 'my-other', 'runc']) {
    const labels = { app: 'sandbox' };
    const container = await story.container({ name: Runtime, labels, hostConfig: { Runtime } });
    pids.set(Runtime, await container.pid());
  }
  const expected = 'my-other current, my-runsc mount.sandboxed, runc current';
  await until('all are known', async () => (await states()) === expected);
  const reads = (name: string) => readInside(pids.get(name) ?? 0, path);
  equal(reads('my-runsc'), undefined);
  equal(reads('my-other'), 'one', 'control');
  equal(reads('runc'), 'one', 'control');
});
