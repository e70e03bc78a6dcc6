/**
 * Flags of the long-running programs: `--name value`, `--name=value`, or `COFFER_NAME` in the
 * environment, where a switch is `1` or `true`, `0` or `false`. Unknown ones are faults: a misspelt flag
 * must not leave a default in force.
 */
import { Fault } from './fault.ts';
import { nearest } from './nearest-word.ts';

export interface FlagSpec {
  /** What stands for the value in the help; empty for a switch. */
  readonly value: string;
  /** One letter that is the same: `-o`. */
  readonly short?: string;
  /** What completion offers as its value. */
  readonly suggests?: readonly string[];
  readonly help: string;
}

export type Flags<Specs extends Readonly<Record<string, FlagSpec>>> = Readonly<
  Partial<Record<keyof Specs & string, string>>
>;

/** @throws Fault `request.invalid` naming the flag, never its value. */
export function readFlags<const Specs extends Readonly<Record<string, FlagSpec>>>(
  specs: Specs,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Flags<Specs> {
  const given: Record<string, string> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const variable = `COFFER_${name.replaceAll('-', '_').toUpperCase()}`;
    const value = env[variable] ?? '';
    if (value === '' || (spec.value === '' && !isSwitchedOn(variable, value))) continue;
    given[name] = value;
  }
  for (let index = 0; index < argv.length; index += 1) {
    const [name, inline] = nameOf(specs, argv[index] ?? '');
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (!spec) throw unknown(name, Object.keys(specs));
    if (spec.value === '') {
      if (inline !== undefined) throw invalid(`--${name}`, 'takes no value');
      given[name] = 'true';
      continue;
    }
    const value = inline ?? argv[(index += 1)];
    if (value === undefined) throw invalid(`--${name}`, `needs ${spec.value}`);
    given[name] = value;
  }
  return given as Flags<Specs>;
}

/** `--name`, `--name=value`, `-n`; nothing of what is no flag. */
function nameOf(
  specs: Readonly<Record<string, FlagSpec>>,
  word: string,
): readonly [name: string, inline: string | undefined] {
  const byLetter = Object.entries(specs).find(([, { short }]) => short === word);
  if (byLetter) return [byLetter[0], undefined];
  const [, name = '', inline] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? [];
  return [name, inline];
}

/** Parts what belongs to flags from what does not. */
export function partWords(
  specs: Readonly<Record<string, FlagSpec>>,
  argv: readonly string[],
): { readonly words: readonly string[]; readonly flags: readonly string[] } {
  const words: string[] = [];
  const flags: string[] = [];
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    if (!word.startsWith('-')) {
      words.push(word);
      continue;
    }
    flags.push(word);
    const [name, inline] = nameOf(specs, word);
    const takesNext = inline === undefined && (specs[name]?.value ?? '') !== '';
    if (takesNext && index + 1 < argv.length) flags.push(argv[(index += 1)] ?? '');
  }
  return { words, flags };
}

/** What every program takes beside its own. */
export const commonFlags = {
  output: {
    value: 'FORMAT',
    short: '-o',
    suggests: ['table', 'json'],
    help: 'table or json (table)',
  },
  color: {
    value: 'WHEN',
    suggests: ['auto', 'always', 'never'],
    help: 'auto, always or never (auto)',
  },
  help: { value: '', short: '-h', help: 'show this' },
} as const satisfies Record<string, FlagSpec>;

/** @throws Fault `request.invalid` if it is a form that only commands of a gateway have. */
export function wantsJson({ output = 'table' }: { readonly output?: string }): boolean {
  if (!['table', 'wide', 'json'].includes(output))
    throw invalid('--output', 'must be table or json');
  return output === 'json';
}

/** What completion must know of a program. */
export interface ProgramSpec {
  readonly flags: Readonly<Record<string, FlagSpec>>;
  /** Its word is a file. */
  readonly takesFile?: true;
}

/**
 * Candidates for the last word, one a line, as `coffer __complete` prints them: `:files` stands for names of
 * files.
 */
export function completeProgram(spec: ProgramSpec, typed: readonly string[]): string {
  const current = typed.at(-1) ?? '';
  const lines = candidatesFor(spec, typed.at(-2) ?? '', current);
  return lines
    .filter((line) => line === ':files' || line.startsWith(current))
    .map((line) => `${line}\n`)
    .join('');
}

function candidatesFor(
  { flags, takesFile }: ProgramSpec,
  last: string,
  current: string,
): readonly string[] {
  const [name, inline] = nameOf(flags, last);
  const { value = '', suggests } = flags[name] ?? {};
  if (value !== '' && inline === undefined) {
    return suggests ?? (['FILE', 'DIR', 'PATH'].includes(value) ? [':files'] : []);
  }
  if (!current.startsWith('-')) return takesFile === true ? [':files'] : [];
  return Object.entries(flags).map(([flag, { help }]) => `--${flag}\t${help}`);
}

/** The flags as a help text, one to a line. */
export function describeFlags(specs: Readonly<Record<string, FlagSpec>>): string {
  const heads = Object.entries(specs).map(([name, { short, value }]) => {
    const names = short === undefined ? `--${name}` : `${short}, --${name}`;
    return `  ${names} ${value}`.trimEnd();
  });
  const width = Math.max(...heads.map((head) => head.length)) + 2;
  const helps = Object.values(specs).map((spec) => spec.help);
  return heads.map((head, index) => `${head.padEnd(width)}${helps[index] ?? ''}`).join('\n');
}

export function wholeNumber(
  flag: string,
  value: string,
  bounds: { min: number; max: number },
): number {
  const number = Number(value);
  if (!/^\d{1,15}$/.test(value) || number < bounds.min || number > bounds.max) {
    throw invalid(`--${flag}`, `must be a whole number, ${bounds.min} … ${bounds.max}`);
  }
  return number;
}

/** `host:port`, `[::1]:port` or `:port`. */
export function hostAndPort(
  flag: string,
  value: string,
): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-f:]+)\]|([A-Za-z0-9.-]*)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw invalid(`--${flag}`, 'must be host:port');
  return { host: match[1] ?? match[2] ?? '', port };
}

function isSwitchedOn(variable: string, value: string): boolean {
  if (value === '1' || value === 'true') return true;
  if (value === '0' || value === 'false') return false;
  throw invalid(variable, 'must be 1 or true, 0 or false');
}

/** Never the word itself where no flag can be told: it may be a value. */
function unknown(name: string, known: readonly string[]): Fault {
  if (name === '') return invalid('argument', 'is not known');
  const near = nearest(name, known);
  const didYouMean = near === undefined ? {} : { didYouMean: `--${near}` };
  return new Fault('request.invalid', {
    what: `--${name}`,
    problem: 'is not known',
    ...didYouMean,
  });
}

function invalid(what: string, problem: string): Fault {
  return new Fault('request.invalid', { what, problem });
}
