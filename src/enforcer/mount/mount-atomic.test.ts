/**
 * Goal: a reader sees the old set or the new set, whole, for as long as a replaced set's grace lasts (G24);
 * a mixture of two it never sees.
 * Method: threads read eight files as one set, over and over, through the container's own root, while
 * the set is rotated, as things are in production. The control writes the same files one by one, and the same
 * readers catch it.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';
import { SetReader, type SetReadings } from '../../testing/set-reader.ts';
import { until } from '../../testing/until.ts';
import type { FileSet } from './mount.ts';

const long = process.env['COFFER_LONG'] === '1';
const paces = [
  // Far faster than anybody rotates a secret.
  { pace: 'fifty times a second', pauseMs: 20, rotations: long ? 1000 : 150 },
  { pace: 'in a storm', pauseMs: 0, rotations: long ? 10_000 : 1000 },
] as const;
const setsMin = long ? 1_000_000 : 300;
const readersCount = long ? 4 : 2;
const names = Array.from({ length: 8 }, (_, index) => `file-${index}`);

function numbered(revision: number): FileSet {
  const text = `revision ${revision} `.padEnd(200, 'x');
  return setOf(revision, Object.fromEntries(names.map((name) => [name, text])));
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('sets are replaced as a whole', { skip: whyNoContainers(), timeout: 300_000 }, () => {
  for (const { pace, pauseMs, rotations } of paces) {
    test(`no reader sees two sets mixed, ${pace}`, async (t) => {
      await using container = await NamespaceContainer.start();
      await using opened = new TestMounts();
      const place = placeIn(container);
      let revision = 1;
      await opened.mounts.place('atomic', place, numbered(revision));
      const directory = `/proc/${container.pid}/root/run/secrets/..data`;
      const readers = Array.from(
        { length: readersCount },
        () => new SetReader({ directory, names }),
      );
      const readings = (): SetReadings[] => readers.map((reader) => reader.readings);
      const read = (): number => readings().reduce((sum, { whole }) => sum + whole, 0);
      try {
        await until('a set is read', () => read() > 0);
        while (revision <= rotations) {
          revision += 1;
          await opened.mounts.place('atomic', place, numbered(revision));
          await (pauseMs > 0 ? systemClock.sleep(pauseMs) : nextTurn());
        }
        await until(`${setsMin} sets are read`, () => read() >= setsMin, { withinMs: 240_000 });
      } finally {
        for (const reader of readers) await reader.stop();
      }
      for (const { torn, vanished, whole, late } of readings()) {
        t.diagnostic(`${whole} whole, ${vanished} vanished, ${late} late`);
        equal(torn, 0);
        // In a storm the tmpfs is full of replaced sets before the grace of the first is over.
        if (pauseMs > 0) equal(vanished, 0);
      }
    });
  }

  test('control: files that are written one by one are seen torn or empty', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'coffer-torn-'));
    const write = (revision: number): void => {
      for (const { name, content } of numbered(revision).files) {
        writeFileSync(join(directory, name), content);
      }
    };
    write(0);
    const reader = new SetReader({ directory, names });
    try {
      const caught = (): number => reader.readings.torn + reader.readings.vanished;
      for (let round = 1; caught() === 0 && round < 100_000; round += 1) {
        write(round);
        if (round % 16 === 0) await nextTurn();
      }
    } finally {
      const { torn, vanished } = await reader.stop();
      ok(torn + vanished > 0);
      rmSync(directory, { recursive: true });
    }
  });

  test('a reader in the middle of the old set can finish it, until it is retired', async () => {
    await using container = await NamespaceContainer.start();
    let retire = (): void => {};
    const clock = {
      ...systemClock,
      setTimer: (_delayMs: number, act: () => void) => {
        retire = act;
        return { cancel: () => undefined };
      },
    };
    await using opened = new TestMounts({ clock });
    const place = placeIn(container);
    await opened.mounts.place('grace', place, setOf(1, { a: 'old a', b: 'old b' }));
    const old = openSync(`/proc/${container.pid}/root/run/secrets/..data`, 'r');
    try {
      const readOld = (name: string): string =>
        readFileSync(`/proc/self/fd/${old}/${name}`, 'utf8');
      await opened.mounts.place('grace', place, setOf(2, { a: 'new a', b: 'new b' }));
      equal(await container.run('cat /run/secrets/a'), 'new a');
      deepEqual([readOld('a'), readOld('b')], ['old a', 'old b']);
      const open = openSync(`/proc/self/fd/${old}/a`, 'r');
      retire();
      await opened.mounts.inspect('grace');
      equal(readFileSync(open, 'utf8'), '');
      closeSync(open);
      equal(await container.run('ls -A /run/secrets'), '..2\n..data\na\nb');
    } finally {
      closeSync(old);
    }
  });

  test('an urgent set leaves nothing of the old one, also for open descriptors', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts({ graceMs: 3_600_000 });
    const place = placeIn(container);
    await opened.mounts.place('urgent', place, setOf(1, { a: 'leaked', b: 'same' }));
    await opened.mounts.place('urgent', place, setOf(2, { a: 'leaked too', b: 'same' }));
    const path = `/proc/${container.pid}/root/run/secrets`;
    const open = [`${path}/..1/a`, `${path}/..2/a`].map((file) => openSync(file, 'r'));
    const kept = openSync(`${path}/b`, 'r');
    await opened.mounts.place('urgent', place, {
      revision: 3,
      urgent: true,
      files: [
        { name: 'a', mode: 0o400, content: Buffer.from('fresh') },
        { name: 'b', mode: 0o400, content: 'keep' },
      ],
    });
    deepEqual(
      open.map((fd) => readFileSync(fd, 'utf8')),
      ['', ''],
    );
    equal(readFileSync(kept, 'utf8'), 'same');
    equal(
      await container.run('cat /run/secrets/*; echo; ls -A /run/secrets'),
      'freshsame\n..3\n..data\na\nb',
    );
    for (const fd of [...open, kept]) closeSync(fd);
  });
});
