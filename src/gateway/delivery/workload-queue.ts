/**
 * Which workloads are to be looked at, and the loop that looks at them: many together, because their
 * entries share one commit, and one bunch after another. What fails is looked at again.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { errorFields, type Log } from '../../base/log.ts';
import type { WorkloadId } from '../../model/workload.ts';

/** Why a workload is looked at: something was committed, or its node said something. */
export type Cause = 'change' | 'word';

export interface WorkloadQueueOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Throws what should be tried again, for all of them. */
  readonly look: (marked: readonly (readonly [WorkloadId, Cause])[]) => Promise<void>;
}

/** Bounds what waits for one fsync. */
const togetherMax = 256;
const againAfterMs = 1000;

export class WorkloadQueue {
  readonly #options: WorkloadQueueOptions;
  readonly #waiting = new Map<WorkloadId, Cause>();
  readonly #later = new Set<WorkloadId>();
  #timer: Timer | undefined;
  #running = false;
  #closed = false;

  constructor(options: WorkloadQueueOptions) {
    this.#options = options;
  }

  mark(ids: Iterable<WorkloadId>, cause: Cause): void {
    if (this.#closed) return;
    for (const id of ids) {
      // A change is due whatever the node says besides.
      if (cause === 'change' || !this.#waiting.has(id)) this.#waiting.set(id, cause);
    }
    if (this.#waiting.size > 0 && !this.#running) void this.#run();
  }

  /** Looks at it in a second, for what its node said. */
  markLater(id: WorkloadId): void {
    if (this.#closed) return;
    this.#later.add(id);
    this.#timer ??= this.#options.clock.setTimer(againAfterMs, () => {
      this.#timer = undefined;
      const ids = [...this.#later];
      this.#later.clear();
      this.mark(ids, 'word');
    });
  }

  forget(id: WorkloadId): void {
    this.#waiting.delete(id);
    this.#later.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  #take(): (readonly [WorkloadId, Cause])[] {
    const marked: (readonly [WorkloadId, Cause])[] = [];
    for (const next of this.#waiting) {
      if (marked.length === togetherMax) break;
      marked.push(next);
      this.#waiting.delete(next[0]);
    }
    return marked;
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { clock, log, look } = this.#options;
    try {
      // One turn, so that all that one message or commit marked is decided together.
      await clock.nextTurn();
      while (this.#waiting.size > 0 && !this.#closed) {
        const marked = this.#take();
        try {
          await look(marked);
        } catch (error) {
          log.warn('delivery.waits', errorFields(error));
          // What a node's word asked for was charged to it once.
          this.mark(
            marked.map(([id]) => id),
            'change',
          );
          await clock.sleep(againAfterMs);
        }
      }
    } finally {
      this.#running = false;
    }
  }
}
