/**
 * What a program of ours is: a function of its arguments and of the world it may touch. Tests call
 * the same function with a world of their own; `main.ts` is the only place that makes the real one.
 */
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

export interface ProgramInput {
  readonly isTty: boolean;
  /** What comes in, until it ends. Each chunk is the reader's to wipe. */
  chunks(): AsyncIterable<Buffer>;
  /** On a terminal: whether keys arrive one by one and unseen. */
  setRaw(raw: boolean): void;
}

export interface ProgramOutput {
  readonly isTty: boolean;
  write(text: string): void;
  /** Bytes, at the reader's pace. */
  writeBytes(bytes: Buffer): Promise<void>;
}

export interface ProgramIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The bytes of an environment variable, without the detour over a string. */
  envBytes(name: string): Buffer | undefined;
  readonly cwd: string;
  readonly stdin: ProgramInput;
  readonly stdout: ProgramOutput;
  readonly stderr: ProgramOutput;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborts when the process is asked to end (SIGINT, SIGTERM). */
  readonly signal: AbortSignal;
}

/** @returns the exit code. Never rejects because of the arguments or the world; a bug may. */
export type RunProgram = (argv: readonly string[], io: ProgramIo) => Promise<number>;
