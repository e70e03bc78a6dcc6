/**
 * What a command line calls the places of an operation's input: `/match/docker/name` is `--docker-name`,
 * `/version` is `--version`, `/name` is `NAME`.
 */
import { Fault, type FaultError, isFault } from '../base/fault.ts';
import type { CommandSpec } from './command-spec.ts';
import { keyOf } from './operation-command.ts';
import { optionsOf } from './parser.ts';

/** @returns the fault, with words and options in place of pointers as far as the command has them. */
export function withPlaces(problem: unknown, spec: CommandSpec): unknown {
  if (!isFault(problem, 'request.invalid') || problem.errors.length === 0) return problem;
  const errors = problem.errors.map(({ pointer, detail }): FaultError => {
    const place = placeOf(pointer, spec);
    return place === undefined ? { pointer, detail } : { pointer: place, detail };
  });
  return new Fault(problem.code, problem.detail, { errors, cause: problem });
}

/** By as much of the pointer as some option is called: its end may lie within what was typed there. */
function placeOf(pointer: string, spec: CommandSpec): string | undefined {
  const members = pointer.split('/').slice(1);
  const names = members.filter((member) => !/^\d+$/.test(member));
  const [first] = names;
  const word = (spec.words ?? []).find(({ name }) => name === first);
  if (word && first !== undefined) return first.toUpperCase();
  const options = new Map(optionsOf(spec).map((option) => [keyOf(option), option.flags]));
  for (let from = 0; from < names.length; from += 1) {
    for (let to = names.length; to > from; to -= 1) {
      const key = camelCase(names.slice(from, to));
      const flags = options.get(key) ?? options.get(key.replace(/s$/, ''));
      const long = flags === undefined ? undefined : /--[a-z-]+/.exec(flags)?.[0];
      if (long !== undefined) return long;
    }
  }
  return undefined;
}

/** `['docker', 'name']` → `dockerName` */
function camelCase([first = '', ...rest]: readonly string[]): string {
  return first + rest.map((name) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`).join('');
}
