/** Starts the watchdog beside the enforcer, in a session of its own, so that it outlives it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Timer } from '../base/clock.ts';
import type { EnforcerConfig } from './config.ts';
import type { EnforcerContext } from './enforcer.ts';
import { livingWatchdog, watchdogArguments } from './run-watchdog.ts';

type WatchdogConfig = Pick<EnforcerConfig, 'runDirectory' | 'logLevel'>;

/** Before one that ended, or could not be started, is started again; doubled each time, up to the maximum. */
const againAfterMs = 1000;
const againAfterMsMax = 30_000;

/**
 * The watchdog stays when the enforcer ends, in whatever way: that is its purpose. A newer one takes the
 * older one's place (`run-watchdog.ts`). One that ends for any other reason is started again.
 */
export class WatchdogProcess implements Disposable {
  readonly #config: WatchdogConfig;
  readonly #context: Pick<EnforcerContext, 'log' | 'clock'>;
  readonly #spawn: (config: WatchdogConfig) => ChildProcess;
  /** The one that we started, while it runs. */
  #child: ChildProcess | undefined;
  #startedAtMs = 0;
  #pauseMs = againAfterMs;
  #again: Timer | undefined;
  #disposed = false;

  constructor(
    config: WatchdogConfig,
    context: Pick<EnforcerContext, 'log' | 'clock'>,
    spawnChild = spawnWatchdog,
  ) {
    this.#config = config;
    this.#context = context;
    this.#spawn = spawnChild;
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether any watchdog runs here: ours, or the one that took its place. */
  get isAlive(): boolean {
    return this.pid !== undefined || livingWatchdog(this.#config.runDirectory) !== undefined;
  }

  /** It goes on watching what this enforcer leaves behind. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#again?.cancel();
  }

  #start(): void {
    this.#startedAtMs = this.#context.clock.bootMs();
    let child: ChildProcess;
    try {
      child = this.#spawn(this.#config);
    } catch (error) {
      // Some errors are thrown, some are emitted: it depends on the errno.
      this.#notStarted(error as NodeJS.ErrnoException);
      return;
    }
    this.#child = child;
    child.on('error', (error) => this.#notStarted(error));
    child.on('exit', (status, signal) => this.#ended(signal ?? `exit ${status}`));
    child.unref();
  }

  #notStarted({ code }: NodeJS.ErrnoException): void {
    this.#context.log.error('watchdog.not-started', { reason: code });
    this.#startLater();
  }

  #ended(reason: string): void {
    const { runDirectory } = this.#config;
    const { log, clock } = this.#context;
    if (this.#disposed) return;
    // Its exit status does not tell: it is 0 after SIGTERM, and when its pid file is gone.
    const replacedBy = livingWatchdog(runDirectory);
    if (replacedBy === undefined) log.warn('watchdog.ended', { reason });
    else log.info('watchdog.replaced', { by: replacedBy });
    if (clock.bootMs() - this.#startedAtMs > againAfterMsMax) this.#pauseMs = againAfterMs;
    this.#startLater();
  }

  #startLater(): void {
    this.#child = undefined;
    if (this.#disposed) return;
    this.#again = this.#context.clock.setTimer(this.#pauseMs, () => {
      // The one that took its place may end too.
      if (livingWatchdog(this.#config.runDirectory) === undefined) this.#start();
      else this.#startLater();
    });
    this.#pauseMs = Math.min(this.#pauseMs * 2, againAfterMsMax);
  }
}

function spawnWatchdog({ runDirectory, logLevel }: WatchdogConfig): ChildProcess {
  const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
  const cache = process.env['NODE_COMPILE_CACHE'];
  const argv = [...watchdogArguments(runDirectory), '--enforcer', String(process.pid)];
  return spawn(process.execPath, [coffer, ...argv, '--log-level', logLevel], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit'],
    // Nothing of ours is in its environment; what it needs is in its arguments.
    env: {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: process.env['HOME'] ?? '/',
      ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
    },
  });
}
