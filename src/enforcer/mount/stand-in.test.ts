/**
 * Goal: where a read-only root lacks the directories, every target of a container gets its own, and all of
 * it goes with the last set; targets that lie one inside the other are refused with a word of their own.
 * Method: containers whose root has an empty /run and nothing else. Controls: the same on a root that can be
 * written to, and targets that lie beside each other.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { describe, test } from 'node:test';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';

const skip = whyNoContainers();
const targets = ['/run/secrets', '/run/coffer/db', '/run/coffer/app'] as const;
const nothing = async (container: NamespaceContainer): Promise<void> => {
  equal(await container.run('grep -c coffer /proc/mounts; ls -A /run'), '0');
};

describe('several targets', { skip, timeout: 120_000 }, () => {
  for (const options of [{ readOnlyRoot: true }, { readOnlyRoot: true, uid: 7 }]) {
    test(`live and die each for itself on a root with an empty /run, ${JSON.stringify(options)}`, async () => {
      await using container = await NamespaceContainer.start(options);
      await using opened = new TestMounts();
      const { mounts } = opened;
      const idOf = (target: string): string => target.replaceAll('/', '.');
      const place = (target: string, revision: number) => {
        const set = setOf(revision, { a: `${target} ${revision}` });
        return mounts.place(idOf(target), placeIn(container, target), set);
      };
      await nothing(container);
      const placed = await Promise.all(targets.map((target) => place(target, 1)));
      deepEqual(
        placed.map(({ outcome, state }) => [outcome, state]),
        targets.map(() => ['mounted', 'in-place']),
      );
      for (const target of targets) equal(await container.run(`cat ${target}/a`), `${target} 1`);
      equal((await place(targets[1], 2)).outcome, 'rotated');
      equal(
        await container.run(`cat ${targets[1]}/a; echo; cat ${targets[0]}/a`),
        '/run/coffer/db 2\n/run/secrets 1',
      );
      for (const gone of [targets[0], targets[2]]) await mounts.withdraw(idOf(gone));
      equal(await container.run(`ls ${targets[0]}; cat ${targets[1]}/a`), '/run/coffer/db 2');
      equal((await place(targets[0], 3)).outcome, 'mounted', 'its directory is there still');
      for (const gone of targets) await mounts.withdraw(idOf(gone));
      await nothing(container);
      equal((await place(targets[2], 4)).outcome, 'mounted', 'and again from the beginning');
    });
  }

  test('are found and taken up by a successor, who leaves nothing when it withdraws them', async () => {
    await using container = await NamespaceContainer.start({ readOnlyRoot: true });
    const ids = targets.map((_target, index) => `id-${index}`);
    const places = targets.map((target) => placeIn(container, target));
    {
      await using opened = new TestMounts();
      for (const [index, place] of places.entries()) {
        await opened.mounts.place(`id-${index}`, place, setOf(1, { a: 'b' }));
      }
    }
    await using opened = new TestMounts();
    const found = await opened.mounts.find(container);
    deepEqual(
      new Map(found.map(({ id, target }) => [id, target])),
      new Map(ids.map((id, index) => [id, targets[index] ?? ''])),
    );
    for (const [index, place] of places.entries()) {
      equal((await opened.mounts.adopt(`id-${index}`, place))?.revision, 1);
      deepEqual(await opened.mounts.withdraw(`id-${index}`), { outcome: 'withdrawn' });
    }
    await nothing(container);
  });

  test('that cannot be placed leave no stand-in behind', async () => {
    await using container = await NamespaceContainer.start({ readOnlyRoot: true });
    await using opened = new TestMounts();
    const files = [{ name: 'a', mode: 0o400, uid: 70_000, content: 'keep' as const }];
    for (const [target, set, code] of [
      ['/run/secrets', { revision: 1, files }, 'mount.keep-unknown'],
      ['/run/secrets/a/b', { revision: 1, files }, 'mount.keep-unknown'],
    ] as const) {
      await rejects(opened.mounts.place('no', placeIn(container, target), set), { code });
      await nothing(container);
    }
  });

  test('also where the container imitates a stand-in, which then is its own', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const imitate =
      'mount -t tmpfs -o mode=755 coffer-directories /run; mount -o remount,bind,ro /run';
    equal(await container.run(imitate), '');
    const set = setOf(1, { a: 'b' });
    const { state } = await opened.mounts.place('its', placeIn(container), set);
    deepEqual([state, await container.run('cat /run/secrets/a')], ['in-place', 'b']);
    await opened.mounts.withdraw('its');
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
  });

  test('that lie one inside the other are refused as such, whichever comes first', async () => {
    const inner = '/run/secrets/deep/er';
    for (const readOnlyRoot of [true, false]) {
      for (const [first, second] of [
        ['/run/secrets', inner],
        [inner, '/run/secrets'],
      ] as const) {
        await using container = await NamespaceContainer.start({ readOnlyRoot });
        await using opened = new TestMounts();
        const { mounts } = opened;
        const place = (id: string, target: string) =>
          mounts.place(id, placeIn(container, target), setOf(1, { a: id }));
        await place('first', first);
        const nested = { code: 'mount.target-nested', detail: { target: second, other: first } };
        await rejects(place('second', second), nested);
        equal(await container.run(`cat ${first}/a`), 'first', 'what is there is as it was');
        equal((await place('beside', '/run/coffer')).outcome, 'mounted');
      }
    }
  });

  test('control: once the one is gone the other has its place', async () => {
    await using container = await NamespaceContainer.start({ readOnlyRoot: true });
    await using opened = new TestMounts();
    const { mounts } = opened;
    const place = (target: string) =>
      mounts.place('only', placeIn(container, target), setOf(1, { a: target }));
    for (const target of ['/run/secrets', '/run/secrets/deep', '/run/secrets']) {
      equal((await place(target)).outcome, 'mounted');
      equal(await container.run(`cat ${target}/a`), target);
      await mounts.withdraw('only');
    }
    await nothing(container);
  });
});
