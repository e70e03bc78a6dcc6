/**
 * The one entry: picks the program by the words of the command and imports only that one, so that a short
 * command does not pay for the gateway, nor an enforcer for the CLI.
 */
import { readFileSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { systemClock } from './base/clock.ts';
import { asksForHelp, wordsAt } from './base/command-line.ts';
import { Fault } from './base/fault.ts';
import type { ProgramSpec } from './base/flags.ts';
import { errorFields } from './base/log.ts';
import { keepMemoryPrivate } from './base/private-memory.ts';
import type { ProgramIo, ProgramOutput, RunProgram } from './base/program.ts';
import { systemRandom } from './base/random.ts';

interface ProgramModule {
  readonly run: RunProgram;
  /** By the command's words. */
  readonly programs: Readonly<Record<string, ProgramSpec>>;
}

/** By name at run time: the CLI is type-checked and shipped without importing either. */
const programFiles = {
  gateway: './gateway/gateway-program.ts',
  enforcer: './enforcer/enforcer-program.ts',
} as const;

const gatewayCommands: readonly string[] = ['gateway', 'init', 'backup verify', 'backup restore'];
const enforcerCommands: readonly string[] = ['enforcer', 'watchdog'];
/** Secrets depend on these: they go on when nobody reads their log any more. */
const lastingPrograms: readonly string[] = ['gateway', 'enforcer', 'watchdog'];

// A bug ends the program: its supervisor starts it anew, and leases bridge that. It says where, and not
// what: the text of an error may hold what somebody sent.
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    const line = JSON.stringify({
      level: 'error',
      event: 'program.crashed',
      ...errorFields(error),
    });
    writeSync(2, `${line}\n`);
    process.exit(1);
  });
}

keepMemoryPrivate();
const argv = withHelpBehind(process.argv.slice(2));
/** Of `coffer __complete -- words…` what was typed; the last of it is to be completed. */
const typed = argv[0] === '__complete' ? argv.slice(argv[1] === '--' ? 2 : 1) : undefined;
const meant = commandMeant(typed?.slice(0, -1) ?? argv);
const io = systemIo();
const run = await pickProgram(meant);
const code = await run(meant?.argv ?? argv, io);
process.exit(code);

/** `help gateway` → `gateway --help`: another program than the CLI's may have to answer. */
function withHelpBehind(words: readonly string[]): readonly string[] {
  const [first = -1] = wordsAt(words);
  if (words[first] !== 'help') return words;
  const others = words.filter((_word, at) => at !== first);
  return commandMeant(others) ? [...others, '--help'] : words;
}

interface CommandMeant {
  readonly command: string;
  readonly file: (typeof programFiles)[keyof typeof programFiles];
  /** The words of the command first. */
  readonly argv: readonly string[];
}

/** Undefined for what the CLI does. Options of all commands may stand before and among the words. */
function commandMeant(words: readonly string[]): CommandMeant | undefined {
  const [first = -1, second = -1] = wordsAt(words);
  for (const [commands, file] of [
    [gatewayCommands, programFiles.gateway],
    [enforcerCommands, programFiles.enforcer],
  ] as const) {
    for (const places of [[first], [first, second]]) {
      const named = places.map((at) => words[at] ?? '');
      const command = named.join(' ');
      if (!commands.includes(command)) continue;
      const others = words.filter((_word, at) => !places.includes(at));
      return { command, file, argv: [...named, ...others] };
    }
  }
  return undefined;
}

async function pickProgram(meant: CommandMeant | undefined): Promise<RunProgram> {
  if (!meant) return (await import('./cli/cli.ts')).runCli;
  const { command, file } = meant;
  if (typed) return completing((await import(file)) as ProgramModule, command, typed);
  // Node was started for what is named first: with other bounds, and open to a debugger.
  const isLate = lastingPrograms.includes(command) && argv[0] !== command && !asksForHelp(argv);
  if (isLate) return refuseLate(command);
  return ((await import(file)) as ProgramModule).run;
}

function completing(
  { programs }: ProgramModule,
  command: string,
  words: readonly string[],
): RunProgram {
  return async (_argv, io) => {
    const { completeProgram } = await import('./base/flags.ts');
    const spec = programs[command];
    if (spec) io.stdout.write(completeProgram(spec, words));
    return 0;
  };
}

function refuseLate(command: string): RunProgram {
  return async (_argv, io) => {
    const { reportingFaults } = await import('./protocol/problem-text.ts');
    return await reportingFaults(io, { command, argv }, () => {
      throw new Fault('cli.usage', {
        problem: `put the options after the command: coffer ${command} …`,
      });
    });
  };
}

function systemIo(): ProgramIo {
  const ending = new AbortController();
  let asked = 0;
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    process.on(signal, () => {
      asked += 1;
      // Asked twice: whatever it waits for is not worth it.
      if (asked > 1) process.exit(128 + number);
      ending.abort(signal);
    });
  }
  // Else: the reader went away (`| head`), as if SIGPIPE had ended us.
  const lost = lastingPrograms.includes(meant?.command ?? '') ? () => {} : () => process.exit(141);
  return {
    env: process.env,
    envBytes,
    cwd: process.cwd(),
    stdin: {
      isTty: isatty(0),
      chunks: () => process.stdin as AsyncIterable<Buffer>,
      setRaw: (raw) => void process.stdin.setRawMode(raw),
    },
    stdout: outputOf(process.stdout, lost),
    stderr: outputOf(process.stderr, lost),
    clock: systemClock,
    random: systemRandom,
    signal: ending.signal,
  };
}

/** @param lost - Called when what is written reaches nobody. */
function outputOf(
  stream: NodeJS.WriteStream & { readonly fd: number },
  lost: () => void,
): ProgramOutput {
  stream.on('error', lost);
  return {
    isTty: isatty(stream.fd),
    write: (text) => void stream.write(text),
    writeBytes: (bytes) => new Promise((resolve) => stream.write(bytes, () => resolve())),
  };
}

function envBytes(name: string): Buffer | undefined {
  try {
    const block = readFileSync('/proc/self/environ');
    const key = Buffer.from(`${name}=`, 'utf8');
    for (let at = 0; at < block.length; ) {
      const zero = block.indexOf(0, at);
      const end = zero < 0 ? block.length : zero;
      if (block.subarray(at, at + key.length).equals(key)) {
        const value = Buffer.allocUnsafeSlow(end - at - key.length);
        block.copy(value, 0, at + key.length, end);
        block.fill(0);
        return value;
      }
      at = end + 1;
    }
    block.fill(0);
    return undefined;
  } catch {
    const text = process.env[name];
    return text === undefined ? undefined : Buffer.from(text, 'utf8');
  }
}
