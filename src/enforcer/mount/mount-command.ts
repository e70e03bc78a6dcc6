/**
 * What the two sides of the room say to each other: commands to the thread that makes the calls, and
 * what came of each. Contents travel beside the commands, in one buffer per batch that changes hands.
 */
import type { FaultCode } from '../../base/fault-table.ts';
import type { FaultDetail } from '../../base/fault.ts';
import type {
  Adopted,
  FoundMount,
  MountPlace,
  MountProcess,
  MountState,
  PlaceResult,
  WithdrawResult,
} from './mount.ts';

export interface CommandFile {
  readonly name: string;
  readonly mode: number;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** A part of the batch's buffer; undefined to keep. */
  readonly content: { readonly offset: number; readonly length: number } | undefined;
}

export interface CommandSet {
  readonly revision: number;
  readonly urgent: boolean;
  readonly files: readonly CommandFile[];
}

export type MountCommand =
  | {
      readonly kind: 'place';
      readonly id: string;
      readonly place: MountPlace;
      readonly set: CommandSet;
    }
  | { readonly kind: 'withdraw'; readonly id: string }
  | { readonly kind: 'adopt'; readonly id: string; readonly place: MountPlace }
  | { readonly kind: 'find'; readonly id: ''; readonly process: MountProcess }
  | { readonly kind: 'inspect' | 'tend'; readonly id: string }
  /** Empties the replaced sets whose revision is lower than `before`. */
  | { readonly kind: 'retire'; readonly id: string; readonly before: number }
  /** Nothing is going on: gives back the memory that earlier commands took. */
  | { readonly kind: 'rest'; readonly id: ''; readonly what: 'objects' | 'code-too' }
  /** Lets go of everything. */
  | { readonly kind: 'release'; readonly id: '' };

/** What each command answers. */
export interface MountAnswers {
  place: PlaceResult & {
    /** Replaced values are still there, for `retire`. */ readonly retired: boolean;
  };
  withdraw: WithdrawResult;
  adopt: Adopted | undefined;
  find: readonly FoundMount[];
  inspect: MountState;
  tend: MountState;
  retire: undefined;
  rest: undefined;
  release: undefined;
}

export type MountOutcome =
  | { readonly answer: MountAnswers[keyof MountAnswers] }
  | { readonly fault: FaultCode; readonly detail: FaultDetail };

export interface MountBatch {
  readonly commands: readonly MountCommand[];
  readonly contents: ArrayBuffer;
}

/** Answers in the order of the batch's commands. Batches are answered in order. */
export interface MountBatchDone {
  readonly outcomes: readonly MountOutcome[];
}

/** What the thread is started with. */
export interface MountWorkerOptions {
  readonly targetPrefixes: readonly string[];
}
