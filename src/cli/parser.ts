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
  { flags: '--context <name>', about: 'the context to use' },
  { flags: '--server <url>', about: 'the gateway, https://host:port' },
  { flags: '--ca <file>', about: 'authorities (PEM) to verify the gateway with' },
  { flags: '--pin <sha256:hex>', about: 'a public key in the chain of the gateway', many: true },
  { flags: '--token-file <file>', about: 'a file with the token' },
  { flags: '-o, --output <format>', about: formatNames.join(', ') },
  { flags: '--color <when>', about: 'colours', choices: ['auto', 'always', 'never'] },
  { flags: '--no-input', about: 'never ask' },
  { flags: '-q, --quiet', about: 'no notices and no progress; warnings and errors stay' },
  { flags: '--timeout <seconds>', about: 'give up then', whole: { min: 1, max: 86_400 } },
  { flags: '--curl', about: 'print the HTTP call instead of making it' },
  { flags: '--policy', about: 'print the permissions that are needed instead' },
];

const dryRunOption: OptionSpec = {
  flags: '--dry-run [where]',
  about: 'change nothing: check here (client), or let the gateway say what would happen (server)',
  choices: ['client', 'server'],
};
const yesOption: OptionSpec = { flags: '-y, --yes', about: 'do not ask' };

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
  const nouns = new Map<string, Command>();
  for (const spec of specs) {
    const [noun = '', verb] = spec.name.split(' ');
    const parent = verb === undefined ? program : (nouns.get(noun) ?? makeNoun(program, noun));
    nouns.set(noun, parent);
    addCommand(parent, spec, (given) => {
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
    const ask = isPut ? '; a value is typed or piped in: an argument can be read by others' : '';
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
      .configureHelp({ showGlobalOptions: true, helpWidth: 100 })
      .helpCommand(false)
      .helpOption('-h, --help', 'help about this command')
  );
}

function makeNoun(program: Command, noun: string): Command {
  const { summary = '', elsewhere = [] } = catalogueEntry(noun) ?? {};
  const rows = elsewhere.map(([verb, about]) => [`  ${verb}`, about]);
  return program
    .command(noun)
    .description(summary)
    .usage('<verb> [words] [options]')
    .helpCommand('help [verb]', 'help about a verb')
    .addHelpText('after', rows.length === 0 ? '' : `\nOn this machine alone:\n${formatRows(rows)}`);
}

function addCommand(parent: Command, spec: CommandSpec, onRun: (given: Given) => void): void {
  const command = parent
    .command(spec.name.split(' ').at(-1) ?? '')
    .aliases(spec.aliases ?? [])
    .summary(spec.summary)
    .description(spec.details === undefined ? spec.summary : `${spec.summary}. ${spec.details}`)
    .addHelpText('before', `Examples:\n${spec.examples.map((line) => `  ${line}\n`).join('')}`);
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
