/**
 * Goal: a file of one person is nobody else's to read, to write or to put in the way.
 * Method: real files, modes and owners; what somebody may have left where the new file is written.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readPrivateFile, writeNewFile, writePrivateFile } from './private-file.ts';

function place(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-private-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('it is written for its owner alone, whatever the umask, and where nobody else may look', async (t) => {
  const path = join(place(t), 'a', 'b', 'token');
  const umask = process.umask(0);
  try {
    await writePrivateFile(path, 'secret');
  } finally {
    process.umask(umask);
  }
  const modeOf = (name: string): number => statSync(name).mode & 0o777;
  deepEqual([path, join(path, '..'), join(path, '..', '..')].map(modeOf), [0o600, 0o700, 0o700]);
});

test('it is not written through what stands where the new one is made', async (t) => {
  const directory = place(t);
  const [path, elsewhere] = [join(directory, 'token'), join(directory, 'elsewhere')];
  writeFileSync(elsewhere, 'theirs');
  symlinkSync(elsewhere, `${path}.new`);
  await writePrivateFile(path, 'secret');
  deepEqual([readFileSync(elsewhere, 'utf8'), readFileSync(path, 'utf8')], ['theirs', 'secret']);
  equal(statSync(path).mode & 0o777, 0o600);
});

test('a new file is there once it is whole; of one that is not finished nothing is left', async (t) => {
  const directory = place(t);
  const path = join(directory, 'backup');
  const failing = writeNewFile(path, async (append) => {
    await append('half');
    deepEqual(readdirSync(directory), ['backup.partial']);
    throw new Error('cut off');
  });
  await rejects(failing, { message: 'cut off' });
  deepEqual(readdirSync(directory), []);
  const size = await writeNewFile(path, async (append) => {
    await append('one ');
    await append(Buffer.from('two'));
    return 7;
  });
  deepEqual([size, readFileSync(path, 'utf8')], [7, 'one two']);
  equal(statSync(path).mode & 0o777, 0o600);
  deepEqual(readdirSync(directory), ['backup']);
});

test('a new file never takes the place of another, not even of one that was made meanwhile', async (t) => {
  const directory = place(t);
  const path = join(directory, 'backup');
  const late = writeNewFile(path, async (append) => {
    await append('ours');
    writeFileSync(path, 'theirs');
  });
  await rejects(late, { code: 'backup.exists' });
  let asked = false;
  const early = writeNewFile(path, async () => {
    asked = true;
  });
  await rejects(early, { code: 'backup.exists' });
  equal(asked, false, 'nothing was fetched for it');
  deepEqual([readdirSync(directory), readFileSync(path, 'utf8')], [['backup'], 'theirs']);
});

test('what others may read or write is refused, and what may be read is', async (t) => {
  const path = join(place(t), 'token');
  writeFileSync(path, 'x');
  const read = async (mode: number, secret: boolean): Promise<string> => {
    chmodSync(path, mode);
    return readPrivateFile(path, { secret }).then(String, (error: { code: string }) => error.code);
  };
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o666]) {
    equal(await read(mode, true), 'cli.file-unsafe', mode.toString(8));
  }
  for (const mode of [0o620, 0o602]) equal(await read(mode, false), 'cli.file-unsafe');
  deepEqual(
    [await read(0o600, true), await read(0o400, true), await read(0o644, false)],
    ['x', 'x', 'x'],
  );
  equal(await readPrivateFile(`${path}-not-there`, { secret: true }), undefined);
});

test('another person’s file is refused, though only they can write it', {
  skip: process.getuid?.() === 0 ? false : 'needs root to give a file away: sudo node --test',
}, async (t) => {
  const path = join(place(t), 'token');
  writeFileSync(path, 'x', { mode: 0o600 });
  equal(String(await readPrivateFile(path, { secret: true })), 'x', 'control');
  chownSync(path, 4321, 0);
  await rejects(readPrivateFile(path, { secret: true }), { code: 'cli.file-unsafe' });
});
