/**
 * Goal: a container with CAP_SYS_ADMIN can spoil its own mount; we notice, and whatever it plants,
 * nothing outside is touched.
 * Method: containers that unmount, cover, make writable, fill and booby-trap what is theirs.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';

const outside = mkdtempSync(join(tmpdir(), 'coffer-outside-'));
after(() => rmSync(outside, { recursive: true }));

const remount = 'mount -o remount,bind,rw,nosuid,nodev,noexec /run/secrets';

describe('tampering', { skip: whyNoContainers(), timeout: 300_000 }, () => {
  const states: Record<string, string> = {
    unmounted: 'umount -l /run/secrets',
    'over-mounted': 'mount -t tmpfs none /run/secrets',
    altered: remount,
  };
  for (const [state, command] of Object.entries(states)) {
    test(`is seen: ${state}`, async () => {
      await using container = await NamespaceContainer.start({ firstOutsideId: 300_000 });
      await using opened = new TestMounts();
      const { mounts } = opened;
      const place = placeIn(container);
      await mounts.place('t', place, setOf(1, { a: 'b' }));
      equal(await mounts.inspect('t'), 'in-place');
      equal(await container.run(command), '');
      equal(await mounts.inspect('t'), state);
      const rotated = await mounts.place('t', place, setOf(2, { a: 'c' }));
      // What was taken away altogether is put there anew.
      equal(rotated.state, state === 'unmounted' ? 'in-place' : state);
      deepEqual(await mounts.withdraw('t'), { outcome: 'withdrawn' });
      const left =
        state === 'over-mounted' ? 'umount /run/secrets; find /run/secrets -type f; ' : '';
      const unmounted = state === 'over-mounted' ? '1' : '0';
      equal(await container.run(`${left}grep -c coffer /proc/mounts`), unmounted);
    });
  }

  test('what was unmounted inside is mounted anew, whole, once its place is free', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const { mounts } = opened;
    const place = placeIn(container);
    await mounts.place('anew', place, setOf(1, { a: 'one', b: 'two' }));
    await container.run(
      'umount -l /run/secrets; mkdir -p /run/secrets; touch /run/secrets/squatter',
    );
    const keeping = setOf(2, { a: 'new', b: 'two' });
    const occupied = { code: 'mount.target-occupied' };
    await rejects(mounts.place('anew', place, keeping), occupied);
    equal(await mounts.inspect('anew'), 'gone', 'the old one was let go, and wiped');
    await container.run('rm /run/secrets/squatter');
    const { outcome, state } = await mounts.place('anew', place, keeping);
    deepEqual([outcome, state], ['mounted', 'in-place']);
    equal(await container.run('cat /run/secrets/a /run/secrets/b'), 'newtwo');
    await container.run('umount -l /run/secrets');
    // Of what went with the mount nothing can be kept.
    const [a, b] = setOf(3, { a: 'newer', b: '' }).files;
    ok(a && b);
    const kept = { revision: 3, files: [a, { ...b, content: 'keep' as const }] };
    await rejects(mounts.place('anew', place, kept), { code: 'mount.keep-unknown' });
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
    await mounts.place('anew', place, setOf(4, { a: 'newest' }));
    equal(await container.run('cat /run/secrets/a; ls /run/secrets'), 'newesta');
  });

  const places = ['/run/secrets', '/run'].flatMap((where) => [
    { where, readOnlyRoot: false },
    { where, readOnlyRoot: true },
  ]);
  for (const { where, readOnlyRoot } of places) {
    const onStandIn = readOnlyRoot ? ', over a stand-in,' : '';
    test(`a file system that never answers at ${where}${onStandIn} holds nobody up`, async (t) => {
      if (!existsSync('/dev/fuse')) return t.skip('needs /dev/fuse: modprobe fuse');
      const prepare = 'mknod dev/fuse c 10 229';
      await using container = await NamespaceContainer.start({ prepare, readOnlyRoot });
      await using opened = new TestMounts();
      const { mounts } = opened;
      const place = placeIn(container);
      await mounts.place('slow', place, setOf(1, { a: 'b' }));
      const options = 'fd=9,rootmode=40000,user_id=0,group_id=0';
      const mounted = `exec 9<>/dev/fuse; mount -t fuse -o ${options} x ${where}`;
      equal(await container.run(mounted), '');
      equal(await mounts.inspect('slow'), 'over-mounted');
      equal((await mounts.place('slow', place, setOf(2, { a: 'c' }))).state, 'over-mounted');
      deepEqual(await mounts.withdraw('slow'), { outcome: 'withdrawn' });
      await rejects(mounts.place('slow', place, setOf(3, { a: 'd' })), {
        code: 'mount.target-remote',
      });
      // Else whoever enters it waits for ever.
      await container.run('exec 9<&-');
    });
  }

  test('moving the directory away is seen', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    await opened.mounts.place('moved', placeIn(container), setOf(1, { a: 'b' }));
    await container.run('mv /run /elsewhere; mkdir -p /run/secrets');
    equal(await opened.mounts.inspect('moved'), 'over-mounted');
    deepEqual(await opened.mounts.withdraw('moved'), { outcome: 'withdrawn' });
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
  });

  test('a full tmpfs is a fault, and the set in place stays whole', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const place = placeIn(container);
    await opened.mounts.place('full', place, setOf(1, { a: 'old', b: 'old too' }));
    await container.run(`${remount}; dd if=/dev/zero of=/run/secrets/ballast bs=64k; true`);
    await container.run('while echo x; do :; done > /run/secrets/ballast2; true');
    const placed = opened.mounts.place('full', place, setOf(2, { a: 'n'.repeat(9000), b: 'new' }));
    await rejects(placed, { code: 'mount.full' });
    equal(await container.run('cd /run/secrets; cat a; cat b; ls -d ..?'), 'oldold too..1');
    await container.run('rm /run/secrets/ballast*');
    await opened.mounts.place('full', place, setOf(3, { a: 'new', b: 'newer' }));
    equal(await container.run('cat /run/secrets/a /run/secrets/b'), 'newnewer');
  });

  test('what a container plants in its mount leads nowhere', async () => {
    const victim = join(outside, 'victim');
    writeFileSync(victim, 'untouched');
    await using container = await NamespaceContainer.start();
    const place = placeIn(container);
    const traps = [
      `ln -s ${outside} ..2`,
      `rm ..1/a; ln -s ${victim} ..1/a; ln ..1/b c`,
      `ln -s ${outside} ..data_next; mkdir -p ..2/deep/deeper; ln -s ${victim} ..2/a`,
      'rm ..1/a; mkdir ..1/a',
      `rm ..1/a a; ln -s ${victim} a`,
      `rm ..data; mkdir ..data`,
    ];
    for (const [index, trap] of traps.entries()) {
      await using opened = new TestMounts();
      const id = `trap-${index}`;
      await opened.mounts.place(id, place, setOf(1, { a: 'one', b: 'two' }));
      await container.run(`${remount}; cd /run/secrets && ${trap}; cd /`);
      await opened.mounts.place(id, place, setOf(2, { a: 'three', c: 'four' })).catch(onlyFaults);
      await opened.mounts
        .place(id, place, { ...setOf(3, { c: 'five' }), urgent: true })
        .catch(onlyFaults);
      deepEqual(await opened.mounts.withdraw(id), { outcome: 'withdrawn' });
      await container.run('umount -l /run/secrets; true');
      equal(readFileSync(victim, 'utf8'), 'untouched');
      deepEqual(readdirSync(outside), ['victim']);
    }
  });

  test('a pipe in place of a file does not stop us', async () => {
    await using container = await NamespaceContainer.start({ prepare: 'ln -s busybox bin/mkfifo' });
    await using opened = new TestMounts();
    await opened.mounts.place('pipe', placeIn(container), setOf(1, { a: 'one' }));
    await container.run(`${remount}; cd /run/secrets; rm ..1/a; mkfifo ..1/a; cd /`);
    await opened.mounts.withdraw('pipe').catch(onlyFaults);
    equal(await opened.mounts.inspect('other'), 'gone');
  });
});

function onlyFaults(error: unknown): void {
  ok(error instanceof Error && error.name === 'Fault', String(error));
}
