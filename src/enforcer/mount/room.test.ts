/**
 * Goal: what was replaced stays readable as long as there is room for it and its grace lasts, and never costs
 * a new set its place.
 * Method: storms of sets of all sizes while no grace ends; graces that end when the test says so. Controls:
 * what is just too much, and the set before it.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { pageSize } from '../../linux/libc.ts';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';
import type { StoredSet } from './file-set.ts';
import type { FileSet, SetFile } from './mount.ts';
import { fits } from './room.ts';

const neverEnding = { ...systemClock, setTimer: () => ({ cancel: () => undefined }) };
const page = pageSize();

/** Of every set that is there, the oldest first. */
function revisionsIn(container: NamespaceContainer): number[] {
  return readdirSync(`/proc/${container.pid}/root/run/secrets`)
    .filter((name) => /^\.\.\d+$/.test(name))
    .map((name) => Number(name.slice(2)))
    .toSorted((a, b) => a - b);
}

const longest = (index: number): string => `${index}-`.padEnd(253, 'n');
const file = (name: string, size: number): SetFile => ({
  ...{ name, mode: 0o400, content: Buffer.alloc(size, name) },
});
/** As large as may be, each file with a page of its own that it just begins, under the longest names. */
function largest(revision: number): FileSet {
  const size = Math.floor(limits.setBytesMax / limits.setFilesMax / page) * page - page + 1;
  const some = Array.from({ length: limits.setFilesMax - 1 }, (_, at) => file(longest(at), size));
  const rest = limits.setBytesMax - some.length * size;
  return { revision, files: [...some, file(longest(limits.setFilesMax), rest)] };
}

describe('room for replaced sets', { skip: whyNoContainers(), timeout: 300_000 }, () => {
  test('is never missing for a new one, whatever sizes follow each other', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts({ clock: neverEnding });
    const place = placeIn(container);
    const small = (revision: number): FileSet => setOf(revision, { a: `${revision}` });
    const kept = (revision: number): FileSet => ({
      revision,
      files: [{ ...file('large', 0), content: 'keep' }, file('small', 1)],
    });
    const kinds: Readonly<Record<string, readonly ((revision: number) => FileSet)[]>> = {
      small: Array.from({ length: 1000 }, () => small),
      'small, then the largest, then small': [
        ...Array.from({ length: 500 }, () => small),
        ...Array.from({ length: 6 }, () => largest),
        ...Array.from({ length: 500 }, () => small),
      ],
      'a large file that is kept beside a small one that is not': [
        (revision) => ({
          revision,
          files: [file('large', limits.setBytesMax - 1), file('small', 1)],
        }),
        ...Array.from({ length: 500 }, () => kept),
      ],
      empty: Array.from({ length: 1000 }, () => (revision: number) => ({ revision, files: [] })),
    };
    let revision = 0;
    for (const [kind, sets] of Object.entries(kinds)) {
      for (const set of sets) await opened.mounts.place('room', place, set((revision += 1)));
      const there = revisionsIn(container);
      ok(there.length > 100, `${kind}: ${there.length} can be read still`);
      const newest = Array.from({ length: there.length }, (_, back) => revision - back);
      deepEqual(there, newest.toReversed(), `${kind}: the oldest went first`);
    }
    for (let round = 0; round < 3; round += 1) {
      await opened.mounts.place('room', place, largest((revision += 1)));
    }
    deepEqual(revisionsIn(container), [revision - 1, revision], 'of the largest there is one');
    await opened.mounts.withdraw('room');
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
  });

  test('is given back when the grace of a set is over, also while ever more are replaced', async () => {
    await using container = await NamespaceContainer.start();
    const ends: (() => void)[] = [];
    const clock = {
      ...systemClock,
      setTimer: (ms: number, act: () => void) => {
        if (ms === limits.replacedValueGraceMs) ends.push(act);
        return { cancel: () => undefined };
      },
    };
    await using opened = new TestMounts({ clock });
    const { mounts } = opened;
    const rotate = (revision: number) =>
      mounts.place('grace', placeIn(container), setOf(revision, { a: `${revision}` }));
    /** The one that runs. What it asks for is done before the next answer. */
    const end = async (): Promise<number[]> => {
      ends.shift()?.();
      await mounts.inspect('grace');
      return revisionsIn(container);
    };
    for (const revision of [1, 2, 3, 4]) await rotate(revision);
    equal(ends.length, 1, 'one timer at a time');
    deepEqual(revisionsIn(container), [1, 2, 3, 4]);
    deepEqual(await end(), [2, 3, 4], 'the others have not had theirs');
    await rotate(5);
    deepEqual(await end(), [4, 5], 'those that were replaced before it began');
    deepEqual(await end(), [5]);
    equal(ends.length, 0);
    await rotate(6);
    deepEqual([revisionsIn(container), await end()], [[5, 6], [6]]);
  });
});

test('fits counts every name, and a content once, unless the set in place has it', () => {
  type Stored = StoredSet['files'] extends Map<string, infer F> ? F : never;
  const stored = (size: number): Stored => ({
    ...{ mode: 0o400, owner: { uid: 0, gid: 0 }, chosen: {}, size, holders: 1 },
  });
  const setWith = (...files: Stored[]): StoredSet => ({
    ...{ revision: 1, name: '..1', mode: 0o500 },
    files: new Map(files.map((each, at) => [`${at}`, each])),
  });
  const [one, two, shared] = [stored(page), stored(page + 1), stored(5 * page)];
  const replaced = [setWith(one, shared), setWith(two, shared), setWith()];
  const current = setWith(shared);
  ok(fits(replaced, current, { pages: 3, inodes: 7 }));
  ok(!fits(replaced, current, { pages: 2, inodes: 7 }));
  ok(!fits(replaced, current, { pages: 3, inodes: 6 }));
  ok(fits(replaced, setWith(), { pages: 8, inodes: 7 }));
  ok(!fits(replaced, setWith(), { pages: 7, inodes: 7 }));
  ok(fits([], current, { pages: 0, inodes: 0 }));
});
