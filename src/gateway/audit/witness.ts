/**
 * What a checkpoint that somebody remembers says about this log. Pure, but for the root of an earlier
 * size, which is computed when it is needed.
 */
import type { Checkpoint } from '../../crypto/checkpoint.ts';

/**
 * behind: it has seen less than there is. superseded: it is of a branch that an operator gave up.
 * rollback: it has seen more. fork: it has seen something else.
 */
export type WitnessVerdict = 'consistent' | 'behind' | 'superseded' | 'rollback' | 'fork';

export interface OurLog {
  readonly size: number;
  /** Where each epoch but the current one ends. */
  readonly epochEnds: readonly number[];
  /** The root of our first `size` entries. */
  rootAt(size: number): Promise<Uint8Array>;
}

const epochPattern = /^epoch (0|[1-9][0-9]{0,8})$/;

/** Checkpoints say how many rollbacks were accepted before them. Nothing is epoch 0. */
export function epochLines(epoch: number): readonly string[] {
  return epoch === 0 ? [] : [`epoch ${epoch}`];
}

export function epochOf(checkpoint: Checkpoint): number {
  for (const line of checkpoint.extensions) {
    const [, epoch] = epochPattern.exec(line) ?? [];
    if (epoch !== undefined) return Number(epoch);
  }
  return 0;
}

export async function judge(remembered: Checkpoint, ours: OurLog): Promise<WitnessVerdict> {
  const epoch = epochOf(remembered);
  if (epoch > ours.epochEnds.length) return 'rollback';
  // Of an earlier epoch only what came before its end is still ours; so too for all ends since.
  const kept = Math.min(Infinity, ...ours.epochEnds.slice(epoch));
  if (remembered.size > kept) return 'superseded';
  if (remembered.size > ours.size) return 'rollback';
  const root = await ours.rootAt(remembered.size);
  if (Buffer.compare(root, remembered.root) !== 0) return 'fork';
  return remembered.size === ours.size ? 'consistent' : 'behind';
}
