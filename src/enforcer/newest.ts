/**
 * The highest revision that was acted on in each place, for as long as its workload runs: also where a set
 * was withdrawn or wiped since, and nothing is left of it.
 */
import { type SetKey, setKeyText } from '../model/assignment.ts';

export interface PlaceRevision extends SetKey {
  readonly setRevision: number;
}

export class Newest {
  readonly #places = new Map<string, PlaceRevision>();

  /** @returns undefined if there never was a set. */
  in(place: SetKey): number | undefined {
    return this.#places.get(setKeyText(place))?.setRevision;
  }

  get all(): Iterable<PlaceRevision> {
    return this.#places.values();
  }

  /** Never lowers what is known. */
  note({ workloadId, target, setRevision }: PlaceRevision): void {
    if ((this.in({ workloadId, target }) ?? -1) >= setRevision) return;
    this.#places.set(setKeyText({ workloadId, target }), { workloadId, target, setRevision });
  }

  forget(workloadId: string): void {
    for (const [key, place] of this.#places) {
      if (place.workloadId === workloadId) this.#places.delete(key);
    }
  }
}
