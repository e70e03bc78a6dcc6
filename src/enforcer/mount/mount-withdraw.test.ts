/**
 * Goal: what is withdrawn is gone, for descriptors and mappings that are still open too (G25).
 * Method: hold the files open and mapped, withdraw, look again. The control does what seems enough,
 * unlink and lazy unmount, and the content is still there.
 */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync } from 'node:fs';
import { describe, test } from 'node:test';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';

function readAt(fd: number): string {
  const bytes = Buffer.alloc(64);
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0));
}

const python = spawnSync('python3', ['-c', 'import mmap']).status === 0;

describe('withdraw', { skip: whyNoContainers(), timeout: 300_000 }, () => {
  test('empties descriptors that are open and takes the files away', async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    await opened.mounts.place('held', placeIn(container), setOf(1, { a: 'secret', b: 'x' }));
    const fd = openSync(`/proc/${container.pid}/root/run/secrets/a`, 'r');
    await container.run('exec 7< /run/secrets/b');
    equal(readAt(fd), 'secret');
    deepEqual(await opened.mounts.withdraw('held'), { outcome: 'withdrawn' });
    equal(readAt(fd), '');
    equal(await container.run('cat <&7; ls -A /run/secrets'), '');
    closeSync(fd);
  });

  test('control: unlinking and a lazy unmount leave the content readable', async () => {
    await using container = await NamespaceContainer.start({ prepare: 'mkdir run/naive' });
    await container.run('mount -t tmpfs none /run/naive; printf secret > /run/naive/a');
    const fd = openSync(`/proc/${container.pid}/root/run/naive/a`, 'r');
    await container.run('rm /run/naive/a; umount -l /run/naive');
    equal(readAt(fd), 'secret');
    closeSync(fd);
  });

  const skip = python ? false : 'needs python3, which can map files: apt-get install python3';
  test('empties mappings', { skip }, async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    await opened.mounts.place('mapped', placeIn(container), setOf(1, { a: 'secret' }));
    const path = `/proc/${container.pid}/root/run/secrets/a`;
    const program = `
import mmap, sys
f = open(${JSON.stringify(path)}, 'rb')
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
print(m[:6].decode(), flush=True)
sys.stdin.readline()
print(m[:6].strip(b'\\0').decode() or 'zeros', flush=True)
`;
    const reader = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = once(reader, 'close');
    let output = '';
    reader.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    while (!output.includes('secret')) {
      await Promise.race([once(reader.stdout, 'data'), ended]);
      equal(reader.exitCode, null);
    }
    await opened.mounts.withdraw('mapped');
    reader.stdin.end('\n');
    const [, signal] = (await ended) as [number | null, string | null];
    // The page is gone with the file's length: to touch it is a bus error.
    ok(signal === 'SIGBUS' || output.endsWith('zeros\n'));
    match(output, /^secret\n/);
  });

  test('does not say withdrawn while a program holds a file up with a lease', {
    skip,
  }, async () => {
    await using container = await NamespaceContainer.start();
    await using opened = new TestMounts();
    const { mounts } = opened;
    const texts = { a: 'secret-a', b: 'secret-b', c: 'secret-c' };
    await mounts.place('leased', placeIn(container), setOf(1, texts));
    const directory = `/proc/${container.pid}/root/run/secrets`;
    const fds = ['a', 'b', 'c'].map((name) => openSync(`${directory}/${name}`, 'r'));
    // To open such a file for writing takes until the lease is given back, or 45 s.
    const program = `
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = [open(${JSON.stringify(directory)} + '/' + name, 'rb') for name in 'ab']
for f in held: fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)
print('held', flush=True)
sys.stdin.readline()
`;
    const holder = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(holder, 'close');
    await once(holder.stdout, 'data');
    const isHeldUp = { code: 'mount.failed', detail: { call: 'openat', errno: 'EWOULDBLOCK' } };
    await rejects(mounts.withdraw('leased'), isHeldUp);
    // The others do not wait for it, and it is not forgotten.
    await rejects(mounts.withdraw('leased'), isHeldUp);
    deepEqual(fds.map(readAt), ['secret-a', 'secret-b', '']);
    holder.stdin.end('\n');
    await ended;
    deepEqual(await mounts.withdraw('leased'), { outcome: 'withdrawn' });
    deepEqual(fds.map(readAt), ['', '', '']);
    equal(await mounts.inspect('leased'), 'gone');
    for (const fd of fds) closeSync(fd);
  });

  test('of many empties all of them', async () => {
    const containers = await Promise.all(
      Array.from({ length: 8 }, () => NamespaceContainer.start()),
    );
    await using opened = new TestMounts();
    const { mounts } = opened;
    try {
      const each = <T>(
        act: (container: NamespaceContainer, id: string) => Promise<T>,
      ): Promise<T[]> =>
        Promise.all(containers.map((container, index) => act(container, `many-${index}`)));
      const files = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`f${at}`, `v${at}`]));
      await each((container, id) => mounts.place(id, placeIn(container), setOf(1, files)));
      const fds = containers.map(({ pid }) => openSync(`/proc/${pid}/root/run/secrets/f19`, 'r'));
      const outcomes = await each((_container, id) => mounts.withdraw(id));
      equal(
        outcomes.every(({ outcome }) => outcome === 'withdrawn'),
        true,
      );
      equal(
        fds.every((fd) => readAt(fd) === ''),
        true,
      );
      for (const fd of fds) closeSync(fd);
    } finally {
      await Promise.all(containers.map((container) => container.stop()));
    }
  });

  test('says gone when the container has ended, and a new container can have the id', async () => {
    await using opened = new TestMounts();
    const container = await NamespaceContainer.start();
    await opened.mounts.place('ended', placeIn(container), setOf(7, { a: 'b' }));
    await container.stop();
    equal(await opened.mounts.inspect('ended'), 'gone');
    const late = await opened.mounts.place('ended', placeIn(container), setOf(8, { a: 'c' }));
    equal(late.state, 'gone');
    await using next = await NamespaceContainer.start();
    const placed = await opened.mounts.place('ended', placeIn(next), setOf(1, { a: 'd' }));
    deepEqual(placed, { outcome: 'mounted', revision: 1, state: 'in-place' });
    await next.stop();
    deepEqual(await opened.mounts.withdraw('ended'), { outcome: 'gone' });
    deepEqual(await opened.mounts.withdraw('ended'), { outcome: 'absent' });
  });
});
