/**
 * A running `commit-writer.ts`: what it acknowledged so far, and how it is ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { compileCache } from './compile-cache.ts';

export interface WriterOptions {
  readonly store: string;
  /** Acknowledges before committing: the control. */
  readonly ackEarly?: boolean;
  /** Runs SQLite with `synchronous=NORMAL`: the control. */
  readonly weakened?: boolean;
}

export class WriterProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #acked = 0;
  #acksRead = 0;
  #ended = false;
  #errors = '';
  #wake: (() => void) | undefined;

  constructor({ store, ackEarly = false, weakened = false }: WriterOptions) {
    const preload = weakened ? ['--import', join(import.meta.dirname, 'weaken-sqlite.ts')] : [];
    const program = join(import.meta.dirname, 'commit-writer.ts');
    const flags = ackEarly ? ['--ack-early'] : [];
    this.#child = spawn(process.execPath, [...preload, program, store, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    });
    this.#closed = once(this.#child, 'close');
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error('the writer has pipes');
    createInterface(stdout).on('line', (line) => this.#note(line));
    stderr.on('data', (text) => {
      this.#errors += String(text);
    });
    this.#child.once('close', () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  /** The last revision it acknowledged, as far as it was read here. */
  get acked(): number {
    return this.#acked;
  }

  /** What it wrote to its standard error. */
  get errors(): string {
    return this.#errors;
  }

  /** Waits for so many acknowledgements, or for its end. */
  async acks(count: number): Promise<void> {
    while (this.#acksRead < count && !this.#ended) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** Waits until it ended by itself and everything it told was read. */
  async ended(): Promise<void> {
    await this.#closed;
  }

  /** SIGKILL, then reads what was in the pipe. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #note(line: string): void {
    if (/^\d+$/.test(line)) {
      this.#acked = Number(line);
      this.#acksRead += 1;
    } else {
      this.#acked = Number(line.replace(/^open /, ''));
    }
    this.#wake?.();
  }
}
