/**
 * What a command is: data that help, completion, the parser and the tests all read.
 */
import { Fault } from '../base/fault.ts';
import type { Given } from './given.ts';
import type { Permission } from './permissions.ts';
import type { Session } from './session.ts';

/** What a word or a value names, so that completion can ask the gateway for it. */
export type WordKind =
  | 'secret'
  | 'deleted-secret'
  | 'group'
  | 'grant'
  | 'node'
  | 'token'
  | 'workload'
  | 'context'
  | 'file';

export interface WordSpec {
  readonly name: string;
  readonly about: string;
  readonly kind?: WordKind;
  readonly optional?: true;
  readonly many?: true;
}

export interface OptionSpec {
  /** As commander reads it: `-f, --file <path>`. */
  readonly flags: string;
  readonly about: string;
  readonly choices?: readonly string[];
  /** What completion offers; another value may be given. */
  readonly suggests?: readonly string[];
  /** What its value names. */
  readonly kind?: WordKind;
  /** Whole numbers, within. */
  readonly whole?: { readonly min: number; readonly max: number };
  /** May be given several times. */
  readonly many?: true;
}

type Permissions = readonly Permission[];

export interface CommandSpec {
  /** `secret list` */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly details?: string;
  readonly examples: readonly string[];
  readonly words?: readonly WordSpec[];
  readonly options?: readonly OptionSpec[];
  /** Takes `--dry-run`. */
  readonly changes?: true;
  /** Takes `--yes`: asks before. */
  readonly destroys?: true;
  /**
   * What it asks the gateway for, as `--policy` prints it; none: it asks no gateway. What it can do without
   * is left out.
   */
  permissions(session: Session, given: Given): Permissions | Promise<Permissions>;
  /** @returns the exit code; 0 when nothing is returned. */
  run(session: Session, given: Given): Promise<number | void>;
}

/** The commands of one noun, loaded only when that noun is used. */
export interface CommandModule {
  readonly commands: readonly CommandSpec[];
}

/** Of commands that work on this machine alone. */
export const asksNobody: CommandSpec['permissions'] = () => [];

export function usage(problem: string): Fault {
  return new Fault('cli.usage', { problem });
}
