/**
 * Lets a few sets for one node leave before more are encoded for it: its enforcer begins with them while the
 * gateway goes on. Not where so many are due that it is the gateway's processor that they wait for, nor
 * between nodes: each write costs some of it.
 */
import type { Clock } from '../../base/clock.ts';

const togetherMax = 16;
/** A turn of `WorkloadQueue` that is not full. */
const pacedMax = 255;

export class Pace {
  readonly #clock: Pick<Clock, 'nextTurn'>;
  readonly #isPaced: boolean;
  #node = '';
  #together = 0;

  /** @param count - How many sets are due together. */
  constructor(clock: Pick<Clock, 'nextTurn'>, count: number) {
    this.#clock = clock;
    this.#isPaced = count <= pacedMax;
  }

  /** @returns what to wait for before the next set for this node; nearly always nothing. */
  before(node: string): Promise<void> | undefined {
    this.#together = node === this.#node ? this.#together + 1 : 0;
    this.#node = node;
    if (!this.#isPaced || this.#together < togetherMax) return undefined;
    this.#together = 0;
    return this.#clock.nextTurn();
  }
}
