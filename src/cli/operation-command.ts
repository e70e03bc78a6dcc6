/**
 * Commands read off the operations table: words and flags from the input's schema, the permission and
 * the dry run from the operation itself. What people need more for is written by hand elsewhere.
 */
import { assert } from '../base/assert.ts';
import { isFault } from '../base/fault.ts';
import * as schema from '../base/schema.ts';
import type { CallOptions } from '../client/client.ts';
import type { JsonOperation } from '../protocol/event-cursor.ts';
import {
  type OperationInput,
  operationNamed,
  type OperationOutput,
} from '../protocol/operations.ts';
import { visible } from '../base/visible-text.ts';
import { type CommandSpec, type OptionSpec, usage, type WordSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import { confirmByName, type Loss } from './interaction.ts';
import { needed, type Permission } from './permissions.ts';
import type { Session } from './session.ts';

export interface OperationCommand<Name extends JsonOperation> {
  readonly operation: Name;
  /** The operation's name with a blank when left out. */
  readonly name?: string;
  readonly aliases?: readonly string[];
  readonly details?: string;
  readonly examples: readonly string[];
  /** Members of the input that are words, in order. */
  readonly words?: readonly WordSpec[];
  /** Flags for members that have a shorter or a better name. */
  readonly flags?: Readonly<Record<string, OptionSpec>>;
  /** Members that are no flags. */
  readonly without?: readonly string[];
  readonly show: (
    session: Session,
    output: OperationOutput<Name>,
    given: Given,
  ) => Promise<void> | void;
  /** What it takes away: said, and asked about. */
  readonly loses?: (session: Session, input: OperationInput<Name>) => Loss | Promise<Loss>;
  /** Reads, by the same words, what the change is based on: it is refused if that has changed meanwhile. */
  readonly basedOn?: RevisedOperation;
  /** What `loses` and `show` ask for, beside the operation. */
  readonly alsoNeeds?: (input: OperationInput<Name>) => readonly Permission[];
}

/** Operations that read something with a revision. */
export type RevisedOperation = 'secret.get' | 'group.get' | 'grant.get';

export function operationCommand<Name extends JsonOperation>(
  spec: OperationCommand<Name>,
): CommandSpec {
  const operation = operationNamed(spec.operation);
  const members = membersOf(spec.operation);
  const words = spec.words ?? [];
  const flagged = Object.keys(members).filter(
    (member) =>
      !words.some((word) => word.name === member) && spec.without?.includes(member) !== true,
  );
  const options = flagged.map((name) => spec.flags?.[name] ?? optionOf(name, members[name]));
  const inputOf = (given: Given): OperationInput<Name> => {
    const typed: [string, unknown][] = [
      ...words.map((word): [string, unknown] => [word.name, given.maybeWord(word.name)]),
      ...flagged.map((name, at): [string, unknown] => [name, given.option(keyOf(options[at]))]),
    ];
    return checkInput(spec.operation, Object.fromEntries(typed));
  };
  return {
    name: spec.name ?? spec.operation.replace('.', ' '),
    summary: operation.summary,
    examples: spec.examples,
    words,
    options,
    ...(spec.aliases ? { aliases: spec.aliases } : {}),
    ...(spec.details === undefined ? {} : { details: spec.details }),
    // What lets somebody in cannot be rehearsed.
    ...(operation.effect === 'change' && operation.credential !== true ? { changes: true } : {}),
    ...(spec.loses ? { destroys: true } : {}),
    permissions(_session, given) {
      const input = inputOf(given);
      const based = spec.basedOn ? [needed(spec.basedOn, input)] : [];
      return [needed(spec.operation, input), ...based, ...(spec.alsoNeeds?.(input) ?? [])];
    },
    async run(session, given) {
      const input = inputOf(given);
      if (operation.credential === true && (await session.format()).kind === 'name') {
        throw usage('what is shown once is not in -o name: it would be lost');
      }
      const asks = session.dryRun !== 'client' && !session.isExplaining;
      if (asks && spec.loses) {
        const yes = session.dryRun === 'server' || given.flag('yes');
        await confirmByName(session, { ...(await spec.loses(session, input)), yes });
      }
      const output = await change(session, spec.operation, input, {
        ...(asks && spec.basedOn
          ? { ifRevision: await revisionNow(session, spec.basedOn, input) }
          : {}),
      });
      if (output !== undefined) await spec.show(session, output, given);
    },
  };
}

/**
 * Makes a call, as a dry run if that was asked for.
 *
 * @returns undefined if it ended here: `--dry-run=client` checks the input and sends nothing.
 */
export async function change<Name extends JsonOperation>(
  session: Session,
  name: Name,
  input: OperationInput<Name>,
  options: CallOptions = {},
): Promise<OperationOutput<Name> | undefined> {
  if (session.dryRun === 'client') {
    const { resource } = operationNamed(name);
    session.note(
      `dry run (client): ${name} on ${resource(input)} is well formed; nothing was sent`,
    );
    return undefined;
  }
  const reply = await session.call(name, input, {
    ...options,
    ...(session.dryRun === 'server' ? { dryRun: true } : {}),
  });
  if (session.dryRun === 'server') session.note('dry run (server): nothing was changed');
  return reply.output;
}

/** @throws Fault `request.invalid`, as the gateway would say it, but before anything is sent. */
export function checkInput<Name extends JsonOperation>(
  name: Name,
  input: Readonly<Record<string, unknown>>,
): OperationInput<Name> {
  const given = Object.entries(input).filter(([, value]) => value !== undefined);
  const parsed = schema.parse(operationNamed(name).input, Object.fromEntries(given), 'arguments');
  return parsed as OperationInput<Name>;
}

/** The revision of what is there. @throws Fault `resource.unknown` if nothing is */
export async function revisionNow(
  session: Session,
  operation: RevisedOperation,
  input: object,
): Promise<number> {
  const { output, revision } = await session.call(operation, checkInput(operation, { ...input }));
  return revision ?? output.revision;
}

/** The revision of what is there; 0 if nothing is. */
export async function revisionOrNew(
  read: () => Promise<{ readonly revision?: number }>,
): Promise<number> {
  try {
    return (await read()).revision ?? 0;
  } catch (error) {
    if (isFault(error) && error.spec.status === 404) return 0;
    throw error;
  }
}

/** `a=b` words of a repeatable option. @throws Fault `cli.usage` */
export function pairsOf(
  option: string,
  words: readonly string[],
): Record<string, string> | undefined {
  if (words.length === 0) return undefined;
  const pairs = new Map<string, string>();
  for (const word of words) {
    const at = word.indexOf('=');
    if (at < 1) throw usage(`${option} must be KEY=VALUE`);
    const key = word.slice(0, at);
    if (pairs.has(key)) throw usage(`${option} gives ${visible(key)} twice`);
    pairs.set(key, word.slice(at + 1));
  }
  return Object.fromEntries(pairs);
}

/** What an operation takes, by name. */
export function membersOf(name: JsonOperation): Readonly<Record<string, schema.Schema<unknown>>> {
  const { input } = operationNamed(name);
  assert('members' in input, 'the input of every operation is an object');
  return (
    input as schema.Schema<unknown> & {
      readonly members: Readonly<Record<string, schema.Schema<unknown>>>;
    }
  ).members;
}

/** `createOnly` → `--create-only` */
function optionOf(member: string, memberSchema: schema.Schema<unknown> | undefined): OptionSpec {
  const json: schema.JsonSchema = memberSchema?.json ?? {};
  const flag = `--${member.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const about = typeof json['description'] === 'string' ? json['description'] : '';
  if (json['type'] === 'boolean') return { flags: flag, about };
  if (json['type'] === 'integer') {
    const whole = { min: Number(json['minimum']), max: Number(json['maximum']) };
    return { flags: `${flag} <n>`, about, whole };
  }
  assert(json['type'] === 'string', 'a member that is no plain value has a flag of its own');
  const choices = Array.isArray(json['enum']) ? { choices: json['enum'] as string[] } : {};
  return { flags: `${flag} <${member}>`, about, ...choices };
}

/** Commander's name of an option: `--create-only <x>` → `createOnly`. */
export function keyOf(option: OptionSpec | undefined): string {
  const long = /--(?:no-)?([a-z-]+)/.exec(option?.flags ?? '')?.[1] ?? '';
  return long.replaceAll(/-([a-z])/g, (_dash, letter: string) => letter.toUpperCase());
}
