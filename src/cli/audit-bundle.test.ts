/**
 * Goal: a bundle of any length is read whole, line by line, wherever its pieces begin and end.
 * Method: bundles larger than what is read at once, with lines of many lengths, and broken ones.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isFault } from '../base/fault.ts';
import { bundleFormat, openBundle } from './audit-bundle.ts';

const head = JSON.stringify({ format: bundleFormat, verifierKey: 'key', checkpoint: 'note' });

function fileWith(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-bundle-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'log.jsonl');
  writeFileSync(path, text);
  return path;
}

async function lengthsOf(path: string): Promise<readonly number[]> {
  const bundle = await openBundle(path);
  const lengths: number[] = [];
  for await (const entry of bundle.entries) lengths.push(entry.length);
  return lengths;
}

test('openBundle gives every entry of a file that is larger than what is read at once', async (t) => {
  const lengths = Array.from({ length: 20_000 }, (_, index) => 1 + ((index * 7919) % 400));
  const lines = lengths.map((length) => JSON.stringify(Buffer.alloc(length).toString('base64')));
  const path = fileWith(t, `${[head, ...lines].join('\n')}\n`);
  deepEqual(await lengthsOf(path), lengths);
});

test('openBundle reads a last line that does not end', async (t) => {
  const path = fileWith(t, `${head}\n"AAAA"`);
  equal((await lengthsOf(path)).length, 1);
});

test('openBundle refuses a line without end before it fills the memory', async (t) => {
  const path = fileWith(t, `${head}\n"${'A'.repeat(3 * 1024 * 1024)}`);
  await rejects(lengthsOf(path), { code: 'request.malformed' });
});

test('openBundle says in which line something is wrong', async (t) => {
  const wrong: readonly (readonly [string, number])[] = [
    ['kind: Group\n', 1],
    [`${head}\n"AAAA"\nnonsense\n`, 3],
    [`${head}\n"AAAA"\n"AAAA"\n7\n`, 4],
  ];
  for (const [text, line] of wrong) {
    const path = fileWith(t, text);
    await rejects(lengthsOf(path), (error) => {
      ok(isFault(error, 'request.malformed'));
      const { line: named, column, file, what } = error.detail;
      deepEqual([named, column, file ?? what], [line, 1, path]);
      return true;
    });
  }
});

test('openBundle refuses an empty file, and says so of one that is not there', async (t) => {
  await rejects(openBundle(fileWith(t, '')), { code: 'request.malformed' });
  await rejects(openBundle(join(tmpdir(), 'coffer-no-such-bundle')), { code: 'cli.file' });
});
