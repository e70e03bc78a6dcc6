/** Goal: one address takes no more than its share, and a million addresses take no memory. */
import { doesNotThrow, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '../../base/fault.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { SourceLimits } from './source-limits.ts';

const rules = {
  connectionsPerSourceMax: 2,
  connectionsPerSecond: 1,
  connectionsBurst: 3,
  requestsPerSecond: 2,
  requestsBurst: 4,
  strangerRequestsPerSecond: 1,
  strangerRequestsBurst: 1,
};

function setUp() {
  const clock = new ManualClock();
  return { limits: new SourceLimits(rules, clock), clock };
}

function admits(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (isFault(error, 'rate.exceeded')) return false;
    throw error;
  }
}

const after = (retryAfterSeconds: number) => ({
  code: 'rate.exceeded',
  detail: { retryAfterSeconds },
});

test('SourceLimits admits connections up to the number at a time and the rate', () => {
  const { limits, clock } = setUp();
  equal(limits.admitsConnection('a'), true);
  equal(limits.admitsConnection('a'), true);
  equal(limits.admitsConnection('a'), false, 'two at a time');
  equal(limits.admitsConnection('b'), true, 'another address has its own');
  limits.release('a');
  equal(limits.admitsConnection('a'), true);
  limits.release('a');
  equal(limits.admitsConnection('a'), false, 'the burst is used up');
  clock.advance(1000);
  equal(limits.admitsConnection('a'), true);
});

test('SourceLimits says how long a request has to wait', () => {
  const { limits, clock } = setUp();
  for (let count = 0; count < 4; count += 1) limits.admitRequest('a');
  throws(() => limits.admitRequest('a'), after(0.5));
  clock.advance(250);
  throws(() => limits.admitRequest('a'), after(0.25));
  clock.advance(250);
  doesNotThrow(() => limits.admitRequest('a'));
});

test('SourceLimits counts what needs no token by itself', () => {
  const { limits } = setUp();
  limits.admitStranger('a');
  throws(() => limits.admitStranger('a'), after(1));
  doesNotThrow(() => limits.admitStranger('b'));
  doesNotThrow(() => limits.admitRequest('a'));
});

test('SourceLimits forgets idle addresses and refuses new ones rather than grow', () => {
  const { limits, clock } = setUp();
  equal(limits.admitsConnection('busy'), true);
  equal(limits.admitsConnection('busy'), true);
  let [connections, requests] = [0, 0];
  for (let index = 0; index < 20_000; index += 1) {
    const address = `a${index}`;
    if (limits.admitsConnection(address)) {
      connections += 1;
      limits.release(address);
    }
    if (admits(() => limits.admitRequest(address))) requests += 1;
  }
  ok(connections < 17_000 && requests < 17_000, 'no more than there is room for');
  clock.advance(60_000);
  equal(limits.admitsConnection('new'), true, 'room is made once buckets are full again');
  doesNotThrow(() => limits.admitRequest('new'));
  equal(limits.admitsConnection('busy'), false, 'connections that are open are not forgotten');
});
