/**
 * A secret's value: bytes that can be wiped and that nothing prints.
 *
 * Promises: no conversion to text, JSON or an inspection shows the bytes; after disposal they are
 * zero and using them is a bug. Does not promise that the runtime made no copy (THREAT-MODEL, T9).
 */
import { inspect } from 'node:util';
import { assert } from '../base/assert.ts';
import { allocate, wipe } from '../base/bytes.ts';

const redacted = '[redacted]';

export class SecretValue {
  readonly #bytes: Buffer;
  #disposed = false;

  /** Takes the buffer over: it is wiped on disposal, so the caller must not keep it. */
  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Takes `bytes` over without a copy; they must not come from a shared pool. */
  static own(bytes: Buffer): SecretValue {
    return new SecretValue(bytes);
  }

  /** Copies, so that the caller can go on to wipe what it has. */
  static copy(bytes: Uint8Array): SecretValue {
    const own = allocate(bytes.length);
    own.set(bytes);
    return new SecretValue(own);
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Lends the bytes for the duration of `act`. They must not be kept. */
  use<T>(act: (bytes: Buffer) => T): T {
    assert(!this.#disposed, 'a secret value is used before it is wiped');
    return act(this.#bytes);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    wipe(this.#bytes);
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [inspect.custom](): string {
    return redacted;
  }
}
