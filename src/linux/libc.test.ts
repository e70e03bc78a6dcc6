/**
 * Goal: calls do what they say, failures say what failed, and nothing is inherited by other programs.
 * Method: real calls in a temporary directory.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  AT_FDCWD,
  close,
  getdents,
  inTheNameOf,
  isErrno,
  LibcError,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  openat,
  openat2,
  RESOLVE_NO_SYMLINKS,
  renameat2,
  statx,
  symlinkat,
  write,
} from './libc.ts';

const directory = mkdtempSync(join(tmpdir(), 'coffer-libc-'));
after(() => rmSync(directory, { recursive: true }));
const root = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
after(() => close(root));

test('a failing call throws its name and errno, and nothing of its arguments', () => {
  throws(
    () => openat(root, 'secret-name', O_RDONLY),
    (error) => {
      ok(error instanceof LibcError);
      deepEqual([error.call, error.code, error.message], ['openat', 'ENOENT', 'openat: ENOENT']);
      return isErrno(error, 'EACCES', 'ENOENT');
    },
  );
});

test('write writes a part of a larger buffer, and statx tells its size', () => {
  const fd = openat(root, 'part', O_WRONLY | O_CREAT | O_EXCL, 0o640);
  write(fd, Buffer.from('xxpartxx').subarray(2, 6));
  close(fd);
  equal(readFileSync(join(directory, 'part'), 'utf8'), 'part');
  const { size, links, inode } = statx(root, 'part');
  deepEqual([size, links, Number(inode)], [4, 1, statSync(join(directory, 'part')).ino]);
});

test('openat2 refuses links where it is told to', () => {
  symlinkat('part', root, 'link');
  const refused = (): number => openat2(root, 'link', O_RDONLY, RESOLVE_NO_SYMLINKS);
  throws(refused, (error) => isErrno(error, 'ELOOP'));
  close(openat2(root, 'part', O_RDONLY, RESOLVE_NO_SYMLINKS));
});

test('getdents lists everything once, however many there are', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `entry-with-a-long-name-${index}`);
  for (const name of names) writeFileSync(join(directory, name), '');
  const fd = openat(root, '.', O_RDONLY | O_DIRECTORY);
  const listed = getdents(fd);
  close(fd);
  const wanted = new Set(names);
  equal(listed.filter((name) => wanted.has(name)).length, names.length);
});

test('renameat2 replaces', () => {
  writeFileSync(join(directory, 'new'), 'new');
  renameat2([root, 'new'], [root, 'part']);
  equal(readFileSync(join(directory, 'part'), 'utf8'), 'new');
});

test('descriptors are not inherited by programs that are started', () => {
  const fd = openat(root, 'part', O_RDONLY);
  // Standard error is passed on as it is, so the child has 0, 1, 2 and what it opens itself.
  const seen = spawnSync('readlink', [`/proc/self/fd/${fd}`], { encoding: 'utf8' }).stdout.trim();
  close(fd);
  equal(seen.includes(directory), false);
});

test('inTheNameOf makes files that belong to another, and gives root back', {
  skip: process.getuid?.() !== 0 && 'needs root: run the tests with sudo',
}, () => {
  const made = inTheNameOf({ uid: 4_000_000_000, gid: 1234 }, () => {
    throws(
      () => openat(root, 'not-mine', O_WRONLY | O_CREAT),
      (error) => isErrno(error, 'EACCES'),
    );
    return 'done';
  });
  equal(made, 'done');
  close(openat(root, 'mine', O_WRONLY | O_CREAT | O_EXCL, 0o600));
  deepEqual([statx(root, 'mine').uid, statx(root, 'mine').gid], [0, 0]);
});
