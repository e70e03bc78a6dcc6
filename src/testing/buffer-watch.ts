/**
 * Remembers every buffer that is made where values and keys may be, while a test runs: to look
 * afterwards what was left in them.
 *
 * Seen is what `allocate` makes, what Node's ciphers give, and what comes of `Buffer.from`. Not seen is
 * what OpenSSL and V8 keep for themselves.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import type { TestContext } from 'node:test';

type Maker = 'createCipheriv' | 'createDecipheriv';

export class BufferWatch {
  readonly #made: Uint8Array[] = [];

  constructor(t: TestContext) {
    for (const name of ['allocUnsafeSlow', 'from'] as const) {
      const original = Buffer[name].bind(Buffer) as (...given: unknown[]) => Buffer;
      t.mock.method(Buffer, name, (...given: unknown[]) => this.#keep(original(...given)));
    }
    for (const name of ['createCipheriv', 'createDecipheriv'] as const) this.#watch(t, name);
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
  }

  /** How many of them hold these bytes now. */
  holding(bytes: Uint8Array): number {
    return new Set(this.#made.filter((buffer) => Buffer.prototype.includes.call(buffer, bytes)))
      .size;
  }

  #watch(t: TestContext, name: Maker): void {
    const original = crypto[name] as (...given: unknown[]) => crypto.Cipheriv;
    t.mock.method(crypto, name, (...given: unknown[]) => {
      const cipher = original(...given);
      const update = cipher.update.bind(cipher) as (bytes: Uint8Array) => Buffer;
      cipher.update = ((bytes: Uint8Array) => this.#keep(update(bytes))) as typeof cipher.update;
      return cipher;
    });
  }

  #keep<Made extends Uint8Array>(made: Made): Made {
    this.#made.push(made);
    return made;
  }
}
