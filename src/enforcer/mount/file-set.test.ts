/**
 * Goal: a set is written whole or not at all, nothing that was planted leads out of its directory, and no
 * copy of what is kept is left in memory.
 * Method: the layout in a directory of this test's own, with what a container could put there.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { AT_FDCWD, close, O_DIRECTORY, O_RDONLY, openat } from '../../linux/libc.ts';
import { BufferWatch } from '../../testing/buffer-watch.ts';
import { alignNames, loadSet, type NewFile, type NewSet, showSet, writeSet } from './file-set.ts';

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

function place(t: TestContext): { readonly path: string; readonly base: number } {
  const path = mkdtempSync(join(tmpdir(), 'coffer-set-'));
  const base = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  t.after(() => {
    close(base);
    rmSync(path, { recursive: true, force: true });
  });
  return { path, base };
}

const file = (name: string, content: NewFile['content'], mode = 0o400): NewFile => ({
  ...{ name, mode, content },
  chosen: {},
});
const setOf = (revision: number, ...files: readonly NewFile[]): NewSet => ({
  ...{ revision, files, mode: 0o500, owner },
});

test('a set that cannot be written whole is not there', (t) => {
  const { path, base } = place(t);
  const [db, unknown] = [file('db', Buffer.from('one')), file('key', 'keep')];
  throws(() => writeSet(base, setOf(1, db, unknown), undefined));
  deepEqual(readdirSync(path), []);
  writeSet(base, setOf(1, db), undefined);
  deepEqual(readdirSync(path), ['..1'], 'control');
});

test('what is kept under another mode is copied, and the copy in memory is wiped', (t) => {
  const { base } = place(t);
  const canary = 'Zq7-canary-X3';
  const first = writeSet(base, setOf(1, file('db', Buffer.from(canary))), undefined);
  const watch = new BufferWatch(t);
  const next = writeSet(base, setOf(2, file('db', 'keep', 0o440)), first);
  equal(next.files.get('db')?.mode, 0o440);
  equal(watch.holding(new TextEncoder().encode(canary)), 0);
  Buffer.from(canary);
  equal(watch.holding(new TextEncoder().encode(canary)), 1, 'control');
});

test('names that were planted lead to no set, and to nothing outside', (t) => {
  const outside = place(t);
  mkdirSync(join(outside.path, '..7'));
  writeFileSync(join(outside.path, '..7', 'db'), 'theirs');
  const plants: Readonly<Record<string, (path: string) => void>> = {
    'a link out': (path) => symlinkSync(join(outside.path, '..7'), join(path, '..data')),
    'a way out': (path) => {
      mkdirSync(join(path, '..1'));
      symlinkSync('..1/../../x', join(path, '..data'));
    },
    'a link to a link out': (path) => {
      symlinkSync('..7', join(path, '..data'));
      symlinkSync(join(outside.path, '..7'), join(path, '..7'));
    },
    'a file': (path) => writeFileSync(join(path, '..data'), '..7'),
    'a number that is none': (path) => {
      mkdirSync(join(path, '..07'));
      symlinkSync('..07', join(path, '..data'));
    },
  };
  for (const [what, plant] of Object.entries(plants)) {
    const { path, base } = place(t);
    plant(path);
    equal(loadSet(base), undefined, what);
    deepEqual(readdirSync(path), [], `${what}: nothing is left of it`);
    equal(readFileSync(join(outside.path, '..7', 'db'), 'utf8'), 'theirs', what);
  }
  const { path, base } = place(t);
  const set = writeSet(base, setOf(7, file('db', Buffer.from('ours'))), undefined);
  showSet(base, set);
  alignNames(base, set, []);
  const loaded = loadSet(base);
  ok(loaded?.revision === 7 && loaded.files.has('db'), 'control');
  equal(readFileSync(join(path, 'db'), 'utf8'), 'ours');
});
