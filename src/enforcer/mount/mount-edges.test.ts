/**
 * Goal: each restriction of the view is missed when it is gone; only an empty directory that is allowed
 * stands in for a missing one; a set has a bound, and what is kept counts.
 * Method: containers that take one flag away from what is theirs; roots that nobody can write to; sets that
 * are as large as may be.
 */
import { equal, rejects } from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';

const flags = ['ro', 'nosuid', 'nodev', 'noexec'] as const;
const without = { ro: 'rw', nosuid: 'suid', nodev: 'dev', noexec: 'exec' } as const;

describe('the view of a set', { skip: whyNoContainers(), timeout: 120_000 }, () => {
  test('is altered when any one of its flags is gone', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const { mounts } = opened;
    await mounts.place('f', placeIn(container), setOf(1, { a: 'b' }));
    const remount = async (options: readonly string[]): Promise<string> => {
      const said = await container.run(`mount -o remount,bind,${options.join()} /run/secrets`);
      equal(said, '');
      return mounts.inspect('f');
    };
    for (const gone of flags) {
      const options = flags.map((flag) => (flag === gone ? without[flag] : flag));
      equal(await remount(options), 'altered', gone);
      equal(await remount(flags), 'in-place', 'control');
    }
  });

  test('holds no more than its bound, counting what is kept', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const { mounts } = opened;
    const half = Buffer.alloc(limits.setBytesMax / 2, 1);
    const place = placeIn(container);
    const file = (name: string, content: Buffer | 'keep') => ({ name, mode: 0o400, content });
    await mounts.place('b', place, { revision: 1, files: [file('a', half), file('b', half)] });
    const kept = [file('a', 'keep'), file('b', 'keep')];
    const more = { revision: 2, files: [...kept, file('c', Buffer.of(1))] };
    await rejects(mounts.place('b', place, more), { code: 'limit.exceeded' });
    equal((await mounts.place('b', place, { revision: 3, files: kept })).outcome, 'rotated');
  });

  test('lets through no more than who may read one of the files that are there now', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const place = placeIn(container);
    const set = (revision: number, mode: number) => ({
      revision,
      files: [{ name: 'a', mode, content: Buffer.from('b') }],
    });
    for (const [revision, mode, expected] of [
      [1, 0o400, '500'],
      [2, 0o444, '555'],
      [3, 0o400, '500'],
    ] as const) {
      await opened.mounts.place('m', place, set(revision, mode));
      equal(await container.run('stat -c %a /run/secrets'), expected);
    }
  });

  test('takes the place of no directory but an allowed one, however empty', async () => {
    const prepare = 'mkdir -p opt/app';
    await using container = await NamespaceContainer.start({ prepare, readOnlyRoot: true });
    const target = '/opt/app/secrets';
    for (const [targetPrefixes, code] of [
      [['/opt/app/secrets'], 'mount.target-missing'],
      [['/opt/app'], undefined],
    ] as const) {
      await using opened = new TestMounts({ targetPrefixes });
      const placed = opened.mounts.place('p', placeIn(container, target), setOf(1, { a: 'b' }));
      if (code === undefined) equal((await placed).state, 'in-place', 'control');
      else await rejects(placed, { code });
    }
    equal(await container.run(`cat ${target}/a`), 'b');
  });
});
