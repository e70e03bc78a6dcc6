/**
 * The hidden `coffer __complete -- words…`: candidates for the last word, one a line, with what each
 * is after a tab. `:files` stands for names of files, which the shell knows better.
 *
 * Promises: never asks, never waits longer than a moment, and says nothing when it does not know.
 */
import type { ProgramIo } from '../base/program.ts';
import { catalogue, catalogueEntry } from './catalogue.ts';
import type { CommandSpec, OptionSpec, WordKind } from './command-spec.ts';
import { readContexts } from './contexts.ts';
import { liveNames } from './live-names.ts';
import { helpTopics } from './help-text.ts';
import { globalOptions, optionsOf } from './parser.ts';
import { keyOf } from './operation-command.ts';
import { Session } from './session.ts';
import type { GlobalOptions } from './settings.ts';
import { visible } from '../base/visible-text.ts';

const liveTimeoutMs = 300;

export async function complete(argv: readonly string[], io: ProgramIo): Promise<number> {
  const words = argv[0] === '--' ? argv.slice(1) : argv;
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const candidates = await candidatesFor({ before, current, io }).catch(() => []);
  const fitting = candidates.filter((line) => line === ':files' || line.startsWith(current));
  io.stdout.write(fitting.map((line) => `${line}\n`).join(''));
  return 0;
}

/** What was typed before the word that is completed. */
interface Typed {
  readonly before: readonly string[];
  readonly current: string;
  readonly io: ProgramIo;
}

async function candidatesFor(typed: Typed): Promise<readonly string[]> {
  const { before, current } = typed;
  const [noun, verb] = positionals(before, globalOptions);
  if (noun === undefined) {
    const open = openOption(before, globalOptions);
    if (open) return await valuesOf(open, typed);
    return current.startsWith('-') ? optionLines(globalOptions) : nounLines();
  }
  if (noun === 'help') return verb === undefined ? [...helpTopics, ...nounLines()] : [];
  const entry = catalogueEntry(noun);
  const module = await entry?.load?.();
  const specs = (module?.commands ?? []).filter(({ name }) => name.split(' ')[0] === noun);
  const spec = specs.find(
    ({ name, aliases }) =>
      name === noun ||
      name === `${noun} ${verb}` ||
      (verb !== undefined && aliases?.includes(verb)),
  );
  if (spec) return await candidatesOf(spec, typed);
  if (verb !== undefined) return [];
  const elsewhere = entry?.elsewhere?.map(([name, summary]) => [name.split(' ')[0], summary]);
  return [
    ...specs.map(({ name, summary }) => [name.split(' ')[1], summary]),
    ...(elsewhere ?? []),
  ].map((line) => line.join('\t'));
}

function nounLines(): readonly string[] {
  return catalogue.map((entry) => `${entry.noun}\t${entry.summary}`);
}

async function candidatesOf(spec: CommandSpec, typed: Typed): Promise<readonly string[]> {
  const { before, current } = typed;
  const options = [...optionsOf(spec), ...globalOptions];
  const open = openOption(before, options);
  if (open) return await valuesOf(open, typed);
  if (current.startsWith('-')) return optionLines(options);
  const count = positionals(before, options).length - spec.name.split(' ').length;
  const words = spec.words ?? [];
  const word = words[count] ?? words.findLast(({ many }) => many === true);
  return word?.kind === undefined ? [] : await namesFor(word.kind, typed);
}

/** The option whose value comes next. */
function openOption(
  before: readonly string[],
  options: readonly OptionSpec[],
): OptionSpec | undefined {
  const last = before.at(-1) ?? '';
  return options.find((option) => takesValue(option) && namesOf(option).includes(last));
}

function positionals(before: readonly string[], options: readonly OptionSpec[]): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at < before.length; at += 1) {
    const word = before[at] ?? '';
    if (!word.startsWith('-')) found.push(word);
    else if (options.some((option) => takesValue(option) && namesOf(option).includes(word)))
      at += 1;
  }
  return found;
}

/** `-o, --output <format>` → `-o`, `--output` */
function namesOf(option: OptionSpec): readonly string[] {
  return option.flags.match(/--?[a-z][a-z-]*/gi) ?? [];
}

function takesValue(option: OptionSpec): boolean {
  return option.flags.includes('<');
}

function optionLines(options: readonly OptionSpec[]): readonly string[] {
  return options.map((option) => `${namesOf(option).at(-1) ?? ''}\t${option.about}`);
}

async function valuesOf(option: OptionSpec, typed: Typed): Promise<readonly string[]> {
  const known = option.choices ?? option.suggests;
  if (known) return known;
  if (option.kind) return await namesFor(option.kind, typed);
  return /<(file|path|directory)>/.test(option.flags) ? [':files'] : [];
}

async function namesFor(
  kind: WordKind,
  { before, current, io }: Typed,
): Promise<readonly string[]> {
  if (kind === 'file') return [':files'];
  if (kind === 'context') return (await readContexts(io.env)).contexts.map(({ name }) => name);
  const ending = new AbortController();
  const timer = io.clock.setTimer(liveTimeoutMs, () => ending.abort());
  const flags = { ...connectionIn(before), input: false };
  const session = new Session({ io, flags, command: '', signal: ending.signal });
  try {
    return (await liveNames(session, kind, current)).map(visible);
  } finally {
    timer.cancel();
    await session.close();
  }
}

const connectionOptions = globalOptions.filter(({ flags }) =>
  /^--(context|server|ca|pin|token-file) /.test(flags),
);

/** Which gateway was named already, and how it is to prove itself: names of another are no help. */
function connectionIn(words: readonly string[]): GlobalOptions {
  const given: Record<string, string | readonly string[]> = {};
  words.forEach((word, at) => {
    const [flag = '', inline] = word.split(/=(.*)/s);
    const option = connectionOptions.find((one) => namesOf(one).includes(flag));
    const value = inline ?? words[at + 1];
    if (!option || value === undefined) return;
    const key = keyOf(option);
    given[key] = option.many === true ? [given[key] ?? [], value].flat() : value;
  });
  return given;
}
