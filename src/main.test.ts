/**
 * Goal: a bug ends the program at once, says where it was, and repeats nothing of what it was about (V13);
 * a log that nobody reads ends none.
 * Method: the real entry with a module before it that throws a canary, or writes a log line, once the
 * program is up. Controls: the same without our entry, where node prints the canary; a command, which ends
 * with its reader.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';

const canary = 'hunter2-canary';

/** Bugs as they happen: each is thrown where nobody catches it. */
const bugs: Readonly<Record<string, string>> = {
  'an error': `throw new Error('${canary}')`,
  'an error whose text looks like a stack': `throw new Error('x\\n    at ${canary}')`,
  'an error with a cause': `throw new TypeError('x', { cause: '${canary}' })`,
  'an error with more to it': `throw Object.assign(new TypeError('x'), { value: '${canary}' })`,
  'what is no error': `throw '${canary}'`,
  'a rejection nobody waits for': `Promise.reject(new Error('${canary}'))`,
  'a rejection with what is no error': `Promise.reject({ value: '${canary}' })`,
};

const entry = join(import.meta.dirname, 'main.ts');

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-main-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A program that would run on: the watchdog of this process, with nothing to watch. */
const watchdogOf = (directory: string): readonly string[] => [
  ...['watchdog', '--run-directory', directory, '--enforcer', String(process.pid)],
];

async function crash(t: TestContext, options: { readonly bug: string; readonly isOurs: boolean }) {
  const directory = temporaryDirectory(t);
  // Only once the program is up, or it would be node's own end that is looked at.
  const isUp = options.isOurs ? `process.listenerCount('uncaughtException') > 0` : 'true';
  const preload = `const timer = setInterval(() => {
    if (!(${isUp})) return;
    clearInterval(timer);
    ${options.bug};
  }, 5);`;
  const rest = options.isOurs
    ? [entry, ...watchdogOf(directory)]
    : ['--eval', 'setInterval(() => {}, 1000)'];
  const preloaded = join(directory, 'preload.mjs');
  writeFileSync(preloaded, preload);
  const child = spawn(process.execPath, ['--import', preloaded, ...rest], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = (await once(child, 'exit')) as [number | null];
  const [stdout, stderr] = await said;
  return { status, stdout, stderr };
}

for (const [name, bug] of Object.entries(bugs)) {
  test(`a crash repeats nothing: ${name}`, async (t) => {
    const { status, stdout, stderr } = await crash(t, { bug, isOurs: true });
    deepEqual([status, stdout], [1, '']);
    ok(!stderr.includes(canary), stderr);
    equal(stderr.trim().split('\n').length, 1);
    const { level, event, code } = JSON.parse(stderr) as Readonly<Record<string, unknown>>;
    deepEqual([level, event, code], ['error', 'program.crashed', 'gateway.bug']);
  });
}

test('a crash says where it was', async (t) => {
  const { stderr } = await crash(t, { bug: `null.length`, isOurs: true });
  const { error, at = '' } = JSON.parse(stderr) as Readonly<Record<string, string>>;
  equal(error, 'TypeError');
  ok(at.startsWith('at '), at);
});

test('control: without our entry node prints the canary', async (t) => {
  const bug = bugs['an error'] ?? '';
  const { status, stderr } = await crash(t, { bug, isOurs: false });
  ok(status !== 0 && stderr.includes(canary));
});

/** Writes to standard error until it hears that nobody reads it; its status says that it lived on. */
const writer = `const timer = setInterval(() => {
    if (process.listenerCount('uncaughtException') === 0) return;
    clearInterval(timer);
    process.stderr.on('error', () => setImmediate(() => process.exit(42)));
    setInterval(() => process.stderr.write('line\\n'), 5);
  }, 5);`;

async function unread(t: TestContext, argv: readonly string[]): Promise<unknown> {
  const preloaded = join(temporaryDirectory(t), 'preload.mjs');
  writeFileSync(preloaded, writer);
  const child = spawn(process.execPath, ['--import', preloaded, entry, ...argv], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  child.stderr.destroy();
  const [status] = (await once(child, 'exit')) as [number | null];
  return status;
}

test('a log that nobody reads any more ends no program that secrets depend on', async (t) => {
  equal(await unread(t, watchdogOf(temporaryDirectory(t))), 42);
});

test('control: a command ends when its reader has gone', async (t) => {
  // It waits for its document on standard input.
  equal(await unread(t, ['diff', '-f', '-']), 141);
});
