/**
 * How many files are in which state, over all workloads, for metrics: what is due is computed when it is
 * asked for, so nobody keeps such numbers. Some workloads are counted at a time, round after round.
 *
 * Promises
 *   - A step costs the same however many workloads there are.
 *   - Once nothing changes, the counts of the second full round from then on are exact.
 * Does not promise
 *   - One moment: a round of 100,000 workloads takes as many steps as there are slices of them.
 */
import type { Entitlements } from '../policy/policy.ts';
import type { Delivery } from './delivery.ts';
import { type HoldingStatus, holdingStates } from './set-state.ts';

export type HoldingCounts = Readonly<Record<HoldingStatus['state'], number>>;

/** A few milliseconds' worth. */
const workloadsPerStep = 2000;

export class HoldingCensus {
  readonly #delivery: Pick<Delivery, 'holdings'>;
  readonly #entitlements: Pick<Entitlements, 'workloads'>;
  #counts: HoldingCounts = countsFrom(new Map());
  #counting = new Map<HoldingStatus['state'], number>();
  #from = '';

  constructor(parts: {
    readonly delivery: Pick<Delivery, 'holdings'>;
    readonly entitlements: Pick<Entitlements, 'workloads'>;
  }) {
    this.#delivery = parts.delivery;
    this.#entitlements = parts.entitlements;
  }

  /** Counts some more. @returns the numbers of the last full round */
  step(): HoldingCounts {
    const from = this.#from;
    const next = this.#idAfter(from);
    const range = { from, ...(next === undefined ? {} : { to: next }) };
    for (const { state } of this.#delivery.holdings(range)) {
      this.#counting.set(state, (this.#counting.get(state) ?? 0) + 1);
    }
    this.#from = next ?? '';
    if (next === undefined) {
      this.#counts = countsFrom(this.#counting);
      this.#counting = new Map();
    }
    return this.#counts;
  }

  /** Where the next step begins; undefined after the last workload. */
  #idAfter(from: string): string | undefined {
    let count = 0;
    for (const { id } of this.#entitlements.workloads({ from })) {
      if (count === workloadsPerStep) return id;
      count += 1;
    }
    return undefined;
  }
}

function countsFrom(counted: ReadonlyMap<HoldingStatus['state'], number>): HoldingCounts {
  const counts = holdingStates.map((state) => [state, counted.get(state) ?? 0] as const);
  return Object.fromEntries(counts) as HoldingCounts;
}
