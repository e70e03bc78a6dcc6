/**
 * What is typed, byte by byte, shared by all questions of one run: what was pasted after the end of
 * one answer is the beginning of the next.
 */
import { wipe } from '../base/bytes.ts';
import { Fault } from '../base/fault.ts';
import type { ProgramInput } from '../base/program.ts';

export class KeyInput {
  readonly #input: ProgramInput;
  readonly #signal: AbortSignal;
  #chunks: AsyncIterator<Buffer> | undefined;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(input: ProgramInput, signal: AbortSignal) {
    this.#input = input;
    this.#signal = signal;
  }

  /** @returns undefined at the end of the input. @throws Fault `cli.interrupted` when the run is ended. */
  async next(): Promise<number | undefined> {
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
