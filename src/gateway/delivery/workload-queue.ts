/**
 * Which workloads are to be looked at, and the loop that looks at them: many together, because their
 * entries share one commit, and one bunch after another. What fails is looked at again.
 */
import type { Clock } from '../../base/clock.ts';
import { errorFields, type Log } from '../../base/log.ts';
import type { WorkloadId } from '../../model/workload.ts';

export interface WorkloadQueueOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Throws what should be tried again, for all of them. */
  readonly look: (ids: readonly WorkloadId[]) => Promise<void>;
}

/** Bounds what waits for one fsync. */
const togetherMax = 256;
const againAfterMs = 1000;

export class WorkloadQueue {
  readonly #options: WorkloadQueueOptions;
  readonly #waiting = new Set<WorkloadId>();
  #running = false;
  #closed = false;

  constructor(options: WorkloadQueueOptions) {
    this.#options = options;
  }

  mark(ids: Iterable<WorkloadId>): void {
    if (this.#closed) return;
    for (const id of ids) this.#waiting.add(id);
    if (this.#waiting.size > 0 && !this.#running) void this.#run();
  }

  forget(id: WorkloadId): void {
    this.#waiting.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#waiting.clear();
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { clock, log, look } = this.#options;
    try {
      // One turn, so that all that one message or commit marked is decided together.
      await clock.nextTurn();
      while (this.#waiting.size > 0 && !this.#closed) {
        const ids = this.#waiting.values().take(togetherMax).toArray();
        for (const id of ids) this.#waiting.delete(id);
        try {
          await look(ids);
        } catch (error) {
          log.warn('delivery.waits', errorFields(error));
          this.mark(ids);
          await clock.sleep(againAfterMs);
        }
      }
    } finally {
      this.#running = false;
    }
  }
}
