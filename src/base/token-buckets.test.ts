/**
 * Goal: a key takes no more than its share, and a million keys take no memory.
 * Method: a clock that stands still until it is told to go on. What is remembered shows in what a key may
 * take: one that was forgotten has all of it again.
 */
import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../testing/manual-clock.ts';
import { TokenBuckets } from './token-buckets.ts';

function setUp(rate = { perSecond: 2, burst: 4 }) {
  const clock = new ManualClock();
  return { clock, buckets: new TokenBuckets(clock, rate) };
}

/** How many of `count` keys that are new may take one. */
function newcomers(buckets: TokenBuckets, name: string, count: number): number {
  const keys = Array.from({ length: count }, (_, index) => `${name}-${index}`);
  return keys.filter((key) => buckets.take(key) === 0).length;
}

test('take says how long to wait once the burst is used up, for each key by itself', () => {
  const { clock, buckets } = setUp();
  for (let count = 0; count < 4; count += 1) equal(buckets.take('a'), 0);
  equal(buckets.take('a'), 500);
  clock.advance(250);
  equal(buckets.take('a'), 250);
  equal(buckets.take('b'), 0, 'another key has its own');
  clock.advance(250);
  equal(buckets.take('a'), 0);
  clock.advance(3_600_000);
  equal(buckets.level('a'), 4, 'never more than the burst');
});

test('what is spent without asking is paid off first', () => {
  const { clock, buckets } = setUp();
  equal(buckets.level('a'), 4);
  buckets.spend('a', 10);
  equal(buckets.level('a'), -6);
  equal(buckets.take('a'), 3500);
  clock.advance(3500);
  equal(buckets.take('a'), 0);
});

test('what is given back can be taken again, and is never more than the burst', () => {
  const { clock, buckets } = setUp();
  buckets.giveBack('unknown');
  equal(buckets.level('unknown'), 4);
  for (let count = 0; count < 4; count += 1) equal(buckets.take('a'), 0);
  buckets.giveBack('a');
  equal(buckets.take('a'), 0);
  equal(buckets.take('a'), 500, 'control');
  clock.advance(2000);
  buckets.giveBack('a');
  equal(buckets.level('a'), 4);
});

test('keys whose buckets are full again make room; while there is none newcomers wait', () => {
  const { clock, buckets } = setUp();
  const known = newcomers(buckets, 'first', 20_000);
  ok(known < 20_000, 'no more than there is room for');
  equal(buckets.take('new'), 1000);
  equal(buckets.take('first-0'), 0, 'control: who is known goes on');
  clock.advance(500);
  equal(newcomers(buckets, 'second', 20_000), known - 1, 'one for each that is full, and no more');
});

test('who owes is not forgotten, however many come', () => {
  const { clock, buckets } = setUp();
  buckets.spend('debtor', 1000);
  for (let round = 0; round < 3; round += 1) {
    newcomers(buckets, `round-${round}`, 20_000);
    clock.advance(500);
  }
  ok(buckets.level('debtor') < 0);
  ok(buckets.take('debtor') > 0);
});
