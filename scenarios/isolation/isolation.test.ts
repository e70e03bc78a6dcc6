/**
 * G33: twenty containers, each with a set of its own, all as close to one another as Docker lets them.
 *
 * 1. They get their sets. Where a mount would spread, or is in the way, there is none, and it says so.
 * 2. Each looks for all twenty values, everywhere: it finds its own, and those of neighbours whose processes
 *    it may look into by the kernel's rules.
 * 3. No mount table of the host shows any.
 * 4. Controls: what is put where others see it is found by the same search; root on the host finds all.
 */
import { deepEqual, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { type Neighbour, SharedDirectory, settleNeighbours } from './neighbours.ts';
import { search, valueOf } from './search.ts';

test("containers do not see what is their neighbours'", async (t) => {
  await using story = await Story.open(t, { images: ['busybox'] });
  if (!story) return;
  using directory = new SharedDirectory();
  const mark = randomBytes(12).toString('hex');
  const before = setsOnHost();

  t.diagnostic('1. they get their sets');
  const neighbours = await settleNeighbours(story, directory, (index) => valueOf(mark, index));
  await until('each has its set, or a reason', async () => {
    const holdings = await story.holdings();
    const settled = holdings.filter(({ state }) => state === 'current' || state === 'failed');
    return settled.length === neighbours.length;
  });
  const failed = (await story.holdings()).filter(({ state }) => state === 'failed');
  deepEqual(
    Object.fromEntries(failed.map(({ workload, fault }) => [workload, fault])),
    Object.fromEntries(
      neighbours.flatMap(({ index, refused }) =>
        refused ? [[`neighbour-${index}`, refused]] : [],
      ),
    ),
  );

  t.diagnostic('2. they look for all of them');
  for (const neighbour of neighbours) {
    deepEqual(await search(neighbour.container, mark), expectedOf(neighbour), neighbour.kind);
  }
  const documented = neighbours.flatMap(({ mayRead }) => mayRead).length;
  const pairs = neighbours.length * (neighbours.length - 1);
  t.diagnostic(`${pairs} pairs, 0 foreign values but ${documented} by way of shared process ids`);

  t.diagnostic('3. no mount table of the host');
  deepEqual(setsOnHost(), before, 'but what was there before');

  t.diagnostic('4. controls');
  const [onVolume, onMount] = [90, 91];
  const writer = neighbours[10]?.container;
  await writer?.exec(['sh', '-c', 'echo "$0" > /common/left', valueOf(mark, onVolume)]);
  const spread = join(directory.below('rshared'), 'spread');
  spawnSync('mkdir', [spread]);
  spawnSync('mount', ['-t', 'tmpfs', 'spread', spread]);
  writeFileSync(join(spread, 'left'), valueOf(mark, onMount));
  for (const [index, planted] of [
    [1, onVolume],
    [11, onVolume],
    [16, onVolume],
    [12, onMount],
    [14, onMount],
  ] as const) {
    const neighbour = neighbours[index];
    if (!neighbour) throw new Error(`there is no neighbour ${index}`);
    const found = await search(neighbour.container, mark);
    deepEqual(found, [...expectedOf(neighbour), planted], `control: ${neighbour.kind}`);
  }
  const root = await story.container({ hostPid: true, addCapabilities: ['SYS_PTRACE'] });
  const delivered = neighbours.filter(({ refused }) => refused === undefined);
  const pids = await Promise.all(delivered.map(({ container }) => container.pid()));
  const found = (await search(root, mark, pids)).filter((index) => index < onVolume);
  deepEqual(
    found,
    delivered.map(({ index }) => index),
    'control: root on the host finds all',
  );
});

function expectedOf({ index, refused, mayRead }: Neighbour): readonly number[] {
  const own = refused === undefined ? [index] : [];
  return [...own, ...mayRead].toSorted((left, right) => left - right);
}

/** Sets on the mount table of any process in the host's mount namespace. */
function setsOnHost(): readonly string[] {
  const own = readlinkSync('/proc/self/ns/mnt');
  const tables = readdirSync('/proc').flatMap((pid) => {
    // Looked at before and after: a container's first process comes from the host's namespace.
    const isHere = (): boolean => readlinkSync(`/proc/${pid}/ns/mnt`) === own;
    try {
      if (!/^\d+$/.test(pid) || !isHere()) return [];
      const table = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
      return isHere() ? [table] : [];
    } catch {
      // It has ended.
      return [];
    }
  });
  ok(tables.length > 3);
  const sets = tables.flatMap((table) => table.match(/ - tmpfs coffer:\S+/g) ?? []);
  return [...new Set(sets)].toSorted();
}
