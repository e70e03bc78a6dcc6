/**
 * From command specs to commander and back: builds the parser of one noun, parses, and says which
 * command was meant with what.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { catalogueEntry } from './catalogue.ts';
import { type CommandSpec, type OptionSpec, usage, type WordSpec } from './command-spec.ts';
import { Given } from './given.ts';
import { formatNames } from './output.ts';
import type { GlobalOptions } from './settings.ts';
import { formatRows } from './table.ts';

export interface Invocation {
  readonly spec: CommandSpec;
  readonly given: Given;
  readonly flags: GlobalOptions;
}

/** `help`: it was asked for and is in `text`. */
export type Parsed =
  | { readonly kind: 'run'; readonly invocation: Invocation }
  | { readonly kind: 'help'; readonly text: string };

const pinPattern = /^sha256:[0-9a-f]{64}$/;

export const globalOptions: readonly OptionSpec[] = [
  { flags: '--context <name>', about: 'the context to use', kind: 'context' },
  { flags: '--server <url>', about: 'the gateway, https://host:port' },
  { flags: '--ca <file>', about: 'certificate authorities (PEM) to verify the gateway with' },
  { flags: '--pin <sha256:hex>', about: 'a public key in the chain of the gateway', many: true },
  { flags: '--token-file <file>', about: 'the file that holds the token' },
  {
    flags: '-o, --output <format>',
    about: formatNames.join(', '),
    suggests: formatNames.map((format) => format.replace('…', '')),
  },
  { flags: '--color <when>', about: 'when to use colours', choices: ['auto', 'always', 'never'] },
  { flags: '--no-input', about: 'fail instead of asking' },
  { flags: '-q, --quiet', about: 'show warnings and errors only' },
  {
    flags: '--timeout <seconds>',
    about: 'give up after this long',
    whole: { min: 1, max: 86_400 },
  },
  { flags: '--curl', about: 'print the HTTP call instead of making it' },
  {
    flags: '--policy',
    about: 'print the permissions that the command needs instead of running it',
  },
];

const dryRunOption: OptionSpec = {
  flags: '--dry-run [where]',
  about: 'change nothing: check the input (client), or ask the gateway what would happen (server)',
  choices: ['client', 'server'],
};
const yesOption: OptionSpec = { flags: '-y, --yes', about: 'do not ask for confirmation' };

/** @throws Fault `cli.usage` */
export async function parseCommand(
  specs: readonly CommandSpec[],
  argv: readonly string[],
): Promise<Parsed> {
  let text = '';
  let invocation: Invocation | undefined;
  const program = makeCommand('coffer', (said) => {
    text += said;
  });
  for (const option of globalOptions) program.addOption(commanderOption(option));
  const isShort = argv.includes('-h') && !argv.includes('--help');
  const nouns = new Map<string, Command>();
  for (const spec of specs) {
    const [noun = '', verb] = spec.name.split(' ');
    const parent = verb === undefined ? program : (nouns.get(noun) ?? makeNoun(program, noun));
    nouns.set(noun, parent);
    addCommand(parent, { spec, isShort }, (given) => {
      invocation = { spec, given, flags: program.opts<GlobalOptions>() };
    });
  }
  try {
    await program.parseAsync(argv.map(withDryRunPlace), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.help') {
      return { kind: 'help', text };
    }
    throw usage(problemOf(error));
  }
  if (!invocation) return { kind: 'help', text: text || program.helpInformation() };
  checkPins(invocation.flags.pin);
  return { kind: 'run', invocation };
}

/**
 * Commander's sentence, without what was typed where no word belongs: `secret put NAME VALUE` must
 * not show the value on the screen again, nor `--value=VALUE`.
 */
function problemOf({ code, message }: CommanderError): string {
  const sentence = message.replace(/^error: /, '').replace(/\n\(Did(.*)\)$/, '; did$1');
  if (code === 'commander.excessArguments') {
    const isPut = sentence.startsWith("too many arguments for 'put'");
    const ask = isPut ? '; type the value or pipe it in, because others can read arguments' : '';
    return sentence.replace(/: [^]*$/, '') + ask;
  }
  if (code === 'commander.unknownOption') return sentence.replace(/=[^]*?'(?=;|$)/, "'");
  return sentence;
}

/** As far as it can be told without parsing: the command whose words are all there, else its noun. */
export function commandMeant(specs: readonly CommandSpec[], argv: readonly string[]): string {
  const meant = specs.find(({ name, aliases = [] }) => {
    const [noun = '', verb] = name.split(' ');
    if (!argv.includes(noun)) return false;
    return verb === undefined || [verb, ...aliases].includes(argv[argv.indexOf(noun) + 1] ?? '');
  });
  return meant?.name ?? specs[0]?.name.split(' ')[0] ?? '';
}

/** A bare `--dry-run` must not take the next word for its value. */
function withDryRunPlace(word: string): string {
  return word === '--dry-run' ? '--dry-run=server' : word;
}

function checkPins(pins: readonly string[] = []): void {
  if (!pins.every((pin) => pinPattern.test(pin))) {
    throw usage('--pin must be sha256: and 64 hexadecimal digits');
  }
}

/** The options that a command takes besides the global ones. */
export function optionsOf(spec: CommandSpec): readonly OptionSpec[] {
  return [
    ...(spec.options ?? []),
    ...(spec.changes === true ? [dryRunOption] : []),
    ...(spec.destroys === true ? [yesOption] : []),
  ];
}

function makeCommand(name: string, write: (text: string) => void): Command {
  return (
    new Command(name)
      .exitOverride()
      // A noun without a verb shows its help, which commander writes as if it were an error.
      .configureOutput({ writeOut: write, writeErr: write, outputError: () => undefined })
      .configureHelp({ helpWidth: 100 })
      .helpCommand(false)
      .helpOption('-h, --help', 'show help; -h in short')
  );
}

function makeNoun(program: Command, noun: string): Command {
  const command = program.command(noun).helpCommand('help [verb]', 'help about a verb');
  command.helpInformation = () => nounHelp(noun, command.commands);
  return command;
}

function nounHelp(noun: string, verbs: readonly Command[]): string {
  const { summary = '', elsewhere = [], examples = [] } = catalogueEntry(noun) ?? {};
  const rows = verbs.map((verb) => {
    const names = [verb.name(), ...verb.aliases()].join('|');
    const words = verb.registeredArguments.map((word) =>
      word.required ? `<${word.name()}>` : `[${word.name()}]`,
    );
    return [`  ${[names, ...words].join(' ')}`, verb.summary()];
  });
  const local = elsewhere.map(([verb, about]) => [`  ${verb}`, about]);
  return [
    ...(examples.length === 0 ? [] : [`Examples:\n${linesOf(examples)}\n`]),
    `Usage: coffer ${noun} <verb> [words] [options]\n\n${summary}\n\n`,
    `Verbs:\n${formatRows(rows)}`,
    ...(local.length === 0 ? [] : [`\nOn this machine, without a gateway:\n${formatRows(local)}`]),
    `\n\`coffer ${noun} <verb> --help\` explains a verb. ${aboutOptions}\n`,
  ].join('');
}

const aboutOptions = '`coffer help options` lists the options that every command takes.';

export function globalOptionsText(): string {
  const rows = globalOptions.map(({ flags, about, choices }) => [
    `  ${flags}`,
    choices === undefined ? about : `${about}: ${choices.join(', ')}`,
  ]);
  return `Options of every command:\n${formatRows(rows)}`;
}

function linesOf(examples: readonly string[]): string {
  return examples.map((line) => `  ${line}\n`).join('');
}

function addCommand(
  parent: Command,
  { spec, isShort }: { readonly spec: CommandSpec; readonly isShort: boolean },
  onRun: (given: Given) => void,
): void {
  const { summary, details } = spec;
  const command = parent
    .command(spec.name.split(' ').at(-1) ?? '')
    .aliases(spec.aliases ?? [])
    .summary(summary)
    .description(details === undefined || isShort ? summary : `${summary}. ${details}`)
    .addHelpText('before', isShort ? '' : `Examples:\n${linesOf(spec.examples)}`)
    .addHelpText('after', isShort ? '' : `\n${aboutOptions}`);
  const words = spec.words ?? [];
  for (const word of words) command.argument(syntaxOf(word), word.about);
  for (const option of optionsOf(spec)) command.addOption(givenOnce(option));
  command.action(() => {
    const { processedArgs } = command;
    const typed = words.map((word, at) => [word.name, processedArgs[at] as string | undefined]);
    onRun(new Given(Object.fromEntries(typed), command.opts()));
  });
}

function syntaxOf(word: WordSpec): string {
  const inner = `${word.name}${word.many === true ? '...' : ''}`;
  return word.optional === true ? `[${inner}]` : `<${inner}>`;
}

/** Of two values nobody knows which was meant. Options of all commands may be set again by who wraps us. */
function givenOnce(spec: OptionSpec): Option {
  const option = commanderOption(spec);
  if (spec.many === true || !/[<[]/.test(spec.flags)) return option;
  const { parseArg: parse } = option;
  option.argParser((text: string, before: unknown): unknown => {
    if (before !== undefined) throw new InvalidArgumentError('It was given before.');
    return parse ? parse(text, before) : text;
  });
  return option;
}

function commanderOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.about);
  if (spec.choices) option.choices(spec.choices);
  const { whole } = spec;
  if (whole) {
    option.argParser((text) => {
      const value = Number(text);
      if (!/^\d{1,16}$/.test(text) || value < whole.min || value > whole.max) {
        throw new InvalidArgumentError(`It must be a whole number, ${whole.min} … ${whole.max}.`);
      }
      return value;
    });
  }
  if (spec.many === true) {
    option.argParser((text: string, before: readonly string[] | undefined) => [
      ...(before ?? []),
      text,
    ]);
  }
  return option;
}
