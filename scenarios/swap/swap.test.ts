/**
 * G32: what is in a set is never swapped out.
 *
 * 1. There is swap, an enforcer that says so, and a container with a large set.
 * 2. The enforcer is killed, so that all that is left of its control group's memory is the set; beside it,
 *    the control: an ordinary tmpfs.
 * 3. The kernel is made to swap the group out. The control's content is on the swap device, of the set there
 *    is nothing, and it is all there in the container.
 */
import { equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readInside, Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { MemoryGroup } from './memory-group.ts';
import { run, SwapArea } from './swap-area.ts';

const filesCount = 16;
const fileBytes = 48 * 1024;

test('a set is not swapped out', async (t) => {
  using stack = new DisposableStack();
  const needed = provide(t, stack);
  if (!needed) return;
  const { swap, group } = needed;
  await using story = await Story.open(t, { images: ['busybox'] });
  if (!story) return;

  t.diagnostic('1. a set, while there is swap');
  await until('the node says that there is swap', async () => {
    const { output } = await story.client.call('node.list', {});
    return output.items[0]?.weakenings.includes('swap-on') === true;
  });
  const enforcer = story.installation.enforcer?.child.pid ?? 0;
  group.take(enforcer);
  const [ours, controls] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')];
  const content = `${ours} `.repeat(fileBytes / 33);
  const names = Array.from({ length: filesCount }, (_, index) => `swap/file-${index}`);
  await Promise.all(names.map((name) => story.put(name, content)));
  await story.grant('swap', names);
  const container = await story.container({ labels: { app: 'swap' } });
  const pid = await container.pid();
  const isWhole = (): boolean =>
    names.every((name) => readInside(pid, `/run/secrets/${name.slice(5)}`) === content);
  await until('it is there', isWhole);
  const table = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
  match(
    table,
    / \/run\/secrets ro,nosuid,nodev,noexec\S*(?: \S+)* - tmpfs coffer:\S+ rw\S*,noswap\b/,
  );

  t.diagnostic('2. only memory is left');
  await story.installation.enforcer?.stop('SIGKILL');
  const setBytes = filesCount * fileBytes;
  ok(group.sharedBytes >= setBytes, 'the set is in the group');
  const directory = mkdtempSync(join(tmpdir(), 'coffer-swap-'));
  run('mount', '-t', 'tmpfs', 'control', directory);
  try {
    const write = `echo $$ > ${group.processesFile}; cat > ${directory}/content`;
    spawnSync('sh', ['-c', write], { input: `${controls} `.repeat(fileBytes / 33) });

    t.diagnostic('3. it is pressed out');
    await until('the control is on the device', () => {
      group.press();
      return swap.read().includes(controls);
    });
    for (let more = 0; more < 3; more += 1) group.press();
    equal(countOf(swap.read(), ours), 0, 'of the set there is nothing');
    ok(isWhole());
    ok(group.sharedBytes >= setBytes, 'it has not left the group');

    t.diagnostic(`control ${countOf(swap.read(), controls)} times on the device, the set 0 times`);
  } finally {
    run('umount', directory);
    rmdirSync(directory);
  }
});

/** Swap and a group to press, or why there are none. */
function provide(
  t: TestContext,
  stack: DisposableStack,
): { readonly swap: SwapArea; readonly group: MemoryGroup } | undefined {
  if (process.getuid?.() !== 0) {
    t.skip('needs root: sudo npm run verify');
    return undefined;
  }
  // It would keep pages in memory that are not on the device yet.
  if (spawnSync('grep', ['-q', 'Y', '/sys/module/zswap/parameters/enabled']).status === 0) {
    t.skip('zswap is on: echo N > /sys/module/zswap/parameters/enabled');
    return undefined;
  }
  try {
    const group = stack.use(new MemoryGroup(`coffer-test-${process.pid}`));
    return { group, swap: stack.use(new SwapArea(64)) };
  } catch (error) {
    t.skip(`needs a swap area and a memory control group: ${(error as Error).message}`);
    return undefined;
  }
}

function countOf(bytes: Buffer, text: string): number {
  return bytes.toString('latin1').split(text).length - 1;
}
