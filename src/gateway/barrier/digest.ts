/**
 * The state digest: for each kind, how many rows there are and the sum modulo 2^256 of
 * HMAC-SHA256(digest key, row key ‖ revision) over them.
 *
 * A sum, so that a commit adds what is new and subtracts what it replaces, whatever the size of the
 * store; a keyed one, so that nobody without the key can find rows whose terms cancel out (a multiset
 * hash after Clarke and others, 2003). It is sealed in the head of every commit and computed again
 * while a store loads: a row that is missing, added or at an older revision makes it differ.
 *
 * Audit rows are not in it: the audit tree covers them.
 */
import { hash, type KeyObject } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import { allocate, joinPrefixed, wipe } from '../../base/bytes.ts';

/** 256 bits in eight words, the least significant first. */
type Words = Uint32Array;
const wordsPerSum = 8;
const sumBytes = 32;

interface KindSum {
  rows: number;
  readonly sum: Words;
}

/** One row's part. The same for adding and for taking away. Good until the next one is made. */
export type Term = Buffer;

/** What HMAC (RFC 2104) takes of SHA-256. */
const blockBytes = 64;
const hashBytes = 32;
const messageBytesMax = 512;

/**
 * Makes terms. HMAC from its definition, because two calls for a hash are three times as quick as one for
 * an HMAC object, and a start makes millions of terms; the tests compare it with OpenSSL's.
 */
export class Terms implements Disposable {
  /** Key ⊕ ipad, then the message. */
  readonly #inner = allocate(blockBytes + messageBytesMax);
  /** Key ⊕ opad, then the inner hash. */
  readonly #outer = allocate(blockBytes + hashBytes);
  readonly #term: Term = allocate(sumBytes);
  #isWiped = false;

  constructor(digestKey: KeyObject) {
    const raw = digestKey.export();
    assert(raw.length <= blockBytes, 'a key fits a block');
    for (let index = 0; index < blockBytes; index++) {
      const byte = raw[index] ?? 0;
      this.#inner[index] = byte ^ 0x36;
      this.#outer[index] = byte ^ 0x5c;
    }
    wipe(raw);
  }

  /** Forgets the key: a sealed gateway has none. */
  [Symbol.dispose](): void {
    this.#isWiped = true;
    wipe(this.#inner);
    wipe(this.#outer);
  }

  of(rowKey: string, revision: number): Term {
    assert(!this.#isWiped, 'a term needs its key');
    const inner = this.#inner;
    const end = blockBytes + rowKey.length + 8;
    assert(end <= inner.length, 'a row key fits');
    inner.write(rowKey, blockBytes, 'latin1');
    inner.writeUInt32BE(Math.floor(revision / 2 ** 32), end - 8);
    inner.writeUInt32BE(revision % 2 ** 32, end - 4);
    // As text: a buffer for each hash would cost more than the hash.
    this.#outer.write(hash('sha256', inner.subarray(0, end), 'latin1'), blockBytes, 'latin1');
    this.#term.write(hash('sha256', this.#outer, 'latin1'), 'latin1');
    return this.#term;
  }
}

export class StateDigest {
  readonly #kinds = new Map<string, KindSum>();

  copy(): StateDigest {
    const other = new StateDigest();
    for (const [kind, { rows, sum }] of this.#kinds) {
      other.#kinds.set(kind, { rows, sum: Uint32Array.from(sum) });
    }
    return other;
  }

  add(kind: string, term: Term): void {
    const { sum } = this.#touch(kind, 1);
    let carry = 0;
    for (let index = 0; index < wordsPerSum; index++) {
      const word = (sum[index] ?? 0) + term.readUInt32LE(4 * index) + carry;
      sum[index] = word % 2 ** 32;
      carry = word >= 2 ** 32 ? 1 : 0;
    }
  }

  subtract(kind: string, term: Term): void {
    const { sum } = this.#touch(kind, -1);
    let borrow = 0;
    for (let index = 0; index < wordsPerSum; index++) {
      const word = (sum[index] ?? 0) - term.readUInt32LE(4 * index) - borrow;
      sum[index] = word < 0 ? word + 2 ** 32 : word;
      borrow = word < 0 ? 1 : 0;
    }
  }

  rows(kind: string): number {
    return this.#kinds.get(kind)?.rows ?? 0;
  }

  /** The kinds in which two digests differ. */
  differences(other: StateDigest): string[] {
    const kinds = new Set([...this.#kinds.keys(), ...other.#kinds.keys()]);
    return [...kinds].filter((kind) => !this.#line(kind).equals(other.#line(kind)));
  }

  /** Kinds in order, each: name, rows (8 bytes), sum (32 bytes, least significant first). */
  toBytes(): Buffer {
    return joinPrefixed(
      [...this.#kinds.keys()].toSorted().flatMap((kind) => [kind, this.#line(kind)]),
    );
  }

  /** Reads what `toBytes` wrote; `undefined` if the bytes cannot be that. */
  static fromParts(parts: readonly Uint8Array[]): StateDigest | undefined {
    const digest = new StateDigest();
    for (let index = 0; index < parts.length; index += 2) {
      const [name, line] = [parts[index], parts[index + 1]];
      if (name === undefined || line?.length !== 8 + sumBytes) return undefined;
      const bytes = Buffer.from(line);
      const sum = Uint32Array.from({ length: wordsPerSum }, (_, word) =>
        bytes.readUInt32LE(8 + 4 * word),
      );
      const rows = Number(bytes.readBigUInt64BE(0));
      digest.#kinds.set(Buffer.from(name).toString('latin1'), { rows, sum });
    }
    return digest;
  }

  #touch(kind: string, change: number): KindSum {
    const found = this.#kinds.get(kind) ?? { rows: 0, sum: new Uint32Array(wordsPerSum) };
    found.rows += change;
    this.#kinds.set(kind, found);
    return found;
  }

  #line(kind: string): Buffer {
    const found = this.#kinds.get(kind);
    const line = Buffer.alloc(8 + sumBytes);
    line.writeBigUInt64BE(BigInt(found?.rows ?? 0), 0);
    found?.sum.forEach((word, index) => line.writeUInt32LE(word, 8 + 4 * index));
    return line;
  }
}
