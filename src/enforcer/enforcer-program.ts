/** `coffer enforcer` and `coffer watchdog`: from arguments to a running program, and its end. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { Fault } from '../base/fault.ts';
import { asksForHelp } from '../base/command-line.ts';
import {
  commonFlags,
  describeFlags,
  type FlagSpec,
  type ProgramSpec,
  readFlags,
} from '../base/flags.ts';
import { type LogLevel, logLevels, logTo } from '../base/log.ts';
import type { ProgramIo, RunProgram } from '../base/program.ts';
import { version } from '../base/version.ts';
import { reportingFaults } from '../protocol/problem-text.ts';
import { type EnforcerConfig, enforcerDefaults } from './config.ts';

const specs = {
  'join-token-file': {
    value: 'FILE',
    help: 'file with the token from `coffer node token`; - for standard input',
  },
  'join-only': { value: '', help: 'join, save the key and certificate, and end' },
  state: {
    value: 'DIR',
    help: `directory of the node's key and certificate (${enforcerDefaults.stateDirectory})`,
  },
  run: {
    value: 'DIR',
    help: `directory on a tmpfs for what a restarted enforcer must know (${enforcerDefaults.runDirectory})`,
  },
  runtime: { value: 'KIND', suggests: ['docker', 'process'], help: 'docker or process (docker)' },
  'engine-socket': {
    value: 'PATH',
    help: `socket of the container engine (${enforcerDefaults.dockerSocket})`,
  },
  'process-directory': {
    value: 'DIR',
    help: `directory of registered processes (${enforcerDefaults.processDirectory})`,
  },
  'target-prefix': {
    value: 'DIRS',
    help: 'colon-separated directories in containers in which files may be mounted',
  },
  'log-level': { value: 'LEVEL', suggests: logLevels, help: 'debug, info, warn or error (info)' },
  'no-watchdog': {
    value: '',
    help: 'start no watchdog; something else must wipe if the enforcer dies',
  },
  ...commonFlags,
} as const satisfies Record<string, FlagSpec>;

const watchdogSpecs = {
  'run-directory': { value: 'DIR', help: 'of the enforcer that is watched' },
  enforcer: { value: 'PID', help: 'the enforcer that starts this' },
  'log-level': { value: 'LEVEL', help: 'debug, info, warn or error' },
} as const satisfies Record<string, FlagSpec>;

const usage = `Runs the node agent: attests containers, mounts their secrets, and wipes them in time.
Needs root.

Examples:
  coffer enforcer --join-only --join-token-file token     # the first time
  coffer enforcer                                         # from then on

Flags (each also as COFFER_NAME in the environment):
${describeFlags(specs)}
`;

export const programs: Readonly<Record<string, ProgramSpec>> = { enforcer: { flags: specs } };

/** `argv` begins with `enforcer` or `watchdog`. */
export const run: RunProgram = ([program = 'enforcer', ...argv], io) =>
  reportingFaults(io, { command: program, argv }, () =>
    program === 'watchdog' ? watchdog(argv, io) : enforcer(argv, io),
  );

async function enforcer(argv: readonly string[], io: ProgramIo): Promise<number> {
  if (asksForHelp(argv)) {
    io.stdout.write(usage);
    return 0;
  }
  const flags = readFlags(specs, argv, io.env);
  const log = logTo(io, levelOf(flags['log-level']));
  const tokenFile = flags['join-token-file'];
  if (flags['join-only'] && !tokenFile)
    throw new Fault('request.invalid', { what: '--join-only', problem: 'needs --join-token-file' });
  const config: EnforcerConfig = {
    stateDirectory: flags.state ?? enforcerDefaults.stateDirectory,
    runDirectory: flags.run ?? enforcerDefaults.runDirectory,
    runtime: runtimeOf(flags),
    ...(flags['target-prefix'] ? { targetPrefixes: flags['target-prefix'].split(':') } : {}),
    ...(tokenFile ? { joinToken: () => readToken(tokenFile) } : {}),
    logLevel: levelOf(flags['log-level']),
    watchdog: flags['no-watchdog'] === undefined,
  };
  if (process.getuid?.() !== 0) throw new Fault('enforcer.not-root');
  await requireKernel();
  const { joinOnly, runEnforcer } = await import('./enforcer.ts');
  const { clock, random, signal } = io;
  const context = { clock, random, log, version, signal };
  if (flags['join-only']) {
    const { node } = await joinOnly(config, context);
    io.stdout.write(`${joinedText(node, config.stateDirectory)}\n`);
  } else await runEnforcer(config, context);
  return 0;
}

function joinedText(node: string, directory: string): string {
  const where = `Its key and certificate are in ${directory}`;
  return `This node has joined as ${node}. ${where}: the token is not needed any more.`;
}

/** Now, and not with each container. */
async function requireKernel(): Promise<void> {
  const { missingCalls } = await import('../linux/libc.ts');
  const missing = missingCalls().join(', ');
  if (missing !== '') throw new Fault('enforcer.kernel-too-old', { release: release(), missing });
}

async function watchdog(argv: readonly string[], io: ProgramIo): Promise<number> {
  const flags = readFlags(watchdogSpecs, argv, {});
  const runDirectory = flags['run-directory'];
  if (!runDirectory)
    throw new Fault('request.invalid', { what: '--run-directory', problem: 'is needed' });
  const log = logTo(io, levelOf(flags['log-level'])).with({ program: 'watchdog' });
  const { runWatchdog } = await import('./run-watchdog.ts');
  const { clock, signal } = io;
  await runWatchdog({
    clock,
    log,
    runDirectory,
    // A child whose parent has ended has another parent.
    enforcerLives: () => process.ppid === Number(flags.enforcer),
    signal,
    // Only when there is something to wipe: it loads the system calls and starts a thread.
    openMounts: async () => (await import('./mount/mount.ts')).openMounts({ clock, log }),
  });
  return 0;
}

function runtimeOf(
  flags: Readonly<Partial<Record<keyof typeof specs, string>>>,
): EnforcerConfig['runtime'] {
  switch (flags.runtime ?? 'docker') {
    case 'docker':
      return {
        kind: 'docker',
        socketPath: flags['engine-socket'] ?? enforcerDefaults.dockerSocket,
      };
    case 'process':
      return {
        kind: 'process',
        directory: flags['process-directory'] ?? enforcerDefaults.processDirectory,
      };
    default:
      throw new Fault('request.invalid', {
        what: '--runtime',
        problem: 'must be docker or process',
      });
  }
}

function readToken(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8').trim();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault(
      'request.invalid',
      { what: '--join-token-file', problem: 'cannot be read', path, reason: code },
      { cause },
    );
  }
}

function levelOf(level = 'info'): LogLevel {
  const found = logLevels.find((name) => name === level);
  if (!found)
    throw new Fault('request.invalid', {
      what: '--log-level',
      problem: `must be one of ${logLevels.join(', ')}`,
    });
  return found;
}
