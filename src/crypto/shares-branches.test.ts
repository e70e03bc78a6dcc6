/**
 * Goal: which path shares take says nothing about the key: no branch, early end or short cut depends on
 * secret bytes (V23).
 * Method: split, write, read and combine different keys in the same way, and have V8 count how often
 * each block of shares.ts ran: the counts must be the same. Controls: functions of this file that look
 * at what they are given, each in another way, are told apart by the same count.
 *
 * What cannot be shown: look-ups in tables run the same blocks whatever is looked up, and what the
 * compiler and the processor make of arithmetic is theirs.
 */
import { deepEqual, equal, notDeepEqual, ok } from 'node:assert/strict';
import { Session } from 'node:inspector';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { systemRandom as random } from '../base/random.ts';
import { combineShares, formatShare, readShare, type Share, splitKey } from './shares.ts';

// Optimised code stops counting, and what was compiled before counting began is not counted in blocks.
for (const tier of ['opt', 'maglev', 'sparkplug']) setFlagsFromString(`--no-${tier}`);
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** How often each block of a file ran since this was asked last, by function and place. */
function takeCounts(url: string): readonly string[] {
  let counts: readonly string[] = [];
  // Answers at once: the session is this thread's own.
  session.post('Profiler.takePreciseCoverage', (error, { result }) => {
    equal(error, null);
    counts = result
      .filter((script) => script.url === url)
      .flatMap(({ functions }) => functions)
      .flatMap(({ functionName, ranges }) =>
        ranges.map(({ startOffset, count }) => `${functionName} ${startOffset}: ${count}`),
      );
  });
  return counts;
}

function blocksRun(url: string, act: () => void): readonly string[] {
  act(); // What runs for the first time is told more of.
  takeCounts(url);
  act();
  return takeCounts(url);
}

const sharesUrl = new URL('./shares.ts', import.meta.url).href;

function lineOf(key: Buffer): void {
  const shares = splitKey(key, { count: 3, threshold: 2, random });
  const read = shares.map((share) => {
    const text = formatShare(share);
    const shouted = Buffer.from(text.toString('latin1').toUpperCase());
    deepEqual(readShare(shouted), { kind: 'share', share });
    return readShare(text);
  });
  const again = read.flatMap((one) => (one.kind === 'share' ? [one.share] : []));
  deepEqual(combineShares(again.slice(1)), key);
}

test('shares take the same path for every key', () => {
  const keys = [Buffer.alloc(32), Buffer.alloc(32, 0xff), ...Array.from({ length: 20 }, randomKey)];
  const expected = blocksRun(sharesUrl, () => lineOf(randomKey()));
  ok(expected.some((line) => line.startsWith('digitOf')));
  for (const key of keys)
    deepEqual(
      blocksRun(sharesUrl, () => lineOf(key)),
      expected,
    );
});

test('of a text that is refused the path does not say which letters were wrong', () => {
  const [share] = splitKey(randomKey(), { count: 2, threshold: 2, random });
  const refuse = (at: number, letter: string) => (): void => {
    const text = formatShare(share as Share);
    text.write(letter, at, 'latin1');
    deepEqual(readShare(text), { kind: 'refused', reason: 'mistyped' });
  };
  const expected = blocksRun(sharesUrl, refuse(20, '!'));
  for (const at of [31, 60, 97]) {
    for (const letter of ['u', '*', '\0', '\xff']) {
      deepEqual(blocksRun(sharesUrl, refuse(at, letter)), expected);
    }
  }
});

test('control: whatever looks at its bytes is told by its blocks', () => {
  const lookers: Readonly<Record<string, (byte: number) => unknown>> = {
    chooses: (byte) => (byte < 10 ? 0x30 + byte : 0x57 + byte),
    cutsShort: (byte) => byte >= 10 && byte < 18,
    endsEarly(byte) {
      for (let value = 0; value < 32; value++) if (value === byte) return value;
      return -1;
    },
  };
  for (const [name, looker] of Object.entries(lookers)) {
    const blocksOf = (byte: number): readonly string[] =>
      blocksRun(import.meta.url, () => looker(byte)).filter((line) => line.startsWith(name));
    deepEqual(blocksOf(3), blocksOf(3));
    notDeepEqual(blocksOf(3), blocksOf(30), name);
  }
});

function randomKey(): Buffer {
  return random.bytes(32);
}
