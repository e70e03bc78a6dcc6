/**
 * Goal: what waits for a lull runs once after each, and never in the middle of work.
 * Method: a clock that is moved by hand.
 */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../testing/manual-clock.ts';
import { Lull } from './lull.ts';

test('a lull begins when nothing has stirred for its time, and is acted on once', () => {
  const clock = new ManualClock();
  const acted: number[] = [];
  const lull = new Lull(clock, 5000, () => acted.push(clock.monotonicMs()));
  const startMs = clock.monotonicMs();
  clock.advance(20_000);
  lull.stir();
  clock.advance(4999);
  lull.stir();
  clock.advance(4999);
  deepEqual(acted, []);
  clock.advance(1);
  clock.advance(20_000);
  deepEqual(acted, [startMs + 29_999]);
  lull.stir();
  clock.advance(5000);
  deepEqual(acted.length, 2);
});

test('nothing is done after its end', () => {
  const clock = new ManualClock();
  let acted = 0;
  const lull = new Lull(clock, 5000, () => (acted += 1));
  lull.stir();
  lull[Symbol.dispose]();
  lull.stir();
  clock.advance(20_000);
  deepEqual(acted, 0);
});
