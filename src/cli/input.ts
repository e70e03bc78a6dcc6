/**
 * What is typed or piped in, shared by all who read in one run: what was pasted after the end of one
 * answer is the beginning of the next.
 *
 * Promises: whoever waits here is told when the run is ended, and waits no longer.
 */
import { wipe } from '../base/bytes.ts';
import { Fault } from '../base/fault.ts';
import type { ProgramInput } from '../base/program.ts';

export class Input {
  readonly #input: ProgramInput;
  readonly #signal: AbortSignal;
  #chunks: AsyncIterator<Buffer> | undefined;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(input: ProgramInput, signal: AbortSignal) {
    this.#input = input;
    this.#signal = signal;
  }

  /** @returns undefined at the end. @throws Fault `cli.interrupted` when the run is ended. */
  async key(): Promise<number | undefined> {
    while (this.#at >= this.#chunk.length) {
      wipe(this.#chunk);
      this.#at = 0;
      const next = await this.#read();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
    }
    const byte = this.#chunk[this.#at];
    this.#chunk[this.#at] = 0;
    this.#at += 1;
    return byte;
  }

  /** All that comes, until it ends; each piece is the reader's to wipe. @throws as `key` */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    for (let next = await this.#read(); next.done !== true; next = await this.#read()) {
      yield next.value;
    }
  }

  async #read(): Promise<IteratorResult<Buffer>> {
    this.#chunks ??= this.#input.chunks()[Symbol.asyncIterator]();
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(new Fault('cli.interrupted'));
    if (this.#signal.aborted) onAbort();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([this.#chunks.next(), ended]);
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
    }
  }
}
