/** Steps for one thing happen one after the other; steps for different things do not wait for each other. */
import { errorFields, type Log } from '../base/log.ts';

export class Queues {
  readonly #log: Log;
  /** The end of each queue that is not empty. */
  readonly #tails = new Map<string, Promise<void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** @returns when this step is done; rejects as it does. The queue goes on whatever it did. */
  add(key: string, step: () => Promise<void>): Promise<void> {
    const tail = (this.#tails.get(key) ?? Promise.resolve()).then(step);
    const settled = tail
      .catch((error: unknown) => this.#log.error('step.failed', errorFields(error)))
      .then(() => {
        if (this.#tails.get(key) === settled) this.#tails.delete(key);
      });
    this.#tails.set(key, settled);
    return tail;
  }
}
