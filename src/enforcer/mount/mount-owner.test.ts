/**
 * Goal: files belong to whom the container's first process runs as, also when it becomes another user after
 * they were placed, as in images that start as root; what was chosen in the grant stays as it was chosen.
 * Method: containers whose shell goes on as another user, under the same process id; they read as themselves.
 * Control: before anybody looks again, the new user is refused.
 */
import { deepEqual, equal, match } from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { setOf, placeIn, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';
import { until } from '../../testing/until.ts';
import type { FileSet } from './mount.ts';

/** Another user, and commands that show what is where as that user. */
const prepare = `echo 'other:x:1000:2000::/:/bin/sh' >> etc/passwd`;
const owners =
  'cd /run/secrets/..data/ && stat -c "%n %a %u:%g" . * && stat -c "%a %u:%g" /run/secrets';
const set = setOf(1, { a: 'one', b: 'two' });
/** Nobody looks but who is asked to. */
const clock = { ...systemClock, setTimer: () => ({ cancel: () => undefined }) };

describe('files of a process that becomes another user', {
  skip: whyNoContainers(),
  timeout: 120_000,
}, () => {
  for (const options of [{}, { firstOutsideId: 300_000 }]) {
    test(`are given to it, ${JSON.stringify(options)}`, async () => {
      await using container = await NamespaceContainer.start({ prepare, ...options });
      await using opened = new TestMounts({ clock });
      const { mounts } = opened;
      await mounts.place('own', placeIn(container), set);
      equal(await container.run(owners), '. 500 0:0\na 400 0:0\nb 400 0:0\n500 0:0');
      const open = openSync(`/proc/${container.pid}/root/run/secrets/a`, 'r');
      await container.become('other');
      match(await container.run('cat /run/secrets/a'), /Permission denied/, 'control');
      equal(await mounts.inspect('own'), 'in-place', 'a look changes nothing');
      match(await container.run('cat /run/secrets/a'), /Permission denied/, 'control');
      equal(await mounts.tend('own'), 'in-place');
      equal(await container.run('cat /run/secrets/a /run/secrets/b'), 'onetwo');
      equal(
        await container.run(owners),
        '. 500 1000:2000\na 400 1000:2000\nb 400 1000:2000\n500 1000:2000',
      );
      equal(readFileSync(open, 'utf8'), 'one', 'what is open stays open');
      closeSync(open);
      equal(await mounts.tend('own'), 'in-place');
      await mounts.withdraw('own');
      equal(await container.run('ls /run/secrets; grep -c coffer /proc/mounts'), '0');
    });
  }

  test('are given to it with the next set, and what is kept with them', async () => {
    await using container = await NamespaceContainer.start({ prepare });
    await using opened = new TestMounts({ clock });
    const { mounts } = opened;
    const place = placeIn(container);
    await mounts.place('own', place, set);
    await container.become('other');
    const [kept] = set.files;
    const next: FileSet = {
      revision: 2,
      files: [
        { name: 'a', mode: kept?.mode ?? 0, content: 'keep' },
        { name: 'c', mode: 0o400, content: Buffer.from('three') },
      ],
    };
    equal((await mounts.place('own', place, next)).outcome, 'rotated');
    equal(await container.run('cat /run/secrets/a /run/secrets/c'), 'onethree');
    equal(
      await container.run(owners),
      '. 500 1000:2000\na 400 1000:2000\nc 400 1000:2000\n500 1000:2000',
    );
  });

  test('are given to it without anybody asking, soon after they were mounted', async () => {
    await using container = await NamespaceContainer.start({ prepare });
    await using opened = new TestMounts();
    await opened.mounts.place('own', placeIn(container), set);
    await container.become('other');
    await until('it may read', async () => (await container.run('cat /run/secrets/a')) === 'one');
  });

  test('are given to it by a successor', async () => {
    await using container = await NamespaceContainer.start({ prepare });
    const place = placeIn(container);
    {
      await using opened = new TestMounts({ clock });
      const own = { name: 'own', mode: 0o400, uid: 33, content: Buffer.from('x') };
      await opened.mounts.place('own', place, { ...set, files: [...set.files, own] });
    }
    await container.become('other');
    await using opened = new TestMounts({ clock });
    equal((await opened.mounts.adopt('own', place))?.revision, 1);
    match(await container.run('cat /run/secrets/a'), /Permission denied/, 'control');
    equal(await opened.mounts.tend('own'), 'in-place');
    equal(await container.run('cat /run/secrets/a'), 'one');
    deepEqual((await container.run(owners)).split('\n'), [
      '. 555 1000:2000',
      'a 400 1000:2000',
      'b 400 1000:2000',
      'own 400 33:2000',
      '555 1000:2000',
    ]);
  });

  test('stay as they were chosen, in whole or in part', async () => {
    await using container = await NamespaceContainer.start({ prepare });
    await using opened = new TestMounts({ clock });
    const content = Buffer.from('x');
    const files = [
      { name: 'both', mode: 0o400, uid: 33, gid: 34, content },
      { name: 'gid', mode: 0o440, gid: 0, content },
      { name: 'root', mode: 0o400, uid: 0, content },
    ];
    await opened.mounts.place('own', placeIn(container), { revision: 1, files });
    const first = '. 555 0:0\nboth 400 33:34\ngid 440 0:0\nroot 400 0:0\n555 0:0';
    equal(await container.run(owners), first);
    await container.become('other');
    await opened.mounts.tend('own');
    deepEqual((await container.run(owners)).split('\n'), [
      '. 555 1000:2000',
      'both 400 33:34',
      'gid 440 1000:0',
      'root 400 0:2000',
      '555 1000:2000',
    ]);
  });
});
