/**
 * What follows a commit: delivery looks whether anything is due, a node that was revoked or has joined
 * again loses its stream, values that were destroyed leave the storage.
 *
 * Goes on whatever goes wrong with one step: without it nothing would be delivered or withdrawn.
 */
import type { Clock } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { Barrier, Change } from './barrier/barrier.ts';
import type { Delivery } from './delivery/delivery.ts';

export interface DeliveryFeedOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly barrier: Pick<Barrier, 'feed' | 'state'>;
  readonly delivery: Pick<Delivery, 'changed'>;
  readonly nodesChanged: () => void;
  readonly valuesDestroyed: () => void;
  /** The gateway sealed itself: another one writes to the store, or what it knows does not fit. */
  readonly sealed: () => void;
}

const againAfterMs = 1000;

export class DeliveryFeed {
  readonly #options: DeliveryFeedOptions;

  constructor(options: DeliveryFeedOptions) {
    this.#options = options;
  }

  /** From the commit after this call on, until the signal aborts or the gateway is sealed. */
  async run(signal: AbortSignal): Promise<void> {
    const { barrier, clock, log, sealed } = this.#options;
    const feed = barrier.feed();
    let again = false;
    try {
      while (!signal.aborted) {
        try {
          const { lost, changes } = again ? { lost: true, changes: [] } : await feed.next(signal);
          again = false;
          if (barrier.state !== 'ready') {
            sealed();
            return;
          }
          this.#step(lost, changes);
        } catch (error) {
          if (signal.aborted) return;
          again = true;
          log.error('feed.failed', errorFields(error));
          await clock.sleep(againAfterMs, signal).catch(() => {});
        }
      }
    } finally {
      feed.close();
    }
  }

  /** @param lost - Anything may have changed. */
  #step(lost: boolean, changes: readonly Change[]): void {
    const { delivery, nodesChanged, valuesDestroyed } = this.#options;
    if (lost || changes.some(({ kind }) => kind === 'node')) nodesChanged();
    delivery.changed();
    if (lost || changes.some(({ kind, removed }) => kind === 'value' && removed)) valuesDestroyed();
  }
}
