/**
 * What a gateway looks after while it is unsealed, whether anybody asks it for something or not. A chore
 * that fails comes again, and keeps none of the others from being done.
 */
import type { Clock } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { Audit } from './audit/audit.ts';
import type { Barrier } from './barrier/barrier.ts';

export interface HousekeepingOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly barrier: Pick<Barrier, 'purge'>;
  readonly audit: Pick<Audit, 'rewrap'>;
  readonly chores: Chores;
}

/** By name for the log: each is done every second, and has nothing to do nearly always. */
export type Chores = Readonly<Record<string, () => unknown>>;

const everyMs = 1000;

export class Housekeeping {
  readonly #options: HousekeepingOptions;
  /** Destroyed values are in the storage still. */
  #mustPurge = false;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  purgeSoon(): void {
    this.#mustPurge = true;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { audit, chores } = this.#options;
    const storage = { purge: () => this.#purge(), rewrap: () => audit.rewrap(signal) };
    // Rewrapping may take minutes: nothing else waits for it.
    await Promise.all([this.#keepDoing(storage, signal), this.#keepDoing(chores, signal)]);
  }

  async #keepDoing(chores: Chores, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      for (const [chore, act] of Object.entries(chores)) {
        try {
          if (!signal.aborted) await act();
        } catch (error) {
          if (!signal.aborted) log.warn('housekeeping.failed', { chore, ...errorFields(error) });
        }
      }
      await clock.sleep(everyMs, signal).catch(() => {});
    }
  }

  async #purge(): Promise<void> {
    if (!this.#mustPurge) return;
    this.#mustPurge = false;
    try {
      await this.#options.barrier.purge();
    } catch (error) {
      this.#mustPurge = true;
      throw error;
    }
  }
}
