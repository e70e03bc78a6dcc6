/**
 * G23: every rotation reaches every running container, in order, without a restart.
 *
 * 1. Containers run and have the secret.
 * 2. It is rotated, again and again; each rotation is seen in all of them before the next, while a watcher
 *    looks for a value that is missing, torn or older than the one before.
 * 3. They are the same containers and the same processes as before.
 * 4. Controls: the watcher finds a value that goes back, and one that is missing; a restart is noticed.
 *
 * How long it takes is printed and not judged: that is for `bench/propagate.ts`, which times it inside.
 */
import { deepEqual, equal, notDeepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock as clock } from '../../src/base/clock.ts';
import type { TestContainer } from '../../src/testing/container.ts';
import { FileWatcher, rising } from '../../src/testing/file-watcher.ts';
import { readInside, Story, times } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';

const containersCount = times(10, 100);
const rotations = times(50, 1000);
const path = '/run/secrets/counter';
test('a rotation reaches every running container', async (t) => {
  await using story = await Story.open(t, { images: ['busybox'] });
  if (!story) return;

  t.diagnostic('1. containers run');
  await story.put('rotation/counter', '0');
  await story.grant('rotation', ['rotation/counter']);
  const containers: TestContainer[] = [];
  while (containers.length < containersCount) {
    const starting = Array.from({ length: 5 }, () =>
      story.container({ labels: { app: 'rotation' } }),
    );
    containers.push(...(await Promise.all(starting)));
  }
  const lives = await livesOf(containers);
  const pids = lives.map(({ pid }) => pid);
  await until('all have it', () => pids.every((pid) => readInside(pid, path) === '0'));

  t.diagnostic('2. rotations');
  const tookMs: number[] = [];
  {
    await using watcher = new FileWatcher(pids, path, rising);
    for (let rotation = 1; rotation <= rotations; rotation += 1) {
      const startedMs = clock.monotonicMs();
      await story.put('rotation/counter', String(rotation));
      const value = String(rotation);
      await until(`rotation ${rotation} is everywhere`, () =>
        pids.every((pid) => readInside(pid, path) === value),
      );
      tookMs.push(clock.monotonicMs() - startedMs);
    }
    deepEqual(watcher.breaches, []);
    ok(watcher.looks >= containersCount * 2);
  }
  tookMs.sort((left, right) => left - right);
  const at = (part: number): string =>
    `${(tookMs[Math.floor(part * tookMs.length)] ?? 0).toFixed(1)} ms`;
  t.diagnostic(
    `${rotations} rotations in ${containersCount} containers, from the put to the last one:`,
  );
  t.diagnostic(`p50 ${at(0.5)}, p99 ${at(0.99)}`);

  t.diagnostic('3. the same containers');
  deepEqual(await livesOf(containers), lives);

  t.diagnostic('4. controls');
  const [first] = containers;
  ok(first);
  for (const [wrong, breach] of [
    ['echo -n 1 > new && mv new counter', '2 → 1'],
    ['rm counter', 'missing'],
  ] as const) {
    const run = (command: string) => first.exec(['sh', '-c', `cd /tmp && ${command}`]);
    await run('echo -n 2 > new && mv new counter');
    await using watcher = new FileWatcher([pids[0] ?? 0], '/tmp/counter', rising);
    const seen = watcher.looks;
    await until('it was seen', () => watcher.looks > seen + 1);
    await run(wrong);
    await until('the breach is found', () =>
      watcher.breaches.some((text) => text.endsWith(breach)),
    );
  }
  await first.restart();
  notDeepEqual((await livesOf([first]))[0], lives[0]);
  equal(
    (await livesOf(containers)).filter(({ pid }, index) => pid === lives[index]?.pid).length,
    containersCount - 1,
  );
});

interface Life {
  readonly pid: number;
  readonly startedAt: string;
  readonly restarts: number;
}

function livesOf(containers: readonly TestContainer[]): Promise<readonly Life[]> {
  return Promise.all(
    containers.map(async (container) => {
      const { State: state, RestartCount: restarts } = await container.inspect();
      return {
        pid: Number(state.Pid),
        startedAt: String(state.StartedAt),
        restarts: Number(restarts),
      };
    }),
  );
}
