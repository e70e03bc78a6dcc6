/** What a program is given by `main.ts`: its arguments, where it may write, and when to end. */

export interface ProgramIo {
  /** Data: what a pipe would want. */
  out(text: string): void;
  /** Everything for people, and the log. */
  err(text: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
}

/** @returns The exit status. */
export type Program = (argv: readonly string[], io: ProgramIo) => Promise<number>;

export const version = '0.1.0';
