/**
 * Goal: nothing of a container is executed or loaded, whatever its image holds (V19).
 * Method: a container in which every program and library that somebody might run or load leaves a marker;
 * sets are placed, changed, looked for, adopted and withdrawn in it. Controls: who enters it and runs
 * `mount`, or loads a library, as other tools have done, leaves the marker.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { placeIn, setOf, TestMounts } from '../../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../../testing/namespace-container.ts';

const rounds = process.env['COFFER_LONG'] === '1' ? 10_000 : 200;
/** Each adoption needs a new enforcer. */
const adoptEvery = 50;

const script = '#!/bin/busybox sh\necho program >> /tmp/marker\n';
const programs = ['mount', 'umount', 'sh', 'ls', 'cat', 'id', 'env', 'true', 'node', 'nsenter'];
const libraries = [
  ...['libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', 'libgcc_s.so.1'],
  ...['libnss_files.so.2', 'libnss_dns.so.2', 'libstdc++.so.6', 'ld-linux-x86-64.so.2'],
];
const librarySource = `
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void trap(void) {
  int fd = open("/tmp/marker", O_WRONLY | O_CREAT | O_APPEND, 0666);
  write(fd, "library\\n", 8);
  close(fd);
}
`;

const skip = whyNoContainers();
const hasCompiler = spawnSync('cc', ['--version']).status === 0;

/** Undefined where it cannot be built. */
function trapLibrary(t: TestContext): Buffer | undefined {
  if (!hasCompiler) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'coffer-trap-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'trap.so');
  const words = ['-shared', '-fPIC', '-nostdlib', '-w', '-x', 'c', '-', '-o', path];
  const { status, stderr } = spawnSync('cc', words, { input: librarySource, encoding: 'utf8' });
  equal(status, 0, stderr);
  return readFileSync(path);
}

/** A container with traps wherever somebody might look for a program or a library. */
async function trapped(t: TestContext) {
  const container = await NamespaceContainer.start();
  const inside = (path: string): string => `/proc/${container.pid}/root${path}`;
  const put = (path: string, content: string | Buffer, mode: number): void => {
    mkdirSync(dirname(inside(path)), { recursive: true });
    rmSync(inside(path), { force: true });
    writeFileSync(inside(path), content, { mode });
  };
  for (const directory of ['/bin', '/sbin', '/usr/bin', '/usr/sbin', '/usr/local/bin']) {
    for (const name of programs) put(`${directory}/${name}`, script, 0o755);
  }
  const library = trapLibrary(t);
  if (library) {
    for (const directory of ['/lib', '/lib64', '/usr/lib', '/lib/x86_64-linux-gnu']) {
      for (const name of libraries) put(`${directory}/${name}`, library, 0o755);
    }
    put('/etc/ld.so.preload', '/lib/libc.so.6\n', 0o644);
    put('/etc/nsswitch.conf', 'passwd: files dns\ngroup: files dns\n', 0o644);
  }
  const marker = (): string | undefined =>
    existsSync(inside('/tmp/marker')) ? readFileSync(inside('/tmp/marker'), 'utf8') : undefined;
  return { container, marker };
}

/** Enters as we do, then loads what is there by a name that a loader might look for. */
const loading = `
  const [pid, libc] = process.argv.slice(1);
  const { openat, setns, unshare } = await import(libc);
  const fd = openat(-100, '/proc/' + pid + '/ns/mnt', 0);
  unshare(0x200);
  setns(fd, 0x20000);
  try {
    process.dlopen({ exports: {} }, '/lib/libnss_files.so.2');
  } catch {
    // It is no module of Node: it was loaded all the same.
  }
`;

describe('a container full of traps', { skip, timeout: 600_000 }, () => {
  test('none of which is sprung, whatever is done with its sets', async (t) => {
    const { container, marker } = await trapped(t);
    await using _container = container;
    const place = placeIn(container);
    let revision = 0;
    for (let round = 0; round < rounds; round += adoptEvery) {
      await using opened = new TestMounts({ graceMs: 0 });
      const { mounts } = opened;
      const found = await mounts.find(container);
      deepEqual(found, round === 0 ? [] : [{ id: 'trapped', target: '/run/secrets' }]);
      const adopted = await mounts.adopt('trapped', place);
      equal(adopted?.revision, round === 0 ? undefined : revision);
      for (let turn = 0; turn < adoptEvery; turn += 1) {
        if (turn % 2 === 0) await mounts.withdraw('trapped');
        revision += 1;
        await mounts.place('trapped', place, setOf(revision, { a: `${revision}` }));
        equal(await mounts.inspect('trapped'), 'in-place');
      }
    }
    equal(revision, rounds);
    equal(marker(), undefined);
  });

  test('control: a program that is run inside is one of them', async (t) => {
    const { container, marker } = await trapped(t);
    await using _container = container;
    spawnSync('nsenter', ['-t', String(container.pid), '-m', 'mount']);
    equal(marker(), 'program\n');
  });

  test('control: a library that is loaded inside is one of them', {
    skip: hasCompiler ? false : 'needs a C compiler: apt-get install gcc libc6-dev',
  }, async (t) => {
    const { container, marker } = await trapped(t);
    await using _container = container;
    const libc = new URL('../../linux/libc.ts', import.meta.url).href;
    const words = ['--input-type=module', '-e', loading, String(container.pid), libc];
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    equal(status, 0, stderr);
    ok(marker()?.startsWith('library\n'));
  });
});
