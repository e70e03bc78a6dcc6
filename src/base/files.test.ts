/**
 * Goal: directories are made, or it is said why not; nothing waits for ever.
 * Method: paths of the real file system, /proc among them, which refuses with ENOENT to make what is
 * missing: the recursive `mkdir` of Node never comes back from there (the control, in a process of its own).
 */
import { equal, ok, throws } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeDirectory } from './files.ts';

test('makeDirectory makes what is missing with its mode, and leaves what is there', () => {
  const root = mkdtempSync(join(tmpdir(), 'coffer-files-'));
  try {
    const path = join(root, 'a/b/c');
    makeDirectory(path, 0o700);
    makeDirectory(path, 0o755);
    equal(statSync(path).mode & 0o777, 0o700);
    equal(statSync(join(root, 'a')).mode & 0o777, 0o700);
    symlinkSync(join(root, 'a'), join(root, 'link'));
    makeDirectory(join(root, 'link/d'), 0o700);
    ok(statSync(join(root, 'a/d')).isDirectory());
    writeFileSync(join(root, 'file'), '');
    throws(() => makeDirectory(join(root, 'file'), 0o700), { code: 'EEXIST' });
    throws(() => makeDirectory(join(root, 'file/x'), 0o700), { code: 'ENOTDIR' });
    symlinkSync(join(root, 'nowhere'), join(root, 'dangling'));
    throws(() => makeDirectory(join(root, 'dangling'), 0o700), { code: 'EEXIST' });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test('makeDirectory comes back from where nothing can be made', () => {
  for (const path of ['/proc/nope', '/proc/nope/x', '/proc/self/nope/x/y', '/dev/null/x']) {
    throws(() => makeDirectory(path, 0o700), { code: /^(ENOENT|EACCES|EPERM|ENOTDIR)$/ }, path);
  }
});

test('control: the recursive mkdir does not come back from /proc', () => {
  const code = "require('node:fs').mkdirSync('/proc/nope/x', { recursive: true })";
  const { signal, status, stderr } = spawnSync(process.execPath, ['-e', code], {
    timeout: 1000,
    killSignal: 'SIGKILL',
  });
  // Once Node is mended this says so, and `makeDirectory` may go.
  ok(signal === 'SIGKILL' || status === 1, stderr.toString('utf8'));
});
