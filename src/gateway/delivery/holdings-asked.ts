/** Which holdings somebody asks for, and going through workloads in order without sorting all of them. */
import type { SecretId } from '../../model/id.ts';
import type { SecretName } from '../../model/name.ts';
import type { WorkloadId } from '../../model/workload.ts';
import type { SetState } from './set-state.ts';

export interface HoldingsAsked {
  /** Workloads from this id on. */
  readonly from?: string;
  readonly secret?: SecretName;
  readonly node?: string;
  /** Id or name. */
  readonly workload?: string;
}

/** Ids sorted at once: about what one page needs. */
const togetherMax = 1024;

/** In order, from `from` (included) on: a pass over what is left for each thousand that is taken. */
export function* idsInOrder(ids: Iterable<WorkloadId>, from = ''): Generator<WorkloadId> {
  let left = [...ids].filter((id) => id >= from);
  while (left.length > 0) {
    const { first, rest } = firstOf(left, togetherMax);
    yield* first;
    left = rest;
  }
}

/** The first `max` in order, and all that are not among them. */
function firstOf(
  ids: readonly WorkloadId[],
  max: number,
): { readonly first: readonly WorkloadId[]; readonly rest: WorkloadId[] } {
  const rest: WorkloadId[] = [];
  let first: WorkloadId[] = [];
  let last: WorkloadId | undefined;
  const cut = (): void => {
    first.sort();
    rest.push(...first.slice(max));
    first = first.slice(0, max);
    last = first.length === max ? first.at(-1) : undefined;
  };
  for (const id of ids) {
    if (last !== undefined && id > last) rest.push(id);
    else first.push(id);
    if (first.length >= 4 * max) cut();
  }
  cut();
  return { first, rest };
}

export function isHeld(states: Iterable<SetState>, secretId: SecretId): boolean {
  for (const { held } of states) {
    if (held?.files.some((file) => file.secretId === secretId)) return true;
  }
  return false;
}
