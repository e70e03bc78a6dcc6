/**
 * Goal: no descriptor is left over, in us or in a container (G34; V20), and between the two `setns`
 * nothing is executed, opened or looked up (V19).
 * Method: count descriptors before and after many operations, failing ones included; trace the system
 * calls of a process that mounts.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../base/clock.ts';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';

const rounds = process.env['COFFER_LONG'] === '1' ? 10_000 : 250;
const descriptors = (pid: number | 'self'): string[] => readdirSync(`/proc/${pid}/fd`);

describe('descriptors', { skip: whyNoContainers(), timeout: 600_000 }, () => {
  test('do not leak, whatever comes of the operations', async () => {
    await using container = await NamespaceContainer.start({
      prepare: 'ln -s /tmp run/coffer',
    });
    await using opened = new TestMounts({ graceMs: 0 });
    const { mounts } = opened;
    const place = placeIn(container);
    const round = async (number: number): Promise<void> => {
      await mounts.place('leak', place, setOf(1, { a: 'one', b: 'two' }));
      await mounts.place('leak', place, setOf(2, { a: `three ${number}`, c: 'four' }));
      await mounts.place('leak', place, setOf(2, {}));
      await mounts.place('leak', place, setOf(1, {})).catch(() => undefined);
      await mounts
        .place('no', placeIn(container, '/run/coffer/x'), setOf(1, {}))
        .catch(() => undefined);
      await mounts.adopt('none', place);
      await mounts.inspect('leak');
      await mounts.find(container);
      await mounts.withdraw('leak');
    };
    await round(0);
    const before = { ours: descriptors('self').length, theirs: descriptors(container.pid) };
    for (let number = 1; number <= rounds; number += 1) await round(number);
    deepEqual({ ours: descriptors('self').length, theirs: descriptors(container.pid) }, before);
  });

  test('are three for each mount, however many of its replaced sets can be read still', async () => {
    await using container = await NamespaceContainer.start();
    const clock = { ...systemClock, setTimer: () => ({ cancel: () => undefined }) };
    await using opened = new TestMounts({ clock });
    const { mounts } = opened;
    await mounts.find(container);
    const before = descriptors('self').length;
    for (let revision = 1; revision <= 100; revision += 1) {
      await mounts.place('many', placeIn(container), setOf(revision, { a: `${revision}` }));
    }
    equal(await container.run('ls -d /run/secrets/..?* | grep -c -v data'), '100', 'control');
    equal(descriptors('self').length - before, 3);
    await mounts.withdraw('many');
    equal(descriptors('self').length, before);
  });

  test('are let go when mounts are closed, and the mounts stay', async () => {
    await using container = await NamespaceContainer.start();
    {
      await using warm = new TestMounts();
      await warm.mounts.find(container);
    }
    const names = (): string[] =>
      descriptors('self').flatMap((fd) => {
        try {
          return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').includes('mnt_id:') ? [fd] : [];
        } catch {
          return [];
        }
      });
    const before = names().length;
    {
      await using opened = new TestMounts();
      await opened.mounts.place('kept', placeIn(container), setOf(1, { a: 'b' }));
      ok(names().length > before);
    }
    equal(names().length, before);
    equal(await container.run('cat /run/secrets/a'), 'b');
  });
});

const strace = spawnSync('strace', ['-V']).status === 0;
const skip = whyNoContainers() || (strace ? false : 'needs strace: apt-get install strace');

describe('a visit to a mount namespace', { skip, timeout: 120_000 }, () => {
  test('consists of the calls that are meant and of nothing that takes a path', async () => {
    await using container = await NamespaceContainer.start();
    const { pid, startTicks, mountNamespace } = container;
    const place = {
      process: { pid, startTicks, mountNamespace },
      target: '/run/secrets',
    };
    const program = fileURLToPath(new URL('../../testing/mount-holder.ts', import.meta.url));
    const directory = mkdtempSync(join(tmpdir(), 'coffer-strace-'));
    const log = join(directory, 'log');
    const options = { id: 'traced', place, firstRevision: 1, mode: 'thrice' };
    const traced = spawnSync(
      'strace',
      ['-f', '-qq', '-o', log, process.execPath, program, JSON.stringify(options)],
      { encoding: 'utf8', timeout: 100_000 },
    );
    equal(traced.status, 0, traced.stderr);
    const visits = visitsIn(readFileSync(log, 'utf8'));
    rmSync(directory, { recursive: true });
    // Three times attached, three times detached.
    equal(visits.length, 6);
    for (const visit of visits)
      deepEqual(
        visit.filter((call) => !harmless.has(call)),
        expected(visit),
      );
  });
});

/** What a JavaScript engine does to its memory and locks at any time. */
const harmless = new Set([
  'mmap',
  'munmap',
  'mprotect',
  'madvise',
  'futex',
  'brk',
  'gettid',
  'getpid',
]);

function expected(visit: readonly string[]): string[] {
  return visit.includes('umount2') ? ['fchdir', 'umount2'] : ['move_mount', 'open_tree'];
}

/** The names of the calls between each two `setns` of one thread. */
function visitsIn(log: string): string[][] {
  const visits: string[][] = [];
  const inside = new Map<string, string[]>();
  for (const line of log.split('\n')) {
    const [, thread = '', call = ''] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    const visit = inside.get(thread);
    if (call === 'setns') {
      if (visit === undefined) inside.set(thread, []);
      else {
        visits.push(visit);
        inside.delete(thread);
      }
    } else if (call !== '') visit?.push(call);
  }
  return visits;
}
