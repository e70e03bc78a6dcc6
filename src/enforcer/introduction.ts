/**
 * What the hello says of this node's containers, and what follows it. A hello is one frame, and a gateway
 * hangs up on one that is longer: then a few containers with many long labels, or very many containers,
 * would take the whole node off the line.
 *
 * Those that hold something come first: of the others the gateway has nothing to learn but that they run.
 */
import { limits } from '../base/limits.ts';
import type { HeldSet } from '../model/assignment.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { encodeFromEnforcer } from '../protocol/stream-messages.ts';

export interface Introduction {
  readonly workloads: readonly WorkloadFacts[];
  readonly held: readonly HeldSet[];
  /** To be told one by one. */
  readonly later: readonly WorkloadFacts[];
}

/** Half a frame: the rest of the hello, a checkpoint above all, needs some too. */
const bytesMaxDefault = limits.streamFrameBytesMax / 2;

export function introduce(
  workloads: readonly WorkloadFacts[],
  held: readonly HeldSet[],
  bytesMax = bytesMaxDefault,
): Introduction {
  const heldBy = Map.groupBy(held, ({ workloadId }) => workloadId);
  const holds = (workload: WorkloadFacts): number => (heldBy.has(workload.id) ? 0 : 1);
  const first: WorkloadFacts[] = [];
  const firstHeld: HeldSet[] = [];
  const later: WorkloadFacts[] = [];
  let bytes = 0;
  for (const workload of workloads.toSorted((one, other) => holds(one) - holds(other))) {
    const sets = heldBy.get(workload.id) ?? [];
    bytes += sizeOf(workload, sets);
    const isTooMuch =
      bytes > bytesMax ||
      first.length === limits.workloadsPerNodeMax ||
      firstHeld.length + sets.length > limits.workloadsPerNodeMax;
    if (isTooMuch) {
      later.push(workload);
      continue;
    }
    first.push(workload);
    firstHeld.push(...sets);
  }
  return { workloads: first, held: firstHeld, later };
}

function sizeOf(workload: WorkloadFacts, sets: readonly HeldSet[]): number {
  const started = encodeFromEnforcer({ kind: 'workload-started', workload }).length;
  return sets.reduce((bytes, set) => {
    const receipt = { ...set, outcome: 'placed', fault: '', tookUs: 0 } as const;
    return bytes + encodeFromEnforcer({ kind: 'receipt', receipt }).length;
  }, started);
}
