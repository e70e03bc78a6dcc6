/**
 * The witness: this node remembers the last checkpoint of the gateway's audit tree that it accepted,
 * and accepts only what continues it. Every enforcer is one, so an administrator who rewrites the
 * log must also reach every node.
 *
 * Promises
 *   - What is answered was remembered first, durably.
 *   - After a fork or a rollback the node takes no new secrets, also not after a restart, until the log
 *     that it knows is continued; what is in place stays on its lease, and withdrawals are carried out.
 */
import { Fault } from '../base/fault.ts';
import type { Clock } from '../base/clock.ts';
import {
  addCosignatures,
  type Checkpoint,
  cosignCheckpoint,
  openCheckpoint,
} from '../crypto/checkpoint.ts';
import { verifyConsistency } from '../crypto/merkle-verify.ts';
import { type NoteSigner, type NoteVerifier, parseVerifier } from '../crypto/note.ts';

export interface WitnessMemory {
  /** The log's key, as first seen. */
  readonly verifier: string;
  /** The last checkpoint accepted; empty before the first. */
  readonly note: string;
  /** Why this node takes no new secrets; empty when it does. */
  readonly alarm: string;
}

export interface WitnessOptions {
  readonly clock: Clock;
  readonly signer: NoteSigner;
  readonly remembered: WitnessMemory | undefined;
  /** Durable when it returns. */
  readonly remember: (memory: WitnessMemory) => void;
}

export type WitnessAnswer =
  | { readonly kind: 'accepted'; readonly size: number; readonly cosignature: string }
  | {
      readonly kind: 'refused';
      readonly size: number;
      readonly reason: 'rollback' | 'fork' | 'unsigned';
    };

export class Witness {
  readonly #options: WitnessOptions;
  #memory: WitnessMemory | undefined;
  /** Also one that could not be remembered. */
  #alarm: string;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.#memory = options.remembered;
    this.#alarm = options.remembered?.alarm ?? '';
  }

  /** What to show the gateway at hello; empty at first contact. */
  get note(): string {
    return this.#memory?.note ?? '';
  }

  /** Why this node takes no new secrets, if it does not. */
  get alarm(): string | undefined {
    return this.#alarm === '' ? undefined : this.#alarm;
  }

  /**
   * Trust on first use: the first key that the pinned gateway shows is the key for ever.
   *
   * @throws Fault `witness.other-key` when it shows another.
   */
  meet(verifier: string): void {
    if (this.#memory === undefined) {
      if (!parseVerifier(verifier)) throw new Fault('stream.malformed', { what: 'verifier' });
      this.#keep({ verifier, note: '', alarm: '' });
    } else if (this.#memory.verifier !== verifier) {
      this.#alarm = 'other-key';
      throw new Fault('witness.other-key');
    }
  }

  /** Whatever is thrown, the alarm is on where it must be: only the memory of it is missing. */
  consider(note: string, consistency: readonly Uint8Array[]): WitnessAnswer {
    const log = this.#memory && parseVerifier(this.#memory.verifier);
    const opened = log && openCheckpoint(note, log);
    if (!this.#memory || !log || opened?.kind !== 'verified') return this.#refuse(0, 'unsigned');
    const { checkpoint } = opened;
    const known = this.#known(log);
    if (known && checkpoint.size < known.size) return this.#refuse(checkpoint.size, 'rollback');
    if (known && !continues(known, checkpoint, consistency))
      return this.#refuse(checkpoint.size, 'fork');
    const timestampS = Math.floor(this.#options.clock.wallMs() / 1000);
    const cosignature = cosignCheckpoint(checkpoint, this.#options.signer, timestampS);
    const { verifier } = this.#memory;
    this.#keep({ verifier, note: addCosignatures(note, [cosignature]), alarm: '' });
    this.#alarm = '';
    return { kind: 'accepted', size: checkpoint.size, cosignature };
  }

  #known(log: NoteVerifier): Checkpoint | undefined {
    if (this.note === '') return undefined;
    const opened = openCheckpoint(this.note, log);
    return opened.kind === 'verified' ? opened.checkpoint : undefined;
  }

  #refuse(size: number, reason: 'rollback' | 'fork' | 'unsigned'): WitnessAnswer {
    this.#alarm = reason;
    if (this.#memory && this.#memory.alarm !== reason) {
      this.#keep({ ...this.#memory, alarm: reason });
    }
    return { kind: 'refused', size, reason };
  }

  #keep(memory: WitnessMemory): void {
    this.#options.remember(memory);
    this.#memory = memory;
  }
}

function continues(known: Checkpoint, next: Checkpoint, proof: readonly Uint8Array[]): boolean {
  return verifyConsistency({
    oldSize: known.size,
    oldRoot: known.root,
    size: next.size,
    root: next.root,
    proof: [...proof],
  });
}
