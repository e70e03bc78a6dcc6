/**
 * Goal: an enforcer on a kernel that it cannot work on does not start, and says what is missing.
 * Method: the real program under strace, which answers one call in the kernel's place as an older kernel
 * would. Control: with a call that is answered otherwise it gets as far as its state directory.
 */
import { equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

const hasStrace = spawnSync('strace', ['-V']).status === 0;
const missing = hasStrace ? false : 'needs strace: apt-get install strace';
const skip = process.getuid?.() === 0 ? missing : 'needs root: sudo npm run verify';

function startWith(t: TestContext, call: string, answer: string) {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-kernel-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const places = ['--state', join(directory, 'state'), '--run', join(directory, 'run')];
  const program = [join(import.meta.dirname, '..', 'main.ts'), 'enforcer', ...places];
  const injected = ['-e', `trace=${call}`, '-e', `inject=${call}:error=${answer}`];
  const words = ['-f', '-qq', '-o', '/dev/null', ...injected, process.execPath, ...program];
  const { status, stderr } = spawnSync('strace', words, { encoding: 'utf8' });
  return { status, stderr };
}

for (const call of ['openat2', 'mount_setattr']) {
  test(`an enforcer does not start without ${call}`, { skip }, (t) => {
    const { status, stderr } = startWith(t, call, 'ENOSYS');
    equal(status, 1);
    match(stderr, new RegExp(`lacks ${call} \\[enforcer\\.kernel-too-old\\]`));
  });
}

test('control: a call that refuses is there', { skip }, (t) => {
  const { stderr } = startWith(t, 'mount_setattr', 'EPERM');
  match(stderr, /\[enforcer\.not-joined\]/);
});
