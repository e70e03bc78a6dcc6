/**
 * What to do about a set that the gateway assigned, or about the silence of the gateway. Pure
 * functions: given what is in place, they answer; `holdings.ts` acts.
 */
import type { AssignedFile, AssignedSet, HeldFile, HeldSet } from '../model/assignment.ts';

/** One set in place, with what is needed to let it go without asking anyone. */
export interface Holding extends HeldSet {
  readonly leaseMs: number;
  readonly keepOnLeaseLoss: boolean;
  /** Of a set that an earlier enforcer left: when the gateway was heard before that, on the boot clock. */
  readonly heardAtBootMs?: number;
  /** When this enforcer took such a set up. Before that the gateway does not know of it. */
  readonly takenUpAtBootMs?: number;
}

export type Step =
  /** The container has ended, or was never here: nothing is left to do. */
  | 'absent'
  /** What is in place is at least as new. */
  | 'stale'
  | 'withdraw'
  | 'place';

/**
 * Updates never go backwards: a set is acted on only if its revision is above the one in place, and
 * above that of the last set that was withdrawn there.
 */
export function stepFor(set: AssignedSet, newest: number, running: boolean): Step {
  if (!running) return 'absent';
  if (set.setRevision <= newest) return 'stale';
  return set.files.length === 0 ? 'withdraw' : 'place';
}

/** The assignment as it will be remembered: where each file's bytes come from, and no bytes. */
export function holdingOf(set: AssignedSet): Holding {
  return {
    workloadId: set.workloadId,
    target: set.target,
    setRevision: set.setRevision,
    files: set.files.map(({ name, secretId, version }): HeldFile => ({ name, secretId, version })),
    terms: set.terms,
    leaseMs: set.leaseMs,
    keepOnLeaseLoss: set.keepOnLeaseLoss,
  };
}

/** What the gateway is told of it. */
export function heldOf({ workloadId, target, setRevision, files, terms }: HeldSet): HeldSet {
  return { workloadId, target, setRevision, files, terms };
}

/**
 * What a set comes to when nothing new may, or can, be taken in: what leaves, leaves; what would be
 * replaced stays as it is, unless something in place is known to be bad.
 */
export function withoutNew(set: AssignedSet, held: HeldSet | undefined): AssignedSet {
  const files = set.files.flatMap((file): AssignedFile[] => {
    if (file.content === 'keep') return [file];
    const there = held?.files.find(
      ({ name, secretId }) => name === file.name && secretId === file.secretId,
    );
    if (there === undefined || set.urgent) return [];
    return [{ ...file, version: there.version, content: 'keep' }];
  });
  return { ...set, files };
}

/** Whether these are the files that are held already. */
export function isHeld(set: AssignedSet, held: HeldSet | undefined): boolean {
  const there = held?.files ?? [];
  return (
    set.files.length === there.length &&
    set.files.every(({ name, secretId, version }) =>
      there.some(
        (other) => other.name === name && other.secretId === secretId && other.version === version,
      ),
    )
  );
}

/**
 * When the lease that a set is on began. A word of the gateway renews it, unless the set was left by an
 * earlier enforcer and not taken up when that word came: the gateway could not withdraw what it does not know
 * of. All times are of the boot clock, which no one can set.
 *
 * @param heardAtMs - When the gateway was last heard.
 */
export function leaseBeganMs(holding: Holding, heardAtMs: number): number {
  const { heardAtBootMs = heardAtMs, takenUpAtBootMs = Number.POSITIVE_INFINITY } = holding;
  return heardAtMs >= takenUpAtBootMs ? heardAtMs : Math.min(heardAtBootMs, heardAtMs);
}

/** When a set must be wiped, unless the gateway is heard before. Infinite if never. */
export function leaseEndsMs(holding: Holding, heardAtMs: number): number {
  if (holding.keepOnLeaseLoss) return Number.POSITIVE_INFINITY;
  return leaseBeganMs(holding, heardAtMs) + holding.leaseMs;
}

/** Which sets must be wiped now. */
export function expired(
  holdings: Iterable<Holding>,
  heardAtMs: number,
  nowMs: number,
): readonly Holding[] {
  return [...holdings].filter((holding) => leaseEndsMs(holding, heardAtMs) <= nowMs);
}

/** When the next set must be wiped. Infinite if none ever will. */
export function nextExpiryMs(holdings: Iterable<Holding>, heardAtMs: number): number {
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const holding of holdings) {
    soonestMs = Math.min(soonestMs, leaseEndsMs(holding, heardAtMs));
  }
  return soonestMs;
}
