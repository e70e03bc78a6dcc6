/**
 * Goal: what `coffer init` is given, and what it shows once, stays in buffers, and none of it is left
 * when it ends.
 * Method: the program itself in a world of its own; every buffer that is made meanwhile, and every one
 * that it was handed, is searched afterwards. Control: a copy would be found.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../base/clock.ts';
import type { ProgramIo } from '../base/program.ts';
import { systemRandom } from '../base/random.ts';
import { readShare } from '../crypto/shares.ts';
import { BufferWatch } from '../testing/buffer-watch.ts';
import { run } from './gateway-program.ts';

const passphrase = 'correct horse battery staple';

interface World {
  readonly path: (name: string) => string;
  readonly init: (argv: readonly string[], chunks?: readonly Buffer[]) => Promise<number>;
  /** Everything on standard output, as it would be read. */
  readonly shown: () => string;
  /** What came as text, on either output. */
  readonly asText: () => string;
  /** What came as bytes: as it was then, and the buffer itself. */
  readonly asBytes: readonly { readonly text: string; readonly now: Buffer }[];
}

function newWorld(t: TestContext): World {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-init-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const texts: string[] = [];
  const asBytes: { text: string; now: Buffer }[] = [];
  let shown = '';
  const output = (isStdout: boolean) => ({
    isTty: false,
    write(text: string) {
      texts.push(text);
      if (isStdout) shown += text;
    },
    async writeBytes(now: Buffer) {
      const text = now.toString('latin1');
      asBytes.push({ text, now });
      if (isStdout) shown += text;
    },
  });
  const ioWith = (chunks: readonly Buffer[]): ProgramIo => ({
    env: {},
    envBytes: () => undefined,
    cwd: directory,
    stdin: {
      isTty: false,
      async *chunks() {
        yield* chunks;
      },
      setRaw: () => undefined,
    },
    stdout: output(true),
    stderr: output(false),
    clock: systemClock,
    random: systemRandom,
    signal: new AbortController().signal,
  });
  return {
    path: (name) => join(directory, name),
    init: (argv, chunks = []) =>
      run(['init', '--data', join(directory, 'data'), ...argv], ioWith(chunks)),
    shown: () => shown,
    asText: () => texts.join(''),
    asBytes,
  };
}

for (const form of ['text', 'json'] as const) {
  test(`init shows shares as bytes that are wiped once they are written: ${form}`, async (t) => {
    const world = newWorld(t);
    const watch = new BufferWatch(t);
    equal(await world.init(form === 'json' ? ['-o', 'json'] : []), 0);
    const shares =
      form === 'json'
        ? (JSON.parse(world.shown()) as { readonly shares: readonly string[] }).shares
        : [...world.shown().matchAll(/^share \d: (\S+)$/gm)].map(([, share = '']) => share);
    deepEqual(
      world.asBytes.map(({ text }) => text),
      shares,
    );
    equal(shares.length, 5);
    ok(!world.asText().includes('coffer-share-1-'));
    for (const { now } of world.asBytes) ok(now.every((byte) => byte === 0));
    for (const share of shares) {
      equal(watch.holding(bytesOf(share)), 0);
      const read = readShare(Buffer.from(share));
      ok(read.kind === 'share');
      equal(watch.holding(read.share.bytes), 1, 'only what was read just now');
    }
    equal(watch.holding(Buffer.from(shares[0] ?? '')), 2, 'control');
  });
}

test('init keeps nothing of the passphrase, from standard input or a file, taken or refused', async (t) => {
  const world = newWorld(t);
  const file = world.path('passphrase');
  writeFileSync(file, `${passphrase}\n`);
  const seal = ['--seal', 'passphrase', '--passphrase-file'];
  const pieces = (text: string): Buffer[] =>
    [text.slice(0, 9), text.slice(9)].map((piece) => Buffer.from(piece));
  const inTime = pieces(`${passphrase}\n`);
  const tooLong = pieces(passphrase.repeat(200));
  const nowhere = ['--data', '/proc/nope'];
  const watch = new BufferWatch(t);
  equal(await world.init([...seal, '-', ...nowhere], inTime), 7);
  equal(await world.init([...seal, '-'], tooLong), 2);
  match(world.asText(), /--passphrase-file is too long \[request\.invalid\]/);
  equal(await world.init([...seal, file]), 0);
  const secret = bytesOf(passphrase);
  equal(watch.holding(secret), 0);
  for (const chunk of [...inTime, ...tooLong]) ok(chunk.every((byte) => byte === 0));
  Buffer.from(passphrase);
  equal(watch.holding(secret), 1, 'control');
});

test('init says what is wrong with a passphrase file', async (t) => {
  const world = newWorld(t);
  const seal = ['--seal', 'passphrase', '--passphrase-file'];
  equal(await world.init([...seal, world.path('missing')]), 2);
  match(
    world.asText(),
    /--passphrase-file cannot be read: no such file or directory \(ENOENT\) \[request\.invalid\]/,
  );
  equal(await world.init([...seal, world.path('.')]), 2);
  match(world.asText(), /--passphrase-file cannot be read: [^\n]* \(EISDIR\) \[request\.invalid\]/);
  writeFileSync(world.path('short'), 'hunter2\n');
  equal(await world.init([...seal, world.path('short')]), 2);
  match(world.asText(), /must have 12 … 1024 bytes/);
});

/** Not by `Buffer.from`, which is watched. */
function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
