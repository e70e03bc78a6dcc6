/**
 * The metadata of every secret, in memory: by name, by id, and in order.
 *
 * A million secrets must fit, and must not be a million objects that the garbage collector walks again
 * and again: they are packed into bytes, under numbers (slots). Readers get ordinary `Secret`s, made as
 * they ask.
 */
import { assert, defined } from '../../base/assert.ts';
import type { Random } from '../../base/random.ts';
import { SortedBlocks } from '../../base/sorted-blocks.ts';
import type { SecretId } from '../../model/id.ts';
import type { SecretName } from '../../model/name.ts';
import type { Secret } from '../../model/secret.ts';
import type { Projection } from '../barrier/barrier.ts';
import { PackedRecords } from './packed-records.ts';
import {
  type Authors,
  packedId,
  packedName,
  packedRevision,
  packSecret,
  unpackSecret,
} from './packed-secret.ts';
import { decodeSecret } from './secret-record.ts';
import { SlotTable } from './slot-table.ts';

/** A secret and the revision of the commit that wrote it. */
export interface IndexedSecret {
  readonly secret: Secret;
  readonly revision: number;
}

export interface SecretFilter {
  /** Names that start with this; all of them when empty. */
  readonly prefix: string;
  /** Strictly after this name. */
  readonly after: string;
}

/** Secrets that delivery asks about again and again while it delivers them. */
const unpackedMax = 64;

export class SecretIndex implements Projection {
  readonly kind = 'secret';
  readonly #records = new PackedRecords();
  readonly #byName: SlotTable;
  readonly #byId: SlotTable;
  readonly #inOrder = new SortedBlocks<number>((slot) => packedName(this.#records.get(slot)));
  readonly #authors = new KeptAuthors();
  /** By slot. */
  readonly #unpacked = new Map<number, IndexedSecret>();
  /** Kept once everything is loaded, so that loading a million secrets collects nothing. */
  #changed: Set<SecretName> | undefined;

  constructor(random: Random) {
    this.#byName = new SlotTable(random, (slot) => packedName(this.#records.get(slot)));
    this.#byId = new SlotTable(random, (slot) => packedId(this.#records.get(slot)));
  }

  reset(): void {
    this.#records.clear();
    this.#byName.clear();
    this.#byId.clear();
    this.#inOrder.clear();
    this.#authors.clear();
    this.#unpacked.clear();
    this.#changed = undefined;
  }

  loaded(): void {
    this.#inOrder.settle();
    this.#changed = new Set();
  }

  apply(record: {
    readonly id: string;
    readonly revision: number;
    readonly bytes: Uint8Array | undefined;
  }): void {
    // A deleted secret stays, so that its name never means another one.
    assert(record.bytes !== undefined, 'nothing removes the record of a secret');
    const secret = decodeSecret(record.bytes);
    const packed = packSecret(secret, record.revision, this.#authors);
    const known = this.#byName.find(secret.name);
    const slot = known ?? this.#byName.size;
    assert(
      known === undefined || packedId(this.#records.get(slot)) === secret.id,
      'an id is for ever',
    );
    this.#records.set(slot, packed);
    this.#unpacked.delete(slot);
    if (known === undefined) {
      this.#byName.add(secret.name, slot);
      this.#byId.add(secret.id, slot);
      this.#inOrder.add(slot);
    }
    this.#changed?.add(secret.name);
  }

  takeChanged(): ReadonlySet<SecretName> {
    const taken = this.#changed ?? new Set();
    this.#changed = new Set();
    return taken;
  }

  /** Deleted secrets included. */
  get size(): number {
    return this.#byName.size;
  }

  /** Deleted secrets included: `deletedAtMs` says so. */
  find(name: SecretName): IndexedSecret | undefined {
    const slot = this.#byName.find(name);
    return slot === undefined ? undefined : this.#read(slot);
  }

  byId(id: SecretId): IndexedSecret | undefined {
    const slot = this.#byId.find(id);
    return slot === undefined ? undefined : this.#read(slot);
  }

  /**
   * In order of names, deleted secrets included. Take what is needed at once: the sequence does not
   * survive a commit.
   */
  *list(filter: SecretFilter): Generator<IndexedSecret> {
    for (const slot of this.#inOrder.from(filter.prefix, filter.after)) yield this.#unpack(slot);
  }

  #read(slot: number): IndexedSecret {
    const known = this.#unpacked.get(slot);
    if (known !== undefined) return known;
    const unpacked = this.#unpack(slot);
    if (this.#unpacked.size >= unpackedMax) this.#unpacked.clear();
    this.#unpacked.set(slot, unpacked);
    return unpacked;
  }

  #unpack(slot: number): IndexedSecret {
    const packed = this.#records.get(slot);
    return { secret: unpackSecret(packed, this.#authors), revision: packedRevision(packed) };
  }
}

/** Who put versions: few, and each kept once. */
class KeptAuthors implements Authors {
  readonly #names: string[] = [];
  readonly #indexes = new Map<string, number>();

  clear(): void {
    this.#names.length = 0;
    this.#indexes.clear();
  }

  indexOf(name: string): number {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    this.#indexes.set(name, this.#names.length);
    return this.#names.push(name) - 1;
  }

  at(index: number): string {
    return defined(this.#names[index], 'a packed author is known');
  }
}
