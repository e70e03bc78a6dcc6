/**
 * A whole installation in a temporary directory: gateway and enforcer as the programs that people
 * run, a client with the owner's token, and an end that leaves nothing. For scenarios, demo, benches.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { nodeFor } from '../../bin/node-flags.mjs';
import { type Clock, systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { Client } from '../client/client.ts';
import { parseName } from '../model/name.ts';
import { freePorts } from './free-ports.ts';
import { startTicksOf } from './holders.ts';
import { compileCache } from './compile-cache.ts';
import { atExit } from './left-behind.ts';
import { becomesSo } from './until.ts';

/** Another network than this machine's own, for the gateway. */
export interface InstallationNetwork {
  readonly gatewayHost: string;
  /** Words before each program that place it there. */
  readonly gatewayIn: readonly string[];
  readonly enforcerIn: readonly string[];
}

export interface InstallationOptions {
  /** Where the enforcer finds containers: an engine's socket, or a directory of registered processes. */
  readonly runtime: { readonly dockerSocket: string } | { readonly processDirectory: string };
  readonly node?: string;
  readonly gatewayArguments?: readonly string[];
  readonly enforcerArguments?: readonly string[];
  /** Of the enforcer's Node, beside its own. */
  readonly enforcerNodeFlags?: readonly string[];
  readonly network?: InstallationNetwork;
  /** Else its programs end with this process, also when that is killed. */
  readonly outlivesUs?: boolean;
  /** Gets each line that the programs log. */
  readonly onLog?: (program: string, line: string) => void;
}

export interface RunningProgram {
  readonly child: ChildProcess;
  /** Resolves with the log line's fields once this event is logged. */
  event(name: string): Promise<Readonly<Record<string, unknown>>>;
  stop(signal?: NodeJS.Signals): Promise<number>;
}

const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
const withinMs = 20_000;
const sharedMemory = '/dev/shm';

export class Installation implements AsyncDisposable {
  readonly directory: string;
  readonly #options: InstallationOptions;
  readonly #left: Disposable;
  /** On a tmpfs where there is one, as in production. */
  readonly #runDirectory: string;
  #made: { readonly pin: string; readonly ownerToken: string } | undefined;
  #gateway: RunningProgram | undefined;
  #enforcer: RunningProgram | undefined;
  #client: Client | undefined;
  #ports = { api: 0, nodes: 0 };

  private constructor(options: InstallationOptions) {
    this.#options = options;
    this.directory = mkdtempSync(join(tmpdir(), 'coffer-'));
    chmodSync(this.directory, 0o700);
    const parent = existsSync(sharedMemory) ? sharedMemory : this.directory;
    this.#runDirectory = mkdtempSync(join(parent, 'coffer-run-'));
    symlinkSync(this.#runDirectory, join(this.directory, 'run'));
    this.#left = atExit(() => this.#abandon());
  }

  /** Initialised, gateway running, enforcer joined and connected. */
  static async start(options: InstallationOptions): Promise<Installation> {
    const installation = new Installation(options);
    try {
      await installation.initialise();
      await installation.startGateway();
      await installation.startEnforcer();
      return installation;
    } catch (error) {
      await installation[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Everything but the enforcer. */
  static async startAlone(options: InstallationOptions): Promise<Installation> {
    const installation = new Installation(options);
    try {
      await installation.initialise();
      await installation.startGateway();
      return installation;
    } catch (error) {
      await installation[Symbol.asyncDispose]();
      throw error;
    }
  }

  get client(): Client {
    if (!this.#client) throw new Error('the gateway has not been started');
    return this.#client;
  }

  get address(): string {
    return `https://${this.#host}:${this.#ports.api}`;
  }

  get #host(): string {
    return this.#options.network?.gatewayHost ?? '127.0.0.1';
  }

  get pin(): string {
    return this.#made?.pin ?? '';
  }

  get ownerToken(): string {
    return this.#made?.ownerToken ?? '';
  }

  get gateway(): RunningProgram | undefined {
    return this.#gateway;
  }

  get enforcer(): RunningProgram | undefined {
    return this.#enforcer;
  }

  async initialise(): Promise<void> {
    // Told, so that a gateway that was killed gets them back.
    const [api = 0, nodes = 0] = await freePorts(2);
    this.#ports = { api, nodes };
    const program = this.#spawn('init', [
      'init',
      ...this.#gatewayFlags(),
      '--seal',
      'keyfile',
      ...['-o', 'json'],
    ]);
    const chunks: Buffer[] = [];
    program.child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(program.child, 'close');
    const text = Buffer.concat(chunks).toString('utf8');
    if (!text.startsWith('{')) throw new Error('coffer init failed; see its messages above');
    this.#made = JSON.parse(text) as { pin: string; ownerToken: string };
  }

  async startGateway(): Promise<void> {
    const program = this.#spawn('gateway', ['gateway', ...this.#gatewayFlags()]);
    this.#gateway = program;
    await program.event('gateway.started');
    this.#client ??= new Client({
      address: this.address,
      trust: { pins: [this.pin] },
      token: this.ownerToken,
      clock: systemClock,
      random: systemRandom,
    });
  }

  async startEnforcer(): Promise<void> {
    const joined = existsSync(join(this.directory, 'node', 'node.crt'));
    const tokenFile = join(this.directory, 'join-token');
    if (!joined) {
      const name = parseName(this.#options.node ?? 'node-1');
      const { output } = await this.client.call('node.token', { name });
      writeFileSync(tokenFile, output.token, { mode: 0o600 });
    }
    const { enforcerNodeFlags, enforcerArguments = [] } = this.#options;
    const words = [
      'enforcer',
      ...(joined ? [] : ['--join-token-file', tokenFile]),
      ...['--state', join(this.directory, 'node'), '--run', join(this.directory, 'run')],
      ...this.#runtimeFlags(),
      ...enforcerArguments,
    ];
    // With its own given too, it does not start Node anew, without those.
    const flags = enforcerNodeFlags && [...nodeFor('enforcer').flags, ...enforcerNodeFlags];
    const program = this.#spawn('enforcer', words, flags);
    this.#enforcer = program;
    await program.event('gateway.connected');
  }

  /** What a shell needs to use the CLI with this installation. */
  get environment(): Readonly<Record<string, string>> {
    return {
      COFFER_ADDR: this.address,
      COFFER_CACERT: join(this.directory, 'data', 'ca.crt'),
      COFFER_TOKEN: this.ownerToken,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.close();
    await this.#enforcer?.stop();
    await this.#gateway?.stop();
    await this.#stopWatchdog();
    this.#left[Symbol.dispose]();
    this.#remove();
  }

  /** This process ends in the middle. */
  #abandon(): void {
    this.#enforcer?.child.kill('SIGKILL');
    this.#gateway?.child.kill('SIGKILL');
    this.#endWatchdog('SIGKILL');
    this.#remove();
  }

  #remove(): void {
    for (const directory of [this.#runDirectory, this.directory]) {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  /** @returns Its process id; 0 if there is none. */
  #endWatchdog(signal: NodeJS.Signals): number {
    const file = join(this.#runDirectory, 'watchdog.pid');
    if (!existsSync(file)) return 0;
    const pid = Number(readFileSync(file, 'utf8'));
    // It ends by itself when its file is gone; told so, it ends at once.
    rmSync(file, { force: true });
    try {
      if (pid > 1) process.kill(pid, signal);
    } catch {
      // Gone already.
    }
    return pid;
  }

  async #stopWatchdog(): Promise<void> {
    const pid = this.#endWatchdog('SIGTERM');
    await becomesSo(() => startTicksOf(pid) === undefined);
  }

  #gatewayFlags(): readonly string[] {
    return [
      ...['--data', join(this.directory, 'data'), '--key-file', join(this.directory, 'key')],
      ...['--listen', `${this.#host}:${this.#ports.api}`],
      ...['--node-listen', `${this.#host}:${this.#ports.nodes}`],
      ...(this.#options.gatewayArguments ?? []),
    ];
  }

  #runtimeFlags(): readonly string[] {
    const { runtime } = this.#options;
    return 'dockerSocket' in runtime
      ? ['--runtime', 'docker', '--engine-socket', runtime.dockerSocket]
      : ['--runtime', 'process', '--process-directory', runtime.processDirectory];
  }

  #spawn(name: string, argv: readonly string[], nodeFlags: readonly string[] = []): RunningProgram {
    const env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: this.directory,
      NODE_COMPILE_CACHE: compileCache,
    };
    const { network } = this.#options;
    const where = (name === 'enforcer' ? network?.enforcerIn : network?.gatewayIn) ?? [];
    const bound = this.#options.outlivesUs ? [] : ['setpriv', '--pdeathsig', 'TERM'];
    const words = [...bound, ...where, process.execPath, ...nodeFlags, coffer, ...argv];
    const [file = '', ...rest] = words;
    const child = spawn(file, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    return watchProgram(name, child, systemClock, this.#options.onLog);
  }
}

function watchProgram(
  name: string,
  child: ChildProcess,
  clock: Clock,
  onLog: InstallationOptions['onLog'],
): RunningProgram {
  const seen = new Map<string, Readonly<Record<string, unknown>>>();
  const waiting = new Map<string, (fields: Readonly<Record<string, unknown>>) => void>();
  const last: string[] = [];
  const exited = once(child, 'exit').then(([status]) => Number(status ?? 1));
  if (child.stderr) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      onLog?.(name, line);
      last.push(line);
      if (last.length > 20) last.shift();
      if (!line.startsWith('{')) return;
      const fields = JSON.parse(line) as Readonly<Record<string, unknown>>;
      const event = String(fields['event']);
      seen.set(event, fields);
      waiting.get(event)?.(fields);
    });
  }
  return {
    child,
    async event(wanted) {
      const there = seen.get(wanted);
      if (there) return there;
      const { promise, resolve } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
      waiting.set(wanted, resolve);
      const ended = exited.then(() => clock.sleep(50)).then(() => undefined);
      const waited = new AbortController();
      const tooLong = clock.sleep(withinMs, waited.signal).catch(() => undefined);
      const found = await Promise.race([promise, ended, tooLong]);
      waited.abort();
      if (!found) throw new Error(`${name} did not say ${wanted}; it said:\n${last.join('\n')}`);
      return found;
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      // One that a test has stopped must run to end.
      child.kill('SIGCONT');
      const killing = clock.setTimer(5000, () => child.kill('SIGKILL'));
      const status = await exited;
      killing.cancel();
      return status;
    },
  };
}
