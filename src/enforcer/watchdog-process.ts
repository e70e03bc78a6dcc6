/** Starts the watchdog beside the enforcer, in a session of its own, so that it outlives it. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { EnforcerConfig } from './config.ts';
import type { EnforcerContext } from './enforcer.ts';

export interface WatchdogProcess extends AsyncDisposable {
  readonly pid: number | undefined;
}

/**
 * The watchdog stays when the enforcer ends, in whatever way: that is its purpose. A newer one takes the
 * older one's place (`watchdog.ts`).
 */
export function startWatchdog(
  config: Pick<EnforcerConfig, 'runDirectory' | 'logLevel'>,
  context: Pick<EnforcerContext, 'log'>,
): WatchdogProcess {
  const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
  const cache = process.env['NODE_COMPILE_CACHE'];
  const child = spawn(
    process.execPath,
    [coffer, 'watchdog', '--run-directory', config.runDirectory, '--log-level', config.logLevel],
    {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit'],
      // Nothing of ours is in its environment; what it needs is in its arguments.
      env: {
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        HOME: process.env['HOME'] ?? '/',
        ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
      },
    },
  );
  child.on('error', () => context.log.error('watchdog.not-started'));
  child.unref();
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      // On purpose nothing: it goes on watching what this enforcer leaves behind.
    },
  };
}
