/**
 * Verifying an audit log offline: its entries' canonical bytes against checkpoints that somebody
 * remembers. Trusts nothing that the gateway says but its public key, and shares no code with what
 * writes the log.
 *
 * Promises
 *   - `verified` only if every entry carries its own place, and the tree of the entries has the root of
 *     every checkpoint given, at its size: nothing older was changed, removed, inserted or reordered.
 *   - Of a log that is not so, where the first wrong entry is: exactly, if it does not carry its own
 *     place; else between two checkpoints.
 * Does not promise
 *   - Anything about entries after the newest checkpoint: they are counted, not verified.
 *   - That a checkpoint was not signed over a forged log: only one that was remembered by somebody
 *     other than the log proves anything.
 */
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { EntryTree } from './merkle-verify.ts';
import { parseVerifier } from './note.ts';

export type AuditVerdict =
  | {
      readonly kind: 'verified';
      /** Entries that checkpoints cover. */
      readonly size: number;
      readonly root: Uint8Array;
      /** Entries after the newest checkpoint. */
      readonly unverified: number;
    }
  | {
      readonly kind: 'refused';
      readonly reason:
        | 'no-checkpoint'
        | 'bad-key'
        | 'bad-checkpoint'
        /** Two checkpoints of one size and epoch with different roots: the log forked. */
        | 'fork'
        /** There are fewer entries than a checkpoint says. */
        | 'cut'
        /** An entry is not in its place. */
        | 'misplaced'
        /** The entries do not have the root that was signed. */
        | 'changed';
      /** The first wrong entry is at least this one … */
      readonly from: number;
      /** … and at most this one. */
      readonly to: number;
    };

interface Remembered {
  readonly checkpoint: Checkpoint;
}

/** Version, then the entry's own sequence: all that a verifier reads of it. */
const entryVersion = 1;
const sequenceBytes = 8;

/** Takes entries one by one, so that a log of any length is verified in constant memory. */
export class AuditVerifier {
  readonly #checkpoints: readonly Remembered[];
  readonly #tree = new EntryTree();
  #next = 0;
  /** The newest size whose root was right. */
  #good = 0;
  #refused: AuditVerdict | undefined;

  /**
   * @param verifierKey - The log's key line, as remembered at first sight.
   * @param notes - Signed checkpoints, the more the closer an error is found; in any order.
   */
  constructor(verifierKey: string, notes: readonly string[]) {
    const verifier = parseVerifier(verifierKey);
    const opened: Remembered[] = [];
    if (verifier?.kind !== 'note') this.#refuse('bad-key', 0, 0);
    else {
      for (const note of notes) {
        const result = openCheckpoint(note, verifier);
        if (result.kind === 'verified') opened.push(result);
        else this.#refuse('bad-checkpoint', 0, 0);
      }
    }
    if (notes.length === 0) this.#refuse('no-checkpoint', 0, 0);
    this.#checkpoints = opened.toSorted((a, b) => a.checkpoint.size - b.checkpoint.size);
    this.#compare();
  }

  /** @param entry - Canonical bytes. Not kept. */
  add(entry: Uint8Array): void {
    if (this.#refused) return;
    const sequence = this.#tree.size;
    if (sequenceOf(entry) !== sequence) return this.#refuse('misplaced', sequence, sequence);
    this.#tree.add(entry);
    this.#compare();
  }

  finish(): AuditVerdict {
    const { size } = this.#tree;
    const missing = this.#checkpoints[this.#next];
    if (missing) this.#refuse('cut', size, size);
    if (this.#refused) return this.#refused;
    const newest = this.#checkpoints.at(-1)?.checkpoint;
    return {
      kind: 'verified',
      size: this.#good,
      root: newest?.root ?? new Uint8Array(0),
      unverified: size - this.#good,
    };
  }

  /** Compares the tree with every checkpoint of its size. */
  #compare(): void {
    const { size } = this.#tree;
    let root: Buffer | undefined;
    for (;;) {
      const due = this.#checkpoints[this.#next]?.checkpoint;
      if (this.#refused || due?.size !== size) break;
      root ??= this.#tree.root();
      if (Buffer.compare(root, due.root) !== 0) {
        const fork = this.#next > 0 && this.#good === size && size > 0;
        this.#refuse(fork ? 'fork' : 'changed', this.#good, Math.max(size - 1, 0));
        break;
      }
      this.#next += 1;
      this.#good = size;
    }
  }

  #refuse(
    reason: Extract<AuditVerdict, { kind: 'refused' }>['reason'],
    from: number,
    to: number,
  ): void {
    this.#refused ??= { kind: 'refused', reason, from, to };
  }
}

/** The place that an entry says it has, or −1. */
function sequenceOf(entry: Uint8Array): number {
  if (entry[0] !== entryVersion || entry.length < 1 + sequenceBytes) return -1;
  let sequence = 0;
  for (let index = 1; index <= sequenceBytes; index++)
    sequence = sequence * 256 + (entry[index] ?? 0);
  return sequence;
}
