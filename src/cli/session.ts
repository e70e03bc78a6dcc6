/**
 * One run of a command: its settings, its connection, and the two ways out: data to standard output,
 * everything else to standard error.
 *
 * Promises
 *   - Nothing is connected to before the first call.
 *   - With `--curl` the call is printed instead of made, and the command ends.
 *   - No level of the log shows a body, a token or a value.
 */
import { createLog, type Log, silentLog } from '../base/log.ts';
import type { ProgramIo } from '../base/program.ts';
import type { CallOptions, CallReply, Client } from '../client/client.ts';
import type { JsonOperation } from '../protocol/event-cursor.ts';
import { type OperationInput, type OperationName, operationNamed } from '../protocol/operations.ts';
import { usage } from './command-spec.ts';
import { Input } from './input.ts';
import { type Format, parseFormat } from './output.ts';
import { makePaint, type Paint } from '../base/paint.ts';
import { type GlobalOptions, readSettings, type Settings } from './settings.ts';
import { visible } from '../base/visible-text.ts';

/** Thrown when what was asked for has been printed already. */
export class Printed extends Error {
  override readonly name = 'Printed';
}

export interface SessionOptions {
  readonly io: ProgramIo;
  readonly flags: GlobalOptions;
  readonly command: string;
  /** `--dry-run`: nothing is sent, or nothing is changed by it. */
  readonly dryRun?: DryRun | undefined;
  /** Ends all waiting: Ctrl-C, or `--timeout`. */
  readonly signal: AbortSignal;
}

export type DryRun = 'client' | 'server';

export class Session {
  readonly io: ProgramIo;
  readonly flags: GlobalOptions;
  readonly command: string;
  readonly dryRun: DryRun | undefined;
  readonly signal: AbortSignal;
  readonly input: Input;
  /** It only shows what happens from now on: to be interrupted is how it ends. */
  isFollowing = false;
  /** Of progress, on the screen. */
  lines = 0;
  /** Of the table that this command shows, so that rows which come later stand below their titles. */
  readonly columnWidths: number[] = [];
  #settings: Promise<Settings> | undefined;
  #client: Promise<Client> | undefined;
  #format: Format | undefined;
  #log: Log | undefined;

  constructor(options: SessionOptions) {
    this.io = options.io;
    this.flags = options.flags;
    this.command = options.command;
    this.dryRun = options.dryRun;
    this.signal = options.signal;
    this.input = new Input(options.io.stdin, options.signal);
  }

  settings(): Promise<Settings> {
    this.#settings ??= readSettings(this.io, this.flags);
    return this.#settings;
  }

  async format(): Promise<Format> {
    this.#format ??= await parseFormat((await this.settings()).output.value);
    return this.#format;
  }

  get isWide(): boolean {
    return this.#format?.kind === 'wide';
  }

  /** Whether a table is shown, and not data: then there may be words beside it. */
  get isForPeople(): boolean {
    return this.#format?.kind === 'wide' || this.#format?.kind === 'table';
  }

  /** Whether `--curl` was given: then nothing is read beforehand, either. */
  get isExplaining(): boolean {
    return this.flags.curl === true;
  }

  /** Data. Whole lines. */
  print(text: string): void {
    this.io.stdout.write(text);
  }

  /** For people: one line on standard error, unless they asked for quiet. */
  note(text: string): void {
    if (this.flags.quiet !== true) this.warn(text);
  }

  /** What must be seen in any case: warnings, and what a question is about. */
  warn(text: string): void {
    this.io.stderr.write(`${text}\n`);
  }

  paint(of: 'stdout' | 'stderr'): Paint {
    return makePaint(this.io, of, this.flags.color);
  }

  async log(): Promise<Log> {
    if (this.#log) return this.#log;
    const { log } = await this.settings();
    const { clock, stderr } = this.io;
    this.#log =
      log.value === 'off'
        ? silentLog
        : createLog({ clock, level: log.value, write: (line) => stderr.write(line) });
    return this.#log;
  }

  /** @throws Fault `cli.usage` if no gateway is named; as reading tokens and authorities. */
  client(): Promise<Client> {
    this.#client ??= this.#connect();
    return this.#client;
  }

  async #connect(): Promise<Client> {
    const settings = await this.settings();
    const address = settings.server.value;
    if (address === undefined) {
      throw usage('no gateway is named: use --server, COFFER_ADDR, or `coffer context add`');
    }
    const [trust, token] = await Promise.all([settings.readTrust(), settings.readToken()]);
    const { Client } = await import('../client/client.ts');
    const { clock, random } = this.io;
    const { timeout } = this.flags;
    return new Client({
      address,
      trust,
      clock,
      random,
      ...(token === undefined ? {} : { token }),
      // Above --timeout, which ends all of it, and says so.
      ...(timeout === undefined ? {} : { timeoutMs: (timeout + 1) * 1000 }),
    });
  }

  /**
   * Makes a call. Changes carry an idempotency key, so that one that was cut off can be repeated; not those
   * whose answer the gateway keeps nowhere.
   *
   * @throws Printed with `--curl`.
   */
  async call<Name extends JsonOperation>(
    name: Name,
    input: OperationInput<Name>,
    options: CallOptions = {},
  ): Promise<CallReply<Name>> {
    await this.explain(name, input, options);
    const client = await this.client();
    const log = await this.log();
    const startedMs = this.io.clock.monotonicMs();
    const { effect, credential } = operationNamed(name);
    const isKept = effect === 'change' && credential !== true;
    const key = isKept ? { idempotencyKey: this.makeKey() } : {};
    const calling = client.call(name, input, { ...key, ...options, signal: this.signal });
    const reply = await this.waitingFor(calling);
    const ms = Math.round(this.io.clock.monotonicMs() - startedMs);
    log.debug('cli.called', { operation: name, requestId: reply.requestId, ms });
    return reply;
  }

  /** Says on a terminal that the gateway is waited for, once that takes a moment. */
  async waitingFor<T>(answer: Promise<T>): Promise<T> {
    if (!this.io.stderr.isTty) return await answer;
    // It may fail before anybody here listens.
    answer.catch(() => undefined);
    const { server } = await this.settings();
    const { showingWait } = await import('./progress.ts');
    return await showingWait(this, server.value ?? 'the gateway', answer);
  }

  /** What `call` does first; for streams and files, before they are opened. */
  async explain(name: OperationName, input: unknown, options: CallOptions = {}): Promise<void> {
    if (!this.isExplaining) return;
    const { explainCall } = await import('./explain-call.ts');
    this.print(await explainCall(this, name, input, options));
    throw new Printed();
  }

  makeKey(): string {
    return `cli_${this.io.random.bytes(16).toString('hex')}`;
  }

  /** `https://gateway:8443 (context prod)` */
  async where(): Promise<string> {
    const { server, context } = await this.settings();
    if (server.value === undefined) return 'no gateway';
    const name = context.value === undefined ? `from ${server.from}` : `context ${context.value}`;
    return visible(`${server.value} (${name})`);
  }

  /** The same, once something was connected to; undefined before. */
  async whereIfUsed(): Promise<string | undefined> {
    const { server } = await this.settings();
    return this.#client === undefined || server.value === undefined
      ? undefined
      : await this.where();
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    await client?.close();
  }
}
