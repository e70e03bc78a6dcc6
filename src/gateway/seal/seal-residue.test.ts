/**
 * Goal: after sealing and unsealing no wrapping key and no share is left in a buffer of ours (T9).
 * Method: every buffer that is made meanwhile is searched afterwards. Control: a copy would be found.
 */
import { equal, ok } from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemRandom as random } from '../../base/random.ts';
import { combineShares, readShare } from '../../crypto/shares.ts';
import { BufferWatch } from '../../testing/buffer-watch.ts';
import { createSeal, createUnsealer } from './seal.ts';

const rootKey = random.bytes(32);

function assertNoneLeft(watch: BufferWatch, secrets: readonly Uint8Array[]): void {
  for (const [index, secret] of secrets.entries()) equal(watch.holding(secret), 0, `${index}`);
  const [first = new Uint8Array(1)] = secrets;
  Buffer.from(first);
  equal(watch.holding(first), 1, 'control');
}

function newPlace(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-seal-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'key');
}

test('a key file’s key is nowhere else', async (t) => {
  const context = { random, keyFile: newPlace(t) };
  const { record } = await createSeal({ kind: 'keyfile' }, rootKey, context);
  const key = readFileSync(context.keyFile).subarray(-32);
  const watch = new BufferWatch(t);
  const outcome = await createUnsealer(record, context).supply(Buffer.alloc(0));
  ok(outcome.kind === 'unsealed' && outcome.rootKey.equals(rootKey));
  outcome.rootKey.fill(0);
  assertNoneLeft(watch, [key, rootKey]);
});

test('shares and the key that they give are nowhere else', async (t) => {
  const request = { kind: 'shares', count: 3, threshold: 2 } as const;
  const { record, shares } = await createSeal(request, rootKey, { random });
  const read = shares.slice(1).flatMap((text) => {
    const found = readShare(text);
    return found.kind === 'share' ? [found.share] : [];
  });
  equal(read.length, 2);
  const key = combineShares(read);
  const watch = new BufferWatch(t);
  const unsealer = createUnsealer(record, { random });
  const [first, second] = shares.slice(1) as [Buffer, Buffer];
  await unsealer.supply(first);
  const outcome = await unsealer.supply(second);
  ok(outcome.kind === 'unsealed' && outcome.rootKey.equals(rootKey));
  outcome.rootKey.fill(0);
  assertNoneLeft(watch, [key, rootKey, ...read.map(({ bytes }) => bytes)]);
});
