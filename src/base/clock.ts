/**
 * The only place that reads the time or sets a timer. Everything else is given a `Clock`, so that
 * the simulator can run hours in milliseconds and one seed reproduces a run.
 */
import { uptime } from 'node:os';
import { performance } from 'node:perf_hooks';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch, UTC. For display and certificates; may jump. */
  wallMs(): number;
  /** Milliseconds since boot, also in suspend (CLOCK_BOOTTIME), 10 ms grain. For leases; never jumps. */
  bootMs(): number;
  /** Milliseconds from an arbitrary start, sub-millisecond grain. For measuring; stops in suspend. */
  monotonicMs(): number;
  /** Runs `act` once after `delayMs`. Does not keep the process alive. */
  setTimer(delayMs: number, act: () => void): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason if it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Resolves once everything that is ready now has had its turn. */
  nextTurn(): Promise<void>;
}

const bootGrainMs = 1;
let boot = { readAtMs: Number.NEGATIVE_INFINITY, ms: 0 };

/**
 * libuv opens, reads and closes /proc/uptime (CLOCK_BOOTTIME in text) for every answer, so within a
 * millisecond the answer is the same. The other clock stops in suspend, but no machine suspends and
 * resumes within a millisecond of it.
 */
function bootMs(): number {
  const nowMs = performance.now();
  if (nowMs - boot.readAtMs >= bootGrainMs) boot = { readAtMs: nowMs, ms: uptime() * 1000 };
  return boot.ms;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  bootMs,
  monotonicMs: () => performance.now(),
  setTimer(delayMs, act) {
    const handle = setTimeout(act, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        clearTimeout(handle);
        reject(signal?.reason as Error);
      };
      const handle = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, delayMs);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  },
  nextTurn: () => new Promise((resolve) => setImmediate(resolve)),
};

/** Runs `act` every `everyMs`, until it is cancelled. */
export function repeat(clock: Clock, everyMs: number, act: () => void): Timer {
  const next = (): Timer =>
    clock.setTimer(everyMs, () => {
      timer = next();
      act();
    });
  let timer = next();
  return { cancel: () => timer.cancel() };
}
