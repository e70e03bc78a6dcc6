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
import { formatNames } from './output.ts';
import { globalOptions, optionsOf } from './parser.ts';
import { Session } from './session.ts';
import { visible } from '../base/visible-text.ts';

const liveTimeoutMs = 300;

export async function complete(argv: readonly string[], io: ProgramIo): Promise<number> {
  const words = argv[0] === '--' ? argv.slice(1) : argv;
  const current = words.at(-1) ?? '';
  const candidates = await candidatesFor(words.slice(0, -1), current, io).catch(() => []);
  const fitting = candidates.filter((line) => line === ':files' || line.startsWith(current));
  io.stdout.write(fitting.map((line) => `${line}\n`).join(''));
  return 0;
}

async function candidatesFor(
  before: readonly string[],
  current: string,
  io: ProgramIo,
): Promise<readonly string[]> {
  const [noun] = positionals(before, globalOptions);
  if (noun === undefined) {
    const open = openOption(before, globalOptions);
    if (open) return await valuesOf(open, io);
    if (current.startsWith('-')) return optionLines(globalOptions);
    return catalogue.map((entry) => `${entry.noun}\t${entry.summary}`);
  }
  const entry = catalogueEntry(noun);
  const module = await entry?.load?.();
  const specs = (module?.commands ?? []).filter(({ name }) => name.split(' ')[0] === noun);
  const verb = before[before.indexOf(noun) + 1];
  const spec = specs.find(
    ({ name, aliases }) =>
      name === noun ||
      name === `${noun} ${verb}` ||
      (verb !== undefined && aliases?.includes(verb)),
  );
  if (!spec) {
    const elsewhere = entry?.elsewhere?.map(([name, summary]) => [name.split(' ')[0], summary]);
    return [
      ...specs.map(({ name, summary }) => [name.split(' ')[1], summary]),
      ...(elsewhere ?? []),
    ].map((line) => line.join('\t'));
  }
  return await candidatesOf(spec, { before, current, io });
}

async function candidatesOf(
  spec: CommandSpec,
  {
    before,
    current,
    io,
  }: { readonly before: readonly string[]; readonly current: string; readonly io: ProgramIo },
): Promise<readonly string[]> {
  const options = [...optionsOf(spec), ...globalOptions];
  const open = openOption(before, options);
  if (open) return await valuesOf(open, io);
  if (current.startsWith('-')) return optionLines(options);
  const typed = positionals(before, options).length - spec.name.split(' ').length;
  const words = spec.words ?? [];
  const word = words[typed] ?? words.findLast(({ many }) => many === true);
  return word?.kind === undefined ? [] : await namesFor(word.kind, current, io);
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

async function valuesOf(option: OptionSpec, io: ProgramIo): Promise<readonly string[]> {
  if (option.choices) return option.choices;
  const name = namesOf(option).at(-1);
  if (name === '--output') return formatNames.map((format) => format.replace('…', ''));
  if (name === '--context') return await namesFor('context', '', io);
  const kind = ({ '--node': 'node', '--group': 'group', '--workload': 'workload' } as const)[
    name ?? ''
  ];
  if (kind) return await namesFor(kind, '', io);
  return /<(file|path|directory)>/.test(option.flags) ? [':files'] : [];
}

async function namesFor(
  kind: WordKind,
  current: string,
  io: ProgramIo,
): Promise<readonly string[]> {
  if (kind === 'file') return [':files'];
  if (kind === 'context') return (await readContexts(io.env)).contexts.map(({ name }) => name);
  const ending = new AbortController();
  const timer = io.clock.setTimer(liveTimeoutMs, () => ending.abort());
  const session = new Session({ io, flags: { input: false }, command: '', signal: ending.signal });
  try {
    return (await liveNames(session, kind, current)).map(visible);
  } finally {
    timer.cancel();
    await session.close();
  }
}
