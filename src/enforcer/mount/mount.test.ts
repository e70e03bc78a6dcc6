/**
 * Goal: sets appear in the container that is meant, with the owners, modes and flags that are
 * promised, and nowhere else; what cannot be done is refused with its reason.
 * Method: containers made of namespaces, with and without root, user namespace and writable root;
 * what they see is asked inside, what the host sees is read outside.
 */
import { deepEqual, equal, match, rejects, throws } from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type MountEntry, parseMountinfo } from '../../linux/mountinfo.ts';
import { kernelHasNoswap } from '../../linux/tmpfs.ts';
import { sandboxNamespace } from '../../model/workload.ts';
import { startTicksOf } from '../../testing/holders.ts';
import { TestMounts, placeIn, setOf } from '../../testing/mount-setup.ts';
import {
  type ContainerOptions,
  NamespaceContainer,
  whyNoContainers,
} from '../../testing/namespace-container.ts';
import { refuseSlow } from './target-directory.ts';

const skip = whyNoContainers();

describe('mounts', { skip, timeout: 300_000 }, () => {
  const kinds: Record<string, ContainerOptions> = {
    'run by root': {},
    'run by another user': { uid: 1000 },
    'in a user namespace': { firstOutsideId: 300_000 },
    'run by another user in a user namespace': { firstOutsideId: 300_000, uid: 33 },
    'with a read-only root that has the directory': {
      uid: 7,
      readOnlyRoot: true,
      prepare: 'mkdir -p run/secrets',
    },
    'with a read-only root that has an empty /run only': { uid: 7, readOnlyRoot: true },
  };
  for (const [kind, options] of Object.entries(kinds)) {
    test(`place, rotate and withdraw in a container ${kind}`, async () => {
      await using container = await NamespaceContainer.start(options);
      await using opened = new TestMounts();
      const { mounts } = opened;
      const place = placeIn(container);

      const placed = await mounts.place('life', place, setOf(1, { user: 'ada', password: 'one' }));
      deepEqual(placed, { outcome: 'mounted', revision: 1, state: 'in-place' });
      equal(await container.run('cd /run/secrets; cat user; echo; cat password'), 'ada\none');
      const uid = options.uid ?? 0;
      equal(await container.run('stat -L -c "%a %u %g" /run/secrets/user'), `400 ${uid} ${uid}`);
      equal(await container.run('stat -c "%a %u %g" /run/secrets'), `500 ${uid} ${uid}`);

      const rotated = await mounts.place('life', place, {
        revision: 2,
        files: [
          { name: 'user', mode: 0o400, content: 'keep' },
          { name: 'password', mode: 0o400, content: Buffer.from('two') },
        ],
      });
      deepEqual(rotated, { outcome: 'rotated', revision: 2, state: 'in-place' });
      equal(await container.run('cd /run/secrets; cat user; echo; cat password'), 'ada\ntwo');

      deepEqual(await mounts.withdraw('life'), { outcome: 'withdrawn' });
      equal(await container.run('find /run -name user -o -name password -o -name ..data'), '');
      equal(await container.run('grep -c coffer /proc/mounts'), '0');
      deepEqual(await mounts.withdraw('life'), { outcome: 'absent' });
    });
  }

  test('the view is read-only, nosuid, nodev, noexec, noswap, bounded, and not on the host', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    await opened.mounts.place('flags', placeIn(container), setOf(1, { a: 'b' }));
    const line = await container.run('grep coffer:flags /proc/self/mountinfo');
    match(line, / \/run\/secrets ro,nosuid,nodev,noexec,relatime - tmpfs coffer:flags /);
    match(line, /size=\d+k,nr_inodes=\d+/);
    if (kernelHasNoswap()) match(line, /noswap/);
    match(await container.run('echo x > /run/secrets/x'), /Read-only file system/);
    match(await container.run('echo x > /run/secrets/a'), /Read-only file system/);

    for (const pid of ['self', '1']) {
      equal(readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes('coffer:flags'), false);
    }
    // The control: the same search finds it where it is.
    equal(readFileSync(`/proc/${container.pid}/mountinfo`, 'utf8').includes('coffer:flags'), true);
  });

  test('names appear, change and vanish with the set, and removed ones at once', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts({ graceMs: 3_600_000 });
    const place = placeIn(container);
    const names = (): Promise<string> => container.run('cd /run/secrets; echo *');
    await opened.mounts.place('names', place, setOf(1, { a: '1', b: '2' }));
    equal(await names(), 'a b');
    await opened.mounts.place('names', place, setOf(2, { b: '3', c: '4' }));
    equal(await names(), 'b c');
    equal(await container.run('cat /run/secrets/*'), '34');
    equal(await container.run('ls -A /run/secrets/..1'), 'b');
    await opened.mounts.place('names', place, setOf(3, {}));
    equal(await names(), '*');
    equal(await container.run('find /run/secrets -type f'), '');
  });

  test('modes and owners of single files are honoured, and mapped through the user namespace', async () => {
    await using container = await NamespaceContainer.start({ firstOutsideId: 300_000 });
    await using opened = new TestMounts();
    const place = placeIn(container);
    const files = [{ name: 'a', mode: 0o440, uid: 33, gid: 34, content: Buffer.from('x') }];
    await opened.mounts.place('owners', place, { revision: 1, files });
    equal(await container.run('stat -L -c "%a %u %g" /run/secrets/a'), '440 33 34');
    equal(await container.run('stat -c "%a" /run/secrets'), '555');
    // Kept with another mode: a copy, not a change to the set in place.
    const kept = [{ name: 'a', mode: 0o400, uid: 33, content: 'keep' as const }];
    await opened.mounts.place('owners', place, { revision: 2, files: kept });
    equal(
      await container.run('stat -L -c "%a %u %g" /run/secrets/a; cat /run/secrets/a'),
      '400 33 0\nx',
    );
    const foreign = [{ name: 'a', mode: 0o400, uid: 70_000, content: Buffer.from('y') }];
    await rejects(opened.mounts.place('owners', place, { revision: 3, files: foreign }), {
      code: 'mount.owner-unmapped',
    });
    equal(await container.run('cat /run/secrets/a'), 'x');
  });

  test('a mount is seen by its container only', async () => {
    await using first = await NamespaceContainer.start();
    await using second = await NamespaceContainer.start();
    await using opened = new TestMounts();
    await Promise.all([
      opened.mounts.place('one', placeIn(first), setOf(1, { a: 'first' })),
      opened.mounts.place('two', placeIn(second), setOf(1, { a: 'second' })),
      opened.mounts.place('three', placeIn(second, '/run/coffer/db'), setOf(1, { a: 'third' })),
    ]);
    equal(await first.run('cat /run/secrets/a; echo; ls /run'), 'first\nsecrets');
    equal(await second.run('cat /run/secrets/a /run/coffer/db/a'), 'secondthird');
    deepEqual(
      (await opened.mounts.find(second)).toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      [
        { id: 'three', target: '/run/coffer/db' },
        { id: 'two', target: '/run/secrets' },
      ],
    );
  });

  test('duplicates and replays do not move a container backwards', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const place = placeIn(container);
    await opened.mounts.place('order', place, setOf(5, { a: 'five' }));
    const again = await opened.mounts.place('order', place, setOf(5, { a: 'five again' }));
    equal(again.outcome, 'unchanged');
    await rejects(opened.mounts.place('order', place, setOf(4, { a: 'four' })), {
      code: 'mount.stale',
    });
    equal(await container.run('cat /run/secrets/a'), 'five');
  });

  test('commands for one mount in one batch keep their order', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const { mounts } = opened;
    const place = placeIn(container);
    const outcomes = await Promise.all([
      mounts.place('batch', place, setOf(1, { a: 'one' })),
      mounts.place('batch', place, setOf(2, { a: 'two' })),
      mounts.withdraw('batch'),
      mounts.place('batch', place, setOf(1, { a: 'three' })),
    ]);
    deepEqual(
      outcomes.map(({ outcome }) => outcome),
      ['mounted', 'rotated', 'withdrawn', 'mounted'],
    );
    equal(await container.run('cat /run/secrets/a'), 'three');
  });

  test('the caller may wipe its contents as soon as it has the promise', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const content = Buffer.alloc(20_000, 'v');
    const files = ['a', 'b'].map((name) => ({ name, mode: 0o400, content }));
    const placed = opened.mounts.place('wiped', placeIn(container), { revision: 1, files });
    content.fill(0);
    await placed;
    equal(await container.run('cat /run/secrets/b'), 'v'.repeat(20_000));
  });
});

test('refuseSlow refuses what others serve on the way to the target, but not elsewhere', () => {
  const table = (kind: string, mountPoint: string): MountEntry[] =>
    parseMountinfo(`1 2 0:3 / ${mountPoint} rw - ${kind} x rw`);
  const segments = ['run', 'secrets', 'app'];
  for (const point of ['/run', '/run/secrets', '/run/secrets/app']) {
    for (const kind of ['fuse.sshfs', 'nfs4', 'fuse']) {
      throws(() => refuseSlow(segments, table(kind, point)), { code: 'mount.target-remote' });
    }
    refuseSlow(segments, table('tmpfs', point));
  }
  for (const point of ['/', '/run2', '/run/secrets/app/below'])
    refuseSlow(segments, table('nfs', point));
});

describe('mounts refuse', { skip, timeout: 300_000 }, () => {
  const refusals: Record<string, { prepare?: string; target?: string; readOnlyRoot?: boolean }> = {
    'mount.target-invalid': { target: '/run/secrets/../x' },
    'mount.target-symlink': { prepare: 'mkdir real; ln -s /real run/secrets' },
    'mount.target-missing': { prepare: 'touch run/other', readOnlyRoot: true },
    'mount.target-occupied': { prepare: 'mkdir -p run/secrets; touch run/secrets/mine' },
    'mount.target-shared': {
      prepare: 'mount -t tmpfs -o mode=755 run run; mount --make-shared run',
    },
  };
  for (const [code, { target, ...options }] of Object.entries(refusals)) {
    test(`with ${code} and leave nothing behind`, async () => {
      await using container = await NamespaceContainer.start(options);
      await using opened = new TestMounts();
      const before = await container.run('cat /proc/self/mountinfo');
      const placed = opened.mounts.place('no', placeIn(container, target), setOf(1, { a: 'b' }));
      await rejects(placed, { code });
      equal(await container.run('cat /proc/self/mountinfo'), before);
    });
  }

  test('a parent that is a link, and a target that is a file', async () => {
    await using container = await NamespaceContainer.start({
      prepare: 'mkdir var; ln -s /run var/run; touch run/coffer',
    });
    await using opened = new TestMounts();
    const set = setOf(1, { a: 'b' });
    await rejects(opened.mounts.place('no', placeIn(container, '/var/run/secrets'), set), {
      code: 'mount.target-symlink',
    });
    await rejects(opened.mounts.place('no', placeIn(container, '/run/coffer'), set), {
      code: 'mount.target-invalid',
    });
  });

  test('to keep what is not there, and leave the set as it is', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const keep = { revision: 2, files: [{ name: 'b', mode: 0o400, content: 'keep' as const }] };
    const place = placeIn(container);
    await rejects(opened.mounts.place('keep', place, keep), { code: 'mount.keep-unknown' });
    await opened.mounts.place('keep', place, setOf(1, { a: 'old' }));
    await rejects(opened.mounts.place('keep', place, keep), { code: 'mount.keep-unknown' });
    equal(await container.run('cat /run/secrets/a; ls -A /run/secrets'), 'old..1\n..data\na');
  });

  test('a process that is not the one that was meant', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const set = setOf(1, { a: 'b' });
    const at = (process: object): Promise<unknown> =>
      opened.mounts.place('who', { ...placeIn(container), process: { ...plain, ...process } }, set);
    const { pid, startTicks, mountNamespace } = container;
    const plain = { pid, startTicks, mountNamespace };
    await rejects(at({ startTicks: startTicks + 1 }), { code: 'mount.process-gone' });
    await rejects(at({ mountNamespace: mountNamespace + 1 }), { code: 'mount.namespace-changed' });
    const own = hostProcess();
    await rejects(at(own), { code: 'mount.namespace-own' });
    const sandboxed = { mountNamespace: sandboxNamespace };
    await rejects(at(sandboxed), { code: 'mount.sandboxed' });
    deepEqual(await opened.mounts.find({ ...plain, ...sandboxed }), []);
    await container.stop();
    await rejects(at({}), { code: 'mount.process-gone' });
  });
});

/** This process, which is in no container. */
function hostProcess(): object {
  const { pid } = process;
  return { pid, startTicks: startTicksOf(pid), mountNamespace: statSync('/proc/self/ns/mnt').ino };
}
