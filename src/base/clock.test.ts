/**
 * Goal: the boot clock is the kernel's, however often it is asked.
 * Method: asked between two readings of the kernel's, in bursts.
 */
import { ok } from 'node:assert/strict';
import { uptime } from 'node:os';
import { test } from 'node:test';
import { systemClock } from './clock.ts';

test('bootMs keeps to the kernel’s clock and never goes back', async () => {
  // The kernel's has a grain of 10 ms, and an answer may be a millisecond old.
  const slackMs = 12;
  let last = 0;
  for (let burst = 0; burst < 20; burst += 1) {
    for (let call = 0; call < 100; call += 1) {
      const least = uptime() * 1000 - slackMs;
      const now = systemClock.bootMs();
      ok(now >= least && now <= uptime() * 1000 + slackMs && now >= last);
      last = now;
    }
    await systemClock.sleep(2);
  }
});
