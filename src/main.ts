/**
 * The one entry: picks the program by its first argument and imports only that one, so that a short
 * command does not pay for the gateway, nor an enforcer for the CLI.
 */
import { readFileSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { systemClock } from './base/clock.ts';
import { errorFields } from './base/log.ts';
import { keepMemoryPrivate } from './base/private-memory.ts';
import type { ProgramIo, ProgramOutput, RunProgram } from './base/program.ts';
import { systemRandom } from './base/random.ts';

interface ProgramModule {
  readonly run: RunProgram;
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
const io = systemIo();
const run = await pickProgram(argv);
const code = await run(argv, io);
process.exit(code);

/** `help gateway` → `gateway --help`: another program than the CLI's may have to answer. */
function withHelpBehind(words: readonly string[]): readonly string[] {
  const [first, ...rest] = words;
  const named = rest.slice(0, rest[0] === 'backup' ? 2 : 1).join(' ');
  const isElsewhere = [...gatewayCommands, ...enforcerCommands].includes(named);
  return first === 'help' && isElsewhere ? [...rest, '--help'] : words;
}

/** What begins with an option (`coffer --help`, `coffer -o json status`) is for the CLI. */
async function pickProgram(words: readonly string[]): Promise<RunProgram> {
  const [first = '', second = ''] = words;
  for (const [commands, file] of [
    [gatewayCommands, programFiles.gateway],
    [enforcerCommands, programFiles.enforcer],
  ] as const) {
    if (commands.includes(first) || commands.includes(`${first} ${second}`)) {
      return ((await import(file)) as ProgramModule).run;
    }
  }
  return (await import('./cli/cli.ts')).runCli;
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
  const lost = lastingPrograms.includes(argv[0] ?? '') ? () => {} : () => process.exit(141);
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
