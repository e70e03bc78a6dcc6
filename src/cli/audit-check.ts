/**
 * Checks every entry of an audit log, in order, against one signed checkpoint.
 *
 * Promises
 *   - Success means: the entries 0 … size − 1, byte for byte, are exactly those whose root the log's
 *     key signed; and each says of itself the place where it stands.
 *   - Failure names the first entry that is wrong: by itself where its own bytes or what is shown of
 *     it betray it; else by asking for proofs (`Locate`).
 * Memory: one hash per level of the tree and one root per segment, however long the log is.
 */
import { assert } from '../base/assert.ts';
import { Fault } from '../base/fault.ts';
import type { Checkpoint } from '../crypto/checkpoint.ts';
import { EntryTree } from '../crypto/merkle-verify.ts';
import { decodeBase64 } from '../crypto/note.ts';
import { firstDifference, readEntryBytes } from './audit-entry-bytes.ts';
import type { EntryItem } from './views.ts';

/** Entries between two remembered roots. */
export const segmentSize = 500;

export interface Segment {
  readonly size: number;
  readonly root: Buffer;
}

/**
 * Finds the first entry that the signed tree does not have here, given the roots on the way.
 *
 * @returns its sequence, or undefined if it cannot be told.
 */
export type Locate = (segments: readonly Segment[]) => Promise<number | undefined>;

export class AuditCheck {
  readonly #checkpoint: Checkpoint;
  readonly #tree = new EntryTree();
  readonly #segments: Segment[] = [{ size: 0, root: new EntryTree().root() }];

  readonly #seen: Segment | undefined;
  #isFork = false;

  /** @param seen - An earlier state of this log that must be the beginning of this one. */
  constructor(checkpoint: Checkpoint, seen?: { readonly size: number; readonly root: Uint8Array }) {
    this.#checkpoint = checkpoint;
    this.#seen = seen && seen.size > 0 ? { size: seen.size, root: Buffer.from(seen.root) } : undefined;
  }

  get size(): number {
    return this.#tree.size;
  }

  get isComplete(): boolean {
    return this.#tree.size === this.#checkpoint.size;
  }

  /** @throws Fault `audit.altered` */
  add(base64: string, shown?: EntryItem): void {
    assert(!this.isComplete, 'entries beyond the checkpoint are not looked at');
    const sequence = this.#tree.size;
    const bytes = decodeBase64(base64);
    const signed = bytes && readEntryBytes(bytes);
    if (!bytes || !signed) throw altered(sequence, 'its bytes are no entry');
    if (signed.sequence !== sequence) {
      throw altered(sequence, `entry ${signed.sequence} stands in its place`);
    }
    const difference = shown && firstDifference(shown, signed);
    if (difference !== undefined) throw altered(sequence, `shows another ${difference} than it signs`);
    this.#tree.add(bytes);
    if (this.#tree.size % segmentSize === 0) this.#remember();
    if (this.#tree.size === this.#seen?.size) this.#isFork = !this.#tree.root().equals(this.#seen.root);
  }

  /**
   * After the last entry.
   *
   * @throws Fault `audit.altered`; `audit.fork` if the log is signed, but is not a continuation of
   *   what was seen before.
   */
  async finish(locate: Locate): Promise<void> {
    const { size, root } = this.#checkpoint;
    if (!this.isComplete) throw altered(this.#tree.size, `is missing: ${size} entries are signed`);
    if (this.#tree.root().equals(root)) {
      if (this.#isFork) throw new Fault('audit.fork', { seen: this.#seen?.size, now: size });
      return;
    }
    this.#remember();
    const sequence = await locate(this.#segments);
    throw altered(sequence, 'is not the entry that was signed');
  }

  #remember(): void {
    if (this.#segments.at(-1)?.size === this.#tree.size) return;
    this.#segments.push({ size: this.#tree.size, root: this.#tree.root() });
  }
}

/** The first segment whose root is not on the way to the signed one: consistency is monotone. */
export async function firstBadSegment(
  segments: readonly Segment[],
  isConsistent: (segment: Segment) => Promise<boolean>,
): Promise<Segment | undefined> {
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const segment = segments[middle];
    assert(segment !== undefined, 'the middle lies between the ends');
    if (await isConsistent(segment)) low = middle + 1;
    else high = middle;
  }
  return segments[low];
}

export function altered(sequence: number | undefined, problem: string): Fault {
  return new Fault('audit.altered', { ...(sequence === undefined ? {} : { sequence }), problem });
}
