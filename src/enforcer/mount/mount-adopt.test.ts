/**
 * Goal: an enforcer that is killed at any point leaves a whole set that can be taken up, or nothing
 * (G30); what merely looks like ours is not taken up.
 * Method: another process holds, rotates and withdraws; it is killed with SIGKILL at random moments;
 * then this process adopts, compares and withdraws. Half-done states are also made on purpose.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemRandom } from '../../base/random.ts';
import { holderSet, type MountHolderOptions } from '../../testing/mount-holder.ts';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';
import type { MountPlace, Mounts } from './mount.ts';

const kills = process.env['COFFER_LONG'] === '1' ? 1000 : 8;
const program = fileURLToPath(new URL('../../testing/mount-holder.ts', import.meta.url));

/** Runs the holder until it has placed, and `delayMs` longer; then kills it. */
async function holdAndKill(options: MountHolderOptions, delayMs: number): Promise<void> {
  const child = spawn(process.execPath, [program, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exited]);
  equal(child.exitCode, null);
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  child.kill('SIGKILL');
  await exited;
}

function plainPlace(container: NamespaceContainer): MountPlace {
  const { pid, startTicks, mountNamespace } = container;
  return { process: { pid, startTicks, mountNamespace }, target: '/run/secrets' };
}

/** What is in place is exactly one revision's set, and nothing else lies in the tmpfs. */
async function expectWhole(container: NamespaceContainer, revision: number): Promise<void> {
  const { files } = holderSet(revision);
  const names = files.map(({ name }) => name);
  equal(
    await container.run('ls -A /run/secrets'),
    [`..${revision}`, '..data', ...names].join('\n'),
  );
  equal(await container.run('cat /run/secrets/*'), `${revision}`.repeat(names.length));
}

describe('adopt', { skip: whyNoContainers(), timeout: 1_200_000 }, () => {
  test('takes up a mount after its holder was killed, and readers notice nothing', async () => {
    await using container = await NamespaceContainer.start({ uid: 1000 });
    const place = plainPlace(container);
    await holdAndKill({ id: 'life', place, firstRevision: 4, mode: 'wait' }, 0);
    const mountinfo = await container.run('grep coffer /proc/self/mountinfo');
    const open = openSync(`/proc/${container.pid}/root/run/secrets/a`, 'r');

    await using opened = new TestMounts();
    const adopted = await opened.mounts.adopt('life', place);
    equal(adopted?.revision, 4);
    deepEqual(
      adopted?.files.toSorted((x, y) => (x.name < y.name ? -1 : 1)),
      [...['a', 'b', 'c', 'd'].map((name) => ({ name, mode: 0o400, size: 1 }))],
    );
    equal(await opened.mounts.inspect('life'), 'in-place');
    equal(await container.run('grep coffer /proc/self/mountinfo'), mountinfo);
    equal(readFileSync(open, 'utf8'), '4');
    closeSync(open);

    const rotated = await opened.mounts.place('life', place, {
      revision: 5,
      files: [
        { name: 'a', mode: 0o400, content: 'keep' },
        { name: 'z', mode: 0o400, content: Buffer.from('new') },
      ],
    });
    deepEqual(rotated, { outcome: 'rotated', revision: 5, state: 'in-place' });
    equal(await container.run('cd /run/secrets; cat *; stat -L -c " %u" z'), '4new 1000');
    await opened.mounts.withdraw('life');
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
  });

  for (const mode of ['rotate', 'withdraw-and-place'] as const) {
    test(`finds a whole set or nothing after kills in the middle of ${mode}`, async () => {
      await using container = await NamespaceContainer.start();
      const place = plainPlace(container);
      let found = 0;
      for (let kill = 0; kill < kills; kill += 1) {
        const options: MountHolderOptions = { id: 'storm', place, firstRevision: 1, mode };
        await holdAndKill(options, systemRandom.integer(15));
        await using opened = new TestMounts();
        const adopted = await opened.mounts.adopt('storm', place);
        if (adopted === undefined) {
          equal(await container.run('grep -c coffer /proc/mounts'), '0');
          continue;
        }
        found += 1;
        await expectWhole(container, adopted.revision);
        await opened.mounts.withdraw('storm');
        equal(await container.run('grep -c coffer /proc/mounts; ls -A /run/secrets'), '0');
      }
      if (mode === 'rotate') equal(found, kills);
    });
  }

  test('takes up and withdraws also where only another program may mount', async () => {
    await using container = await NamespaceContainer.start();
    const place = placeIn(container, '/opt/secrets');
    {
      await using opened = new TestMounts({ targetPrefixes: ['/opt'] });
      await opened.mounts.place('elsewhere', place, holderSet(3));
    }
    // As the watchdog does, which is not told the directories.
    await using opened = new TestMounts();
    equal((await opened.mounts.adopt('elsewhere', place))?.revision, 3);
    await rejects(opened.mounts.place('elsewhere', place, holderSet(4)), {
      code: 'mount.target-invalid',
    });
    deepEqual(await opened.mounts.withdraw('elsewhere'), { outcome: 'withdrawn' });
    equal(await container.run('ls -A /opt/secrets; grep -c coffer /proc/mounts'), '0');
  });

  test('place takes up what is there, so that a restart cannot mount twice', async () => {
    await using container = await NamespaceContainer.start({ readOnlyRoot: true });
    const place = placeIn(container);
    await leaveBehind((mounts) => mounts.place('again', place, holderSet(3)));
    await using opened = new TestMounts();
    const same = await opened.mounts.place('again', place, holderSet(3));
    deepEqual(same, { outcome: 'unchanged', revision: 3, state: 'in-place' });
    const next = await opened.mounts.place('again', place, holderSet(4));
    equal(next.outcome, 'rotated');
    deepEqual(await opened.mounts.find(container), [{ id: 'again', target: '/run/secrets' }]);
    equal(await container.run('grep -c coffer: /proc/mounts; cat /run/secrets/a'), '1\n4');
    await rejects(opened.mounts.place('other', place, holderSet(1)), {
      code: 'mount.target-occupied',
    });
    await opened.mounts.withdraw('again');
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
  });

  test('wipes and unmounts a set that was half withdrawn', async () => {
    await using container = await NamespaceContainer.start();
    const place = placeIn(container);
    await leaveBehind((mounts) => mounts.place('half', place, holderSet(1)));
    const open = openSync(`/proc/${container.pid}/root/run/secrets/a`, 'r');
    // What a withdrawal does first.
    await container.run(`${makeWritable}; rm /run/secrets/..data`);
    await using opened = new TestMounts();
    equal(await opened.mounts.adopt('half', place), undefined);
    equal(readFileSync(open, 'utf8'), '');
    closeSync(open);
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
  });

  test('place mounts anew what was half withdrawn', async () => {
    await using container = await NamespaceContainer.start({ readOnlyRoot: true });
    const place = placeIn(container);
    await leaveBehind((mounts) => mounts.place('half', place, holderSet(1)));
    await container.run(`${makeWritable}; rm /run/secrets/..data`);
    await using opened = new TestMounts();
    equal((await opened.mounts.place('half', place, holderSet(2))).outcome, 'mounted');
    await expectWhole(container, 2);
    await opened.mounts.withdraw('half');
    equal(await container.run('grep -c coffer /proc/mounts'), '0');
  });

  test('erases what attempts that were cut short left beside the set', async () => {
    await using container = await NamespaceContainer.start();
    const place = placeIn(container);
    await leaveBehind((mounts) => mounts.place('litter', place, holderSet(3)));
    await container.run(
      `${makeWritable}; cd /run/secrets; mkdir ..2 ..4; echo old > ..2/a; ln ..3/b ..4/b; ` +
        'echo new > ..4/a; ln -s ..4 ..data_next; ln -s ..data/gone gone; rm c; cd /',
    );
    const open = openSync(`/proc/${container.pid}/root/run/secrets/..2/a`, 'r');
    await using opened = new TestMounts();
    equal((await opened.mounts.adopt('litter', place))?.revision, 3);
    await expectWhole(container, 3);
    equal(readFileSync(open, 'utf8'), '');
    closeSync(open);
  });

  test('refuses a tmpfs that imitates ours, and overlooks those of others', async () => {
    await using container = await NamespaceContainer.start({ firstOutsideId: 300_000 });
    const place = placeIn(container);
    await container.run(
      'mkdir -p /run/secrets; mount -t tmpfs -o mode=755 coffer:mine /run/secrets; ' +
        'cd /run/secrets; mkdir ..1; echo bait > ..1/a; ln -s ..1 ..data; cd /',
    );
    await using opened = new TestMounts();
    await rejects(opened.mounts.adopt('mine', place), { code: 'mount.foreign' });
    await rejects(opened.mounts.place('mine', place, setOf(2, { a: 'b' })), {
      code: 'mount.foreign',
    });
    equal(await opened.mounts.adopt('another', place), undefined);
    equal(await container.run('cat /run/secrets/..data/a'), 'bait');
  });
});

const makeWritable = 'mount -o remount,bind,rw /run/secrets';

async function leaveBehind(act: (mounts: Mounts) => Promise<unknown>): Promise<void> {
  await using opened = new TestMounts();
  await act(opened.mounts);
}
