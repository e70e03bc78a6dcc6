/** Starts the watchdog beside the enforcer, in a session of its own, so that it outlives it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Timer } from '../base/clock.ts';
import type { EnforcerConfig } from './config.ts';
import type { EnforcerContext } from './enforcer.ts';

/** Before one that was killed is started again. */
const againAfterMs = 1000;

/**
 * The watchdog stays when the enforcer ends, in whatever way: that is its purpose. A newer one takes the
 * older one's place (`run-watchdog.ts`). One that is killed is started again.
 */
export class WatchdogProcess implements Disposable {
  readonly #config: Pick<EnforcerConfig, 'runDirectory' | 'logLevel'>;
  readonly #context: Pick<EnforcerContext, 'log' | 'clock'>;
  #child: ChildProcess;
  #again: Timer | undefined;
  #disposed = false;

  constructor(
    config: Pick<EnforcerConfig, 'runDirectory' | 'logLevel'>,
    context: Pick<EnforcerContext, 'log' | 'clock'>,
  ) {
    this.#config = config;
    this.#context = context;
    this.#child = this.#start();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** It goes on watching what this enforcer leaves behind. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#again?.cancel();
  }

  #start(): ChildProcess {
    const { runDirectory, logLevel } = this.#config;
    const { log, clock } = this.#context;
    const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
    const cache = process.env['NODE_COMPILE_CACHE'];
    const argv = ['watchdog', '--run-directory', runDirectory, '--enforcer', String(process.pid)];
    const child = spawn(process.execPath, [coffer, ...argv, '--log-level', logLevel], {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit'],
      // Nothing of ours is in its environment; what it needs is in its arguments.
      env: {
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        HOME: process.env['HOME'] ?? '/',
        ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
      },
    });
    child.on('error', () => log.error('watchdog.not-started'));
    child.on('exit', (status, signal) => {
      // One that ends by itself was replaced.
      if (status === 0 || this.#disposed) return;
      log.warn('watchdog.ended', { reason: signal ?? `exit ${status}` });
      this.#again = clock.setTimer(againAfterMs, () => (this.#child = this.#start()));
    });
    child.unref();
    return child;
  }
}
