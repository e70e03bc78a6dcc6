/**
 * Goal: no descriptor is left over, in us or in a container (G34; V20), and between the two `setns`
 * nothing is executed, opened or looked up (V19).
 * Method: count descriptors before and after many operations, failing ones included; trace the system
 * calls of a process that mounts, and of one that takes a mount up. Control: a path that is followed.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../base/clock.ts';
import type { MountHolderOptions } from '../../testing/mount-holder.ts';
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

interface Traced {
  readonly stdout: string;
  readonly log: string;
}

/** The system calls of a program. */
function trace(words: readonly string[]): Traced {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-strace-'));
  const file = join(directory, 'log');
  try {
    const traced = spawnSync('strace', ['-f', '-qq', '-o', file, ...words], {
      encoding: 'utf8',
      timeout: 100_000,
    });
    equal(traced.status, 0, traced.stderr);
    return { stdout: traced.stdout, log: readFileSync(file, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function traceHolder(container: NamespaceContainer, mode: MountHolderOptions['mode']): Traced {
  const { pid, startTicks, mountNamespace } = container;
  const place = { process: { pid, startTicks, mountNamespace }, target: '/run/secrets' };
  const program = fileURLToPath(new URL('../../testing/mount-holder.ts', import.meta.url));
  const options: MountHolderOptions = { id: 'traced', place, firstRevision: 1, mode };
  return trace([process.execPath, program, JSON.stringify(options)]);
}

describe('a visit to a mount namespace', { skip, timeout: 120_000 }, () => {
  test('consists of the calls that are meant and of nothing that takes a path', async () => {
    await using container = await NamespaceContainer.start();
    const visits = visitsIn(traceHolder(container, 'thrice').log);
    // Three times attached, three times detached.
    equal(visits.length, 6);
    for (const visit of visits)
      deepEqual(
        visit.filter((call) => !harmless.has(call)),
        expected(visit),
      );
  });

  test('to take a mount up is one call; and on the way to it one name is looked up', async () => {
    await using container = await NamespaceContainer.start();
    {
      await using opened = new TestMounts();
      await opened.mounts.place('traced', placeIn(container), setOf(3, { a: 'one', b: 'two' }));
    }
    const { stdout, log } = traceHolder(container, 'adopt');
    equal(stdout, '3');
    const [visit = [], ...others] = visitsIn(log);
    deepEqual(others, []);
    deepEqual(
      visit.filter((call) => !harmless.has(call)),
      ['open_tree'],
    );
    const [first, ...rest] = lookupsIn(log);
    match(first ?? '', /^openat2 "run\/secrets", .*NO_MAGICLINKS.*NO_SYMLINKS.*IN_ROOT/);
    // Of our own file system, by names of ours, and none of them as a link.
    ok(rest.length > 0);
    for (const lookup of rest) {
      match(lookup, /^\w+ "(?:\.\.data|\.\.3|a|b)"/);
      match(lookup, /^readlinkat|NOFOLLOW/);
    }
  });

  test('control: a path that is followed inside is seen in the trace', async () => {
    await using container = await NamespaceContainer.start();
    await container.run('mkdir -p /run/secrets; echo bait > /run/secrets/a');
    const libc = new URL('../../linux/libc.ts', import.meta.url).href;
    const naive = `
      const { openat } = await import('${libc}');
      const root = openat(-100, '/proc/${container.pid}/root', 0x200000);
      openat(root, 'run/secrets/a', 0);
    `;
    const { log } = trace([process.execPath, '--input-type=module', '-e', naive]);
    deepEqual(
      lookupsIn(log).map((lookup) => lookup.split(',')[0]),
      ['openat "run/secrets/a"'],
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

/**
 * What is looked up by name at or below the root of a container: the call, the name and the rest of its
 * arguments.
 */
function lookupsIn(log: string): string[] {
  const lookups: string[] = [];
  /** Descriptors that lead into the container. */
  const inside = new Set<string>();
  for (const line of wholeCalls(log)) {
    const [, call = '', at = '', name = '', rest = ''] =
      /^(\w+)\((\w+), "([^"]*)"(.*)$/.exec(line) ?? [];
    const closed = /^close\((\d+)\)/.exec(line)?.[1];
    if (closed !== undefined) inside.delete(closed);
    // The name of an attribute is none of a file.
    if (call === '' || /^f\w+xattr$/.test(call)) continue;
    if (inside.has(at) && name !== '' && name !== '.') lookups.push(`${call} "${name}"${rest}`);
    const opened = call.startsWith('open') ? / = (\d+)$/.exec(line)?.[1] : undefined;
    const leadsInside = inside.has(at) || name === 'root' || /^\/proc\/\d+\/root$/.test(name);
    if (opened !== undefined && leadsInside) inside.add(opened);
  }
  return lookups;
}

/** Calls of other threads come in between. */
function wholeCalls(log: string): string[] {
  const begun = new Map<string, string>();
  return log.split('\n').flatMap((line) => {
    const [, thread = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, start] = /^(.*) <unfinished \.\.\.>$/.exec(text) ?? [];
    if (start !== undefined) {
      begun.set(thread, start);
      return [];
    }
    const [, end] = /^<\.\.\. \w+ resumed>(.*)$/.exec(text) ?? [];
    return [end === undefined ? text : `${begun.get(thread) ?? ''}${end}`];
  });
}
