/**
 * What is in force: each setting's value and where it came from.
 *
 * Order: flag, environment, project file (`.coffer.yaml`), context, default.
 *
 * Promises
 *   - What a context holds (authority, pins, token) is used with that context's server only. With
 *     another server, named by flag or environment, trust and token must be given there, too.
 *   - A project file can choose a context and an output format, nothing else: it comes with code that
 *     somebody else wrote, and must not be able to send a token anywhere.
 */
import { dirname, join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { logLevels, type LogLevel } from '../base/log.ts';
import type { ProgramIo } from '../base/program.ts';
import * as schema from '../base/schema.ts';
import type { Trust } from '../client/client.ts';
import { usage } from './command-spec.ts';
import { type Context, contextNamed, readContexts } from './contexts.ts';
import { configFile, type Environment, tokenFile } from './places.ts';
import { readPrivateFile, readUserFile } from './private-file.ts';

/** The options that every command takes. */
export interface GlobalOptions {
  readonly context?: string;
  readonly server?: string;
  readonly ca?: string;
  readonly pin?: readonly string[];
  readonly tokenFile?: string;
  readonly output?: string;
  readonly color?: string;
  /** Commander's name for `--no-input`. */
  readonly input?: boolean;
  readonly quiet?: boolean;
  readonly timeout?: number;
  readonly curl?: boolean;
  readonly policy?: boolean;
}

export interface Setting<T> {
  readonly value: T;
  /** `--server`, `COFFER_ADDR`, `.coffer.yaml`, `context prod`, `default`. */
  readonly from: string;
}

export interface Settings {
  /** Undefined when no context is chosen, or another server is named. */
  readonly context: Setting<string | undefined>;
  readonly server: Setting<string | undefined>;
  readonly output: Setting<string>;
  readonly interactive: Setting<boolean>;
  readonly log: Setting<LogLevel | 'off'>;
  readonly trust: Setting<string>;
  readonly token: Setting<string>;
  /** The file that authorities are in, where it is not the context that has them. */
  readonly caFile: string | undefined;
  /** Reads files only when it is asked. */
  readTrust(): Promise<Trust>;
  /** @returns undefined if there is none. */
  readToken(): Promise<string | undefined>;
}

type Source =
  | { readonly kind: 'none' }
  | { readonly kind: 'text'; readonly text: string }
  /** Named: somebody said that it is there. */
  | { readonly kind: 'file'; readonly path: string; readonly isNamed: boolean };

export async function readSettings(io: ProgramIo, flags: GlobalOptions): Promise<Settings> {
  const { env } = io;
  const project = await readProjectFile(io.cwd);
  const picked = firstOf(
    [flags.context, '--context'],
    [env['COFFER_CONTEXT'], 'COFFER_CONTEXT'],
    [project.context, '.coffer.yaml'],
  );
  const outright = firstOf(
    [flags.server, '--server'],
    [flags.context === undefined ? env['COFFER_ADDR'] : undefined, 'COFFER_ADDR'],
  );
  const context = outright ? undefined : await findContext(env, picked);
  const server =
    outright ?? (context && { value: context.server, from: `context ${context.name}` });
  // What the environment says of a connection is one connection: `--context` overrules all of it.
  const given = flags.context !== undefined && env['COFFER_ADDR'] ? {} : env;
  const token = tokenSource(env, given, flags, context);
  const trust = trustSource(given, flags, context);
  return {
    context: {
      value: context?.name,
      from: outright ? outright.from : (picked?.from ?? configFile(env)),
    },
    server: server ?? { value: undefined, from: 'default' },
    output: firstOf(
      [flags.output, '--output'],
      [env['COFFER_OUTPUT'], 'COFFER_OUTPUT'],
      [project.output, '.coffer.yaml'],
    ) ?? { value: 'table', from: 'default' },
    interactive: interactivity(io, flags),
    log: logSetting(env['COFFER_LOG']),
    trust: trust.setting,
    caFile: trust.file,
    token: token.setting,
    readTrust: trust.read,
    readToken: async () => await readTokenFrom(token.source),
  };
}

function firstOf(
  ...candidates: readonly (readonly [string | undefined, string])[]
): Setting<string> | undefined {
  const found = candidates.find(([value]) => value !== undefined && value !== '');
  return found?.[0] === undefined ? undefined : { value: found[0], from: found[1] };
}

async function findContext(
  env: Environment,
  picked: Setting<string> | undefined,
): Promise<Context | undefined> {
  const contexts = await readContexts(env);
  if (picked) return contextNamed(contexts, picked.value);
  // A current context that is gone is no reason to refuse the commands that mend it.
  return contexts.contexts.find(({ name }) => name === contexts.current);
}

const projectSchema = schema.object({
  context: schema.optional(schema.string({ min: 1, max: 64 })),
  output: schema.optional(schema.string({ min: 1, max: 512 })),
});

/** The format that is in force without a flag; undefined also where it cannot be read. */
export async function outputByDefault(io: ProgramIo): Promise<string | undefined> {
  if (io.env['COFFER_OUTPUT']) return io.env['COFFER_OUTPUT'];
  const project = await readProjectFile(io.cwd).catch(() => undefined);
  return project?.output;
}

async function readProjectFile(cwd: string): Promise<schema.Infer<typeof projectSchema>> {
  const path = await findProjectFile(cwd);
  if (path === undefined) return {};
  const { parseYaml } = await import('./yaml-text.ts');
  const [document] = parseYaml((await readUserFile(path)).toString('utf8'), path);
  return schema.parse(projectSchema, document?.value ?? {}, path);
}

/** In the current directory, else above it as far as its Git working tree reaches. */
async function findProjectFile(cwd: string): Promise<string | undefined> {
  const { existsSync } = await import('node:fs');
  const directories = [cwd];
  for (let at = cwd; dirname(at) !== at && !existsSync(join(at, '.git')); at = dirname(at)) {
    directories.push(dirname(at));
  }
  const isTree = existsSync(join(directories.at(-1) ?? cwd, '.git'));
  const paths = directories.map((directory) => join(directory, '.coffer.yaml'));
  return (isTree ? paths : paths.slice(0, 1)).find((path) => existsSync(path));
}

function interactivity(io: ProgramIo, flags: GlobalOptions): Setting<boolean> {
  const { env } = io;
  if (flags.input === false) return { value: false, from: '--no-input' };
  if (env['COFFER_NO_INPUT']) return { value: false, from: 'COFFER_NO_INPUT' };
  if (env['CI']) return { value: false, from: 'CI' };
  const terminal = io.stdin.isTty && io.stderr.isTty;
  return { value: terminal, from: terminal ? 'terminal' : 'no terminal' };
}

function logSetting(given: string | undefined): Setting<LogLevel | 'off'> {
  if (given === undefined || given === '') return { value: 'off', from: 'default' };
  const level = logLevels.find((candidate) => candidate === given);
  if (level === undefined) {
    throw new Fault('cli.usage', { problem: `COFFER_LOG must be one of ${logLevels.join(', ')}` });
  }
  return { value: level, from: 'COFFER_LOG' };
}

function tokenSource(
  env: Environment,
  given: Environment,
  flags: GlobalOptions,
  context: Context | undefined,
): { readonly setting: Setting<string>; readonly source: Source } {
  const said = (value: string, from: string, source: Source) => ({
    setting: { value, from },
    source,
  });
  const file = (path: string): Source => ({ kind: 'file', path, isNamed: true });
  if (flags.tokenFile) return said(flags.tokenFile, '--token-file', file(flags.tokenFile));
  const text = given['COFFER_TOKEN'];
  if (text) return said('set', 'COFFER_TOKEN', { kind: 'text', text });
  const path = given['COFFER_TOKEN_FILE'];
  if (path) return said(path, 'COFFER_TOKEN_FILE', file(path));
  if (!context) return said('none', 'default', { kind: 'none' });
  const from = `context ${context.name}`;
  if (context.tokenFile !== undefined)
    return said(context.tokenFile, from, file(context.tokenFile));
  const kept = tokenFile(env, context.name);
  return said(kept, from, { kind: 'file', path: kept, isNamed: false });
}

/** @throws Fault `cli.usage`, `cli.file`, `cli.file-unsafe` */
async function readTokenFrom(source: Source): Promise<string | undefined> {
  switch (source.kind) {
    case 'none':
      return undefined;
    case 'text':
      return tokenIn(source.text, 'COFFER_TOKEN holds no token');
    case 'file': {
      const { path, isNamed } = source;
      const bytes = await readPrivateFile(path, { secret: true, isNeeded: isNamed });
      return bytes && tokenIn(bytes.toString('latin1'), `there is no token in ${path}`);
    }
  }
}

/** @throws Fault `cli.usage`: what cannot stand in a header is no token, and is not shown. */
export function tokenIn(text: string, problem: string): string {
  const token = text.trim();
  if (/^[\u0021-\u007e]{16,4096}$/.test(token)) return token;
  throw usage(`${problem}: it is one line of letters, digits and signs`);
}

interface TrustSource {
  readonly setting: Setting<string>;
  readonly file: string | undefined;
  readonly read: () => Promise<Trust>;
}

function trustSource(
  given: Environment,
  flags: GlobalOptions,
  context: Context | undefined,
): TrustSource {
  const readCa = async (path: string): Promise<string> =>
    (await readUserFile(path)).toString('utf8');
  const { pin = [] } = flags;
  const known = given['COFFER_PIN']?.split(/[\s,]+/).filter((text) => text !== '') ?? [];
  if (flags.ca !== undefined || pin.length > 0) {
    const { ca } = flags;
    const value = [...(ca === undefined ? [] : [`authority ${ca}`]), ...pin].join(', ');
    const from = ca === undefined ? '--pin' : '--ca';
    return {
      setting: { value, from },
      file: ca,
      read: async () => (ca === undefined ? { pins: pin } : { ca: await readCa(ca), pins: pin }),
    };
  }
  const path = given['COFFER_CACERT'];
  if (path || known.length > 0) {
    const value = [...(path ? [`authority ${path}`] : []), ...known].join(', ');
    const from = path ? 'COFFER_CACERT' : 'COFFER_PIN';
    const read = async (): Promise<Trust> => ({
      ...(path ? { ca: await readCa(path) } : {}),
      pins: known,
    });
    return { setting: { value, from }, file: path, read };
  }
  const { ca, pins } = context ?? {};
  if (ca === undefined && pins === undefined) {
    return {
      setting: { value: 'authorities of the system', from: 'default' },
      file: undefined,
      read: async () => ({}),
    };
  }
  const value = [...(ca === undefined ? [] : ['authority in the context']), ...(pins ?? [])].join(
    ', ',
  );
  return {
    setting: { value, from: `context ${context?.name}` },
    file: undefined,
    read: async () => ({
      ...(ca === undefined ? {} : { ca }),
      ...(pins === undefined ? {} : { pins }),
    }),
  };
}
