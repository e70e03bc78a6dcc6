/** `coffer gateway`, `coffer init`, `coffer backup verify` and `coffer backup restore`. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { allocate, wipe } from '../base/bytes.ts';
import { systemErrorText } from '../base/files.ts';
import { asksForHelp } from '../base/command-line.ts';
import {
  commonFlags,
  describeFlags,
  type FlagSpec,
  partWords,
  type ProgramSpec,
  readFlags,
  wantsJson,
  wholeNumber,
} from '../base/flags.ts';
import { Fault } from '../base/fault.ts';
import { logTo } from '../base/log.ts';
import { reportingFaults } from '../protocol/problem-text.ts';
import type { ProgramIo, ProgramOutput, RunProgram } from '../base/program.ts';
import {
  type GatewayConfig,
  gatewayConfig,
  gatewayFlags,
  gatewayFlagsHelp,
  readGatewayConfig,
} from './config.ts';
import type { Initialised } from './init.ts';
import type { SealRequest } from './seal/seal.ts';

const initSpecs = {
  seal: {
    value: 'KIND',
    suggests: ['shares', 'passphrase', 'keyfile'],
    help: 'shares, passphrase or keyfile (shares); use keyfile for development only',
  },
  shares: { value: 'N', help: 'number of shares (5)' },
  threshold: { value: 'K', help: 'number of shares that unseal the store (3)' },
  'passphrase-file': { value: 'FILE', help: 'file with the passphrase; - for standard input' },
  ...gatewayFlags,
} as const satisfies Record<string, FlagSpec>;

/** Above the longest passphrase, with its line end. */
const passphraseFileBytesMax = 4096;

const gatewayUsage = `Runs the gateway: stores secrets, decides who receives them, and delivers them to nodes.

Examples:
  coffer init                                 # once
  coffer gateway                              # then: coffer unseal

Flags (each also as COFFER_NAME in the environment):
${gatewayFlagsHelp}
`;

const initUsage = `Sets up a new gateway: its store, its keys under a seal, and an owner. The owner's token
and the shares are shown once and stored nowhere.

Examples:
  coffer init --data /var/lib/coffer/gateway
  coffer init --seal passphrase --passphrase-file -
  coffer init --seal keyfile --key-file /mnt/usb/key    # development only

Flags (each also as COFFER_NAME in the environment):
${describeFlags(initSpecs)}
`;

const backupUsage = `Checks a backup, or restores it into an empty data directory. Neither needs the shares,
passphrase or key file. \`verify\` finds a damaged or incomplete file; an altered record is found when
a gateway is unsealed from the backup.

Examples:
  coffer backup verify backup-2026-03-01.coffer
  coffer backup restore backup-2026-03-01.coffer --data /var/lib/coffer/gateway

Usage:
  coffer backup verify FILE
  coffer backup restore FILE [the flags of \`coffer gateway\`]
`;

export const programs: Readonly<Record<string, ProgramSpec>> = {
  gateway: { flags: gatewayFlags },
  init: { flags: initSpecs },
  'backup verify': { flags: commonFlags, takesFile: true },
  'backup restore': { flags: gatewayFlags, takesFile: true },
};

/** `argv` begins with the command's words. */
export const run: RunProgram = ([program = 'gateway', ...argv], io) => {
  const command = program === 'backup' ? `backup ${argv[0] ?? ''}` : program;
  return reportingFaults(io, { command, argv }, () => {
    switch (program) {
      case 'init':
        return init(argv, io);
      case 'backup':
        return backup(argv, io);
      default:
        return gateway(argv, io);
    }
  });
};

async function gateway(argv: readonly string[], io: ProgramIo): Promise<number> {
  if (asksForHelp(argv)) {
    io.stdout.write(gatewayUsage);
    return 0;
  }
  const config = readGatewayConfig(argv, io.env);
  const { startGateway } = await import('./gateway.ts');
  const { clock, random, signal } = io;
  const log = logTo(io, config.logLevel);
  await using _gateway = await startGateway(config, { clock, random, log });
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
  log.info('gateway.stopping');
  return 0;
}

async function init(argv: readonly string[], io: ProgramIo): Promise<number> {
  if (asksForHelp(argv)) {
    io.stdout.write(initUsage);
    return 0;
  }
  const flags = readFlags(initSpecs, argv, io.env);
  const json = wantsJson(flags);
  const config = gatewayConfig(flags);
  const request = await sealRequest(flags, io);
  const server = `https://${config.advertise}`;
  const made = await initialiseWith(config, request, io, async (shown) => {
    try {
      await writeParts(io.stdout, json ? asJson(shown, server) : asText(shown));
    } finally {
      shown.shares.forEach(wipe);
    }
  });
  if (json) return 0;
  if (request.kind === 'keyfile') {
    io.stderr.write(
      'warning: with a key file the store unseals without anybody. Use it for development only.\n',
    );
  }
  const keepers =
    request.kind === 'shares' ? 'Give each share to a different person, and keep' : 'Keep';
  io.stderr.write(
    `\nThis is shown once. ${keepers} the token like a root password.
Next:
  coffer gateway${flagsText(flags, config.dataDirectory)}
  coffer context add local --server ${server} --pin ${made.pin}    # asks for the token
${unsealLine(request)}
CI and other clients verify the gateway by one of
  COFFER_PIN=${made.pin}${config.tls ? '    # changes with its key' : ''}
  ${cacertText(made)}
`,
  );
  return 0;
}

function cacertText({ authorityFile }: Initialised): string {
  return authorityFile === undefined
    ? 'COFFER_CACERT=FILE    # the authority that issued --tls-certificate, if the system does not trust it'
    : `COFFER_CACERT=${authorityFile}    # a copy of it`;
}

async function initialiseWith(
  config: GatewayConfig,
  request: SealRequest,
  io: ProgramIo,
  show: (made: Initialised) => Promise<void>,
): Promise<Initialised> {
  const { clock, random } = io;
  try {
    const { initialise } = await import('./init.ts');
    return await initialise(config, request, { clock, random, log: logTo(io, 'warn') }, show);
  } finally {
    if (request.kind === 'passphrase') wipe(request.passphrase);
  }
}

/** Shares stay bytes on the way out. They have no letter that JSON would write otherwise. */
type Parts = readonly (string | Buffer)[];

function asJson({ shares, ...made }: Initialised, server: string): Parts {
  const { installation, ownerToken, pin, authorityFile } = made;
  const rest = JSON.stringify({ installation, server, pin, authorityFile, ownerToken });
  const list = shares.flatMap((share, index) => [index === 0 ? '"' : ',"', share, '"']);
  return [`${rest.slice(0, -1)},"shares":[`, ...list, ']}\n'];
}

function asText({ shares, ownerToken }: Initialised): Parts {
  const lines = shares.flatMap((share, index) => [`share ${index + 1}: `, share, '\n']);
  return [...lines, `owner token: ${ownerToken}\n`];
}

async function writeParts(output: ProgramOutput, parts: Parts): Promise<void> {
  for (const part of parts) {
    if (typeof part === 'string') output.write(part);
    else await output.writeBytes(part);
  }
}

/** What the gateway must be told, too: where its store is, and whatever else `init` was told of it. */
function flagsText(
  flags: Readonly<Partial<Record<keyof typeof initSpecs, string>>>,
  data: string,
): string {
  const quoted = (text: string): string =>
    /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const names = Object.keys(gatewayFlags) as (keyof typeof gatewayFlags)[];
  return names
    .filter((name) => !Object.hasOwn(commonFlags, name))
    .map((name): [string, string | undefined] => [name, name === 'data' ? data : flags[name]])
    .map(([name, value]) => (value === undefined ? '' : ` --${name} ${quoted(value)}`))
    .join('');
}

function unsealLine(request: SealRequest): string {
  if (request.kind === 'keyfile') return '';
  if (request.kind === 'passphrase') return '  coffer unseal    # asks for the passphrase\n';
  return `  coffer unseal    # ${request.threshold} times, each time with a different share\n`;
}

async function sealRequest(
  flags: Readonly<Partial<Record<keyof typeof initSpecs, string>>>,
  io: ProgramIo,
): Promise<SealRequest> {
  switch (flags.seal ?? 'shares') {
    case 'keyfile':
      if (!flags['key-file']) throw wrong('--key-file', 'is needed for the key-file seal');
      return { kind: 'keyfile' };
    case 'shares': {
      const count = wholeNumber('shares', flags.shares ?? '5', { min: 1, max: 16 });
      const usual = String(Math.min(3, count));
      const threshold = wholeNumber('threshold', flags.threshold ?? usual, { min: 1, max: count });
      return { kind: 'shares', count, threshold };
    }
    case 'passphrase': {
      const file = flags['passphrase-file'];
      if (!file) throw wrong('--passphrase-file', 'is needed for the passphrase seal');
      return { kind: 'passphrase', passphrase: await readPassphrase(file, io) };
    }
    default:
      throw wrong('--seal', 'must be shares, passphrase or keyfile');
  }
}

/**
 * What is in a file or on standard input, without one newline at the end. The caller wipes it.
 *
 * @throws Fault `request.invalid` if it is longer than any passphrase, or cannot be read.
 */
async function readPassphrase(file: string, io: ProgramIo): Promise<Buffer> {
  const bytes = allocate(passphraseFileBytesMax + 1);
  let length = 0;
  try {
    if (file === '-') {
      for await (const chunk of io.stdin.chunks()) {
        length += chunk.copy(bytes, length);
        wipe(chunk);
        if (length === bytes.length) break;
      }
    } else length = readInto(bytes, file);
    if (length === bytes.length) throw wrong('--passphrase-file', 'is too long');
    return bytes.subarray(0, bytes[length - 1] === 0x0a ? length - 1 : length);
  } catch (error) {
    wipe(bytes);
    throw error;
  }
}

/** As much as fits. @returns how much that is */
function readInto(bytes: Buffer, path: string): number {
  try {
    const file = openSync(path, 'r');
    try {
      let length = 0;
      for (let read = 1; read > 0; length += read) {
        read = readSync(file, bytes, length, bytes.length - length, null);
      }
      return length;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw wrong('--passphrase-file', `cannot be read: ${systemErrorText(error)}`, error);
  }
}

async function backup([verb = '', ...argv]: readonly string[], io: ProgramIo): Promise<number> {
  if (asksForHelp(argv)) {
    io.stdout.write(backupUsage);
    return 0;
  }
  const specs = verb === 'verify' ? commonFlags : gatewayFlags;
  const { words, flags: given } = partWords(specs, argv);
  const [file, ...more] = words;
  const flags = readFlags(specs, [...given, ...more], io.env);
  const json = wantsJson(flags);
  if (file === undefined) throw wrong('FILE', 'is needed: the backup');
  if (!existsSync(file)) throw wrong(file, 'does not exist');
  const { openPhysical } = await import('./physical/physical.ts');
  const verify = async (path: string): Promise<number> => {
    const physical = await openPhysical({ kind: 'sqlite', path, missing: 'refuse' });
    try {
      await physical.checkIntegrity();
      return await physical.revision();
    } finally {
      await physical.close();
    }
  };
  const revision = await verify(file);
  if (verb === 'verify') {
    io.stdout.write(
      json
        ? `${JSON.stringify({ path: file, revision })}\n`
        : `${file} reads well, at revision ${revision}\n`,
    );
    return 0;
  }
  const config = gatewayConfig(flags);
  const { makeDataDirectory, storePath } = await import('./data-directory.ts');
  makeDataDirectory(config);
  const path = storePath(config);
  const { restoreStore } = await import('./restore.ts');
  const restored = await restoreStore(file, path, verify);
  if (json) {
    io.stdout.write(`${JSON.stringify({ path, revision: restored })}\n`);
    return 0;
  }
  io.stdout.write(`restored ${path} at revision ${restored}\n`);
  io.stderr.write(
    'The API certificate is not part of a backup. Put api.crt and api.key beside the store, or unseal the gateway:\n' +
      'it then makes a new certificate, with the pin that contexts know. Until then it logs the pin to unseal it with.\n' +
      'Nodes that remember a newer audit log will report it: see `coffer status`.\n',
  );
  return 0;
}

function wrong(what: string, problem: string, cause?: unknown): Fault {
  return new Fault('request.invalid', { what, problem }, { cause });
}
