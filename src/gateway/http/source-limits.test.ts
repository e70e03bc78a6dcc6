/** Goal: one address takes no more than its share, and a million addresses take no memory. */
import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { SourceLimits } from './source-limits.ts';

const rules = {
  connectionsPerSourceMax: 2,
  connectionsPerSecond: 1,
  connectionsBurst: 3,
  requestsPerSecond: 2,
  requestsBurst: 4,
};

function setUp() {
  let nowMs = 0;
  const limits = new SourceLimits(rules, { ...systemClock, monotonicMs: () => nowMs });
  return { limits, pass: (ms: number) => void (nowMs += ms) };
}

test('SourceLimits admits connections up to the number at a time and the rate', () => {
  const { limits, pass } = setUp();
  equal(limits.admitsConnection('a'), true);
  equal(limits.admitsConnection('a'), true);
  equal(limits.admitsConnection('a'), false, 'two at a time');
  equal(limits.admitsConnection('b'), true, 'another address has its own');
  limits.release('a');
  equal(limits.admitsConnection('a'), true);
  limits.release('a');
  equal(limits.admitsConnection('a'), false, 'the burst is used up');
  pass(1000);
  equal(limits.admitsConnection('a'), true);
});

test('SourceLimits says how long a request has to wait', () => {
  const { limits, pass } = setUp();
  for (let count = 0; count < 4; count += 1) equal(limits.secondsUntilRequest('a'), 0);
  equal(limits.secondsUntilRequest('a'), 0.5);
  pass(250);
  equal(limits.secondsUntilRequest('a'), 0.25);
  pass(250);
  equal(limits.secondsUntilRequest('a'), 0);
});

test('SourceLimits forgets idle addresses and refuses new ones rather than grow', () => {
  const { limits, pass } = setUp();
  let admitted = 0;
  for (let index = 0; index < 20_000; index += 1) {
    if (limits.secondsUntilRequest(`a${index}`) === 0) admitted += 1;
  }
  ok(admitted < 17_000, 'no more than there is room for');
  pass(60_000);
  equal(limits.secondsUntilRequest('new'), 0, 'room is made once buckets are full again');
});
