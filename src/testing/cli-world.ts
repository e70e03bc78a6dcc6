/**
 * The world of a command in tests: a home of its own, an environment, what is typed or piped in, and
 * everything that came out. The command itself is the real one, in this process.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../base/clock.ts';
import type { ProgramIo } from '../base/program.ts';
import { systemRandom } from '../base/random.ts';
import { runCli } from '../cli/cli.ts';
import { goodToken, type HttpGateway } from './http-gateway.ts';

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order in which they were written; errors marked `! `. */
  readonly transcript: string;
  /** Whether the terminal was left unseen typing. */
  readonly rawAtEnd: boolean;
}

export interface CliRunOptions {
  /** Piped in, in pieces if it is a list; nothing when left out. */
  readonly stdin?: string | Buffer | readonly Buffer[];
  /** Typed at a terminal: standard input and errors are one then. */
  readonly typed?: readonly (string | Buffer)[];
  /** Behind that comes nothing more, and no end: nobody is there. */
  readonly staysOpen?: true;
  /** Called when all of that was read, and it waits for more. */
  readonly onInput?: () => void;
  /** Standard output is a terminal. */
  readonly onTerminal?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Where it is run; `path('')` when left out. */
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Called with each piece of standard output. */
  readonly onOutput?: (text: string) => void;
}

export class CliWorld implements Disposable {
  readonly home: string = mkdtempSync(join(tmpdir(), 'coffer-cli-'));
  readonly env: Record<string, string> = { HOME: this.home };

  constructor() {
    mkdirSync(join(this.home, 'work'));
  }

  /** A path in the directory that commands run in. */
  path(name: string): string {
    return join(this.home, 'work', name);
  }

  /** Points it at a gateway by environment, as CI does. */
  reach({ server, certificate }: HttpGateway): this {
    const authority = this.path('ca.pem');
    writeFileSync(authority, certificate.authorityPem);
    this.env['COFFER_ADDR'] = `https://127.0.0.1:${server.port}`;
    this.env['COFFER_CACERT'] = authority;
    this.env['COFFER_TOKEN'] = goodToken;
    return this;
  }

  async run(argv: readonly string[], options: CliRunOptions = {}): Promise<CliRun> {
    const written: { readonly to: 'stdout' | 'stderr'; readonly text: string }[] = [];
    const state = { raw: false };
    const code = await runCli(argv, this.#io(options, written, state));
    const of = (to: 'stdout' | 'stderr'): string =>
      written.map((piece) => (piece.to === to ? piece.text : '')).join('');
    return {
      code,
      stdout: of('stdout'),
      stderr: of('stderr'),
      transcript: written.map(({ to, text }) => (to === 'stdout' ? text : marked(text))).join(''),
      rawAtEnd: state.raw,
    };
  }

  #io(
    options: CliRunOptions,
    written: { readonly to: 'stdout' | 'stderr'; readonly text: string }[],
    state: { raw: boolean },
  ): ProgramIo {
    const env = { ...this.env, ...options.env };
    const isTty = options.typed !== undefined;
    const { stdin = '' } = options;
    const piped = typeof stdin === 'string' || Buffer.isBuffer(stdin) ? [stdin] : stdin;
    const pieces = (options.typed ?? piped).map((piece) => Buffer.from(piece));
    // One queue for all readers, as one terminal is.
    const queue = pieces.filter((piece) => piece.length > 0);
    const output = (to: 'stdout' | 'stderr', tty: boolean) => ({
      isTty: tty,
      write(text: string) {
        written.push({ to, text });
        if (to === 'stdout') options.onOutput?.(text);
      },
      async writeBytes(bytes: Buffer) {
        written.push({ to, text: bytes.toString('utf8') });
      },
    });
    return {
      env,
      envBytes: (name) => (env[name] === undefined ? undefined : Buffer.from(env[name])),
      cwd: options.cwd ?? join(this.home, 'work'),
      stdin: {
        isTty,
        async *chunks() {
          for (let next = queue.shift(); next; next = queue.shift()) yield next;
          options.onInput?.();
          if (options.staysOpen === true) await new Promise(() => undefined);
        },
        setRaw(raw) {
          state.raw = raw;
        },
      },
      stdout: output('stdout', options.onTerminal === true),
      stderr: output('stderr', isTty),
      clock: options.clock ?? systemClock,
      random: systemRandom,
      signal: options.signal ?? new AbortController().signal,
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

function marked(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '! ');
}
