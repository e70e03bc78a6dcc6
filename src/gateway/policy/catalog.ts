/**
 * The catalog: groups and grants as they are stored, by name, and the records they are stored as.
 *
 * Record ids are keyed hashes of the name (`View.nameId`), so two creations of one name meet in one
 * record and a stolen database shows no names. A grant's record is found by its group's name.
 */
import { assert } from '../../base/assert.ts';
import * as schema from '../../base/schema.ts';
import { SortedBlocks } from '../../base/sorted-blocks.ts';
import { type Grant, grantSchema } from '../../model/grant.ts';
import { type Group, groupMatchSchema, nameSchema } from '../../model/group.ts';
import type { Name } from '../../model/name.ts';
import type { Projection, RecordExpectation, RecordWrite, View } from '../barrier/barrier.ts';
import type { NameRange, Versioned } from './policy.ts';

const format = schema.integer({ min: 1, max: 1 });
/** Not in records of before there was one. */
const createdAtMs = schema.optional(schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
const groupRecord = schema.object({
  ...{ format, createdAtMs, name: nameSchema, match: groupMatchSchema },
});
const grantRecord = schema.object({ format, createdAtMs, ...grantSchema.members });

export interface Dated<T> {
  readonly value: T;
  readonly createdAtMs: number | undefined;
}

/** How a kind is written down. Decoding must accept whatever an earlier version encoded. */
export interface RecordCodec<T> {
  readonly encode: (dated: Dated<T>) => Buffer;
  readonly decode: (bytes: Uint8Array) => Dated<T>;
  readonly nameOf: (value: T) => Name;
}

export const groupCodec: RecordCodec<Group> = {
  encode: ({ value: { name, match }, createdAtMs: at }) =>
    Buffer.from(JSON.stringify({ format: 1, createdAtMs: at, name, match })),
  decode(bytes) {
    const record = schema.parse(groupRecord, jsonOf(bytes), 'group record');
    const { name, match } = record;
    return { value: { name, match }, createdAtMs: record.createdAtMs };
  },
  nameOf: (group) => group.name,
};

export const grantCodec: RecordCodec<Grant> = {
  encode: ({ value, createdAtMs: at }) =>
    Buffer.from(JSON.stringify({ format: 1, createdAtMs: at, ...value })),
  decode(bytes) {
    const record = schema.parse(grantRecord, jsonOf(bytes), 'grant record');
    const { format: _, createdAtMs: at, ...value } = record;
    return { value, createdAtMs: at };
  },
  nameOf: (grant) => grant.group,
};

function jsonOf(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
}

/** What a set of records tells about each change. */
export interface Follower<T> {
  set(value: T): void;
  remove(name: Name): void;
  clear(): void;
}

/** The record id is kept beside it: it is a hash, and a plan for many documents names each several times. */
interface Kept<T> extends Versioned<T> {
  readonly id: string;
}

/** All records of one kind, in memory, by the name that people know. */
export class NamedRecords<T> implements Projection {
  readonly kind: Projection['kind'];
  readonly #view: View;
  readonly #codec: RecordCodec<T>;
  readonly #follower: Follower<T>;
  readonly #byName = new Map<Name, Kept<T>>();
  readonly #inOrder = new SortedBlocks<Name>((name) => name);
  /** By record id. */
  readonly #names = new Map<string, Name>();

  constructor(view: View, codec: RecordCodec<T>, follower: Follower<T>) {
    this.kind = view.kind;
    this.#view = view;
    this.#codec = codec;
    this.#follower = follower;
  }

  reset(): void {
    this.#byName.clear();
    this.#inOrder.clear();
    this.#names.clear();
    this.#follower.clear();
  }

  apply(record: {
    readonly id: string;
    readonly revision: number;
    readonly bytes: Uint8Array | undefined;
  }): void {
    if (record.bytes === undefined) {
      const name = this.#names.get(record.id);
      if (name === undefined) return;
      this.#names.delete(record.id);
      this.#byName.delete(name);
      this.#inOrder.remove(name);
      this.#follower.remove(name);
      return;
    }
    const dated = this.#codec.decode(record.bytes);
    const { value } = dated;
    const name = this.#codec.nameOf(value);
    const known = this.#names.get(record.id);
    assert(
      known === undefined || known === name,
      'a record keeps its name for as long as it is there',
    );
    if (!this.#byName.has(name)) this.#inOrder.add(name);
    this.#names.set(record.id, name);
    this.#byName.set(name, { ...dated, revision: record.revision, id: record.id });
    this.#follower.set(value);
  }

  get(name: Name): Versioned<T> | undefined {
    return this.#byName.get(name);
  }

  get size(): number {
    return this.#byName.size;
  }

  /** In order. Nothing may be committed while they are read. */
  names({ prefix = '', after = '' }: NameRange = {}): Generator<Name> {
    return this.#inOrder.from(prefix, after);
  }

  /** @param nowMs - When it is created, if it is not there yet. */
  put(value: T, nowMs: number): RecordWrite {
    const name = this.#codec.nameOf(value);
    const dated = { value, createdAtMs: this.createdAtMs(name, nowMs) };
    return this.#view.put(this.#idOf(name), this.#codec.encode(dated));
  }

  /** Of what is there; of what is not, `nowMs`. */
  createdAtMs(name: Name, nowMs: number): number | undefined {
    const known = this.#byName.get(name);
    return known === undefined ? nowMs : known.createdAtMs;
  }

  remove(name: Name): RecordWrite {
    return this.#view.remove(this.#idOf(name));
  }

  /** That the record is as it was seen here: at its revision, or not there. */
  expectAsSeen(name: Name): RecordExpectation {
    return this.#view.expect(this.#idOf(name), this.#byName.get(name)?.revision ?? 0);
  }

  #idOf(name: Name): string {
    return this.#byName.get(name)?.id ?? this.#view.nameId(name);
  }
}
