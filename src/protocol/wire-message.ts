/**
 * Protobuf messages as plain objects, by tables: what `stream.proto` says, without reflection or
 * generated code, which takes 27 MiB of the enforcer's memory and five times the time.
 *
 * Bytes are read by protobuf's own wire library. Its writer grows, and leaves its old buffers behind with
 * what they held; values must not be left behind, so writing is ours: measured first, then written once,
 * into one buffer of that size. A test holds tables and writer to the library, message by message.
 *
 * Promises
 *   - proto3's rules: defaults are not sent, unknown fields are skipped, of a repeated scalar field
 *     given twice the last one counts.
 *   - Numbers beyond 2^53 and text that is not UTF-8 are refused.
 *   - The result of `encode` is the only copy of the bytes that went in.
 * Does not promise
 *   - Oneofs: a message has what was sent. Who reads it refuses two where one is meant.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { assert } from '../base/assert.ts';
import { allocate } from '../base/bytes.ts';

type ScalarKind = 'uint32' | 'uint64' | 'bool' | 'string' | 'bytes';

interface FieldSpec {
  readonly number: number;
  readonly kind: ScalarKind | 'map' | Message<object>;
  readonly repeated?: true;
  /** Sent also when it has its default: presence says something. */
  readonly optional?: true;
}

interface Field {
  readonly name: string;
  readonly spec: FieldSpec;
  /** Field number and wire type, as they precede each item. */
  readonly tag: number;
}

export interface Message<T extends object> {
  readonly fields: ReadonlyMap<number, Field>;
  /** The same, in the order in which they are written. */
  readonly written: readonly Field[];
  /** What a message is before anything was read. */
  readonly empty: () => T;
}

type ValueOf<Kind> = Kind extends 'uint32' | 'uint64'
  ? number
  : Kind extends 'bool'
    ? boolean
    : Kind extends 'string'
      ? string
      : Kind extends 'bytes'
        ? Uint8Array
        : Kind extends 'map'
          ? Readonly<Record<string, string>>
          : Kind extends Message<infer T>
            ? T
            : never;

type FieldValue<F> = F extends { readonly kind: infer Kind; readonly repeated: true }
  ? readonly ValueOf<Kind>[]
  : F extends { readonly kind: infer Kind; readonly optional: true }
    ? ValueOf<Kind> | undefined
    : F extends { readonly kind: infer Kind }
      ? Kind extends Message<infer T>
        ? T | undefined
        : ValueOf<Kind>
      : never;

type Specs = Readonly<Record<string, FieldSpec>>;
type OptionalKeys<S extends Specs> = {
  [K in keyof S]: undefined extends FieldValue<S[K]> ? K : never;
}[keyof S];
export type MessageOf<S extends Specs> = {
  readonly [K in Exclude<keyof S, OptionalKeys<S>>]: FieldValue<S[K]>;
} & { readonly [K in OptionalKeys<S>]?: FieldValue<S[K]> };

export function message<const S extends Specs>(specs: S): Message<MessageOf<S>> {
  const fields = new Map(
    Object.entries(specs).map(([name, spec]) => {
      return [spec.number, { name, spec, tag: spec.number * 8 + wireTypeOf(spec) }];
    }),
  );
  const defaults = Object.entries(specs).filter(([, spec]) => !hasPresence(spec));
  const plain = Object.fromEntries(defaults.map(([name, spec]) => [name, defaultOf(spec)]));
  // What is filled while reading is made anew each time; the rest is copied at once.
  const filled = defaults.filter(([, spec]) => spec.repeated || spec.kind === 'map');
  return {
    fields,
    written: [...fields.values()],
    empty: () => {
      const value = { ...plain };
      for (const [name, spec] of filled) value[name] = defaultOf(spec);
      return value as MessageOf<S>;
    },
  };
}

/** The result holds what `bytes` fields hold: whoever asked for it wipes it. */
export function encode<T extends object>(type: Message<T>, value: T): Uint8Array {
  const lengths: number[] = [];
  const writer = new ExactWriter(measure(type, value, lengths), lengths);
  write(writer, type, value);
  return writer.finish();
}

/** @throws RangeError, TypeError or Error for what is no such message. The caller makes it a fault. */
export function decode<T extends object>(type: Message<T>, bytes: Uint8Array): T {
  return read(new BinaryReader(bytes), type, bytes.length, 0);
}

function hasPresence(spec: FieldSpec): boolean {
  return spec.optional === true || (typeof spec.kind === 'object' && spec.repeated !== true);
}

function defaultOf(spec: FieldSpec): unknown {
  if (spec.repeated) return [];
  switch (spec.kind) {
    case 'uint32':
    case 'uint64':
      return 0;
    case 'bool':
      return false;
    case 'string':
      return '';
    case 'bytes':
      return new Uint8Array(0);
    case 'map':
      return Object.create(null) as object;
    default:
      return undefined;
  }
}

/** Whether the field is sent at all. An empty list or map is, with nothing in it. */
function isSent(spec: FieldSpec, given: unknown): boolean {
  if (given === undefined) return false;
  return spec.repeated === true || spec.kind === 'map' || hasPresence(spec) || !isDefault(given);
}

function isDefault(value: unknown): boolean {
  return (
    value === 0 ||
    value === false ||
    value === '' ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

/**
 * How many bytes a message takes.
 *
 * @param lengths - Filled with the lengths of its texts and messages, in the order in which they are
 *   written: `write` would otherwise measure them again.
 */
function measure(type: Message<object>, value: object, lengths: number[]): number {
  let bytes = 0;
  for (const { name, spec, tag } of type.written) {
    const given = (value as Readonly<Record<string, unknown>>)[name];
    if (!isSent(spec, given)) continue;
    if (isSingle(spec)) bytes += varintBytes(tag) + measureItem(spec, given, lengths);
    else {
      for (const item of itemsOf(spec, given)) {
        bytes += varintBytes(tag) + measureItem(spec, item, lengths);
      }
    }
  }
  return bytes;
}

function measureItem({ kind }: FieldSpec, item: unknown, lengths: number[]): number {
  switch (kind) {
    case 'uint32':
    case 'uint64':
      return varintBytes(item as number);
    case 'bool':
      return 1;
    case 'bytes':
      return prefixedBytes((item as Uint8Array).length);
    case 'string': {
      const length = Buffer.byteLength(item as string);
      lengths.push(length);
      return prefixedBytes(length);
    }
    case 'map':
      return measureMessage(entryMessage, item as object, lengths);
    default:
      return measureMessage(kind, item as object, lengths);
  }
}

function measureMessage(type: Message<object>, value: object, lengths: number[]): number {
  const at = lengths.push(0) - 1;
  const length = measure(type, value, lengths);
  lengths[at] = length;
  return prefixedBytes(length);
}

function write(writer: ExactWriter, type: Message<object>, value: object): void {
  for (const { name, spec, tag } of type.written) {
    const given = (value as Readonly<Record<string, unknown>>)[name];
    if (!isSent(spec, given)) continue;
    if (isSingle(spec)) {
      writer.varint(tag);
      writeItem(writer, spec, given);
      continue;
    }
    for (const item of itemsOf(spec, given)) {
      writer.varint(tag);
      writeItem(writer, spec, item);
    }
  }
}

function writeItem(writer: ExactWriter, { kind }: FieldSpec, item: unknown): void {
  switch (kind) {
    case 'uint32':
    case 'uint64':
      writer.varint(item as number);
      break;
    case 'bool':
      writer.varint(item === true ? 1 : 0);
      break;
    case 'bytes':
      writer.bytes(item as Uint8Array);
      break;
    case 'string':
      writer.text(item as string);
      break;
    case 'map':
      writer.varint(writer.nextLength());
      write(writer, entryMessage, item as object);
      break;
    default:
      writer.varint(writer.nextLength());
      write(writer, kind, item as object);
  }
}

/** Nearly all fields are: nothing is made for them. */
function isSingle(spec: FieldSpec): boolean {
  return spec.repeated !== true && spec.kind !== 'map';
}

/** map<string, string> is a repeated message of key 1 and value 2. */
function itemsOf(spec: FieldSpec, given: unknown): readonly unknown[] {
  if (spec.repeated) return given as readonly unknown[];
  return Object.entries(given as Readonly<Record<string, string>>).map(([key, value]) => {
    return { key, value };
  });
}

function prefixedBytes(length: number): number {
  return varintBytes(length) + length;
}

function varintBytes(value: number): number {
  assert(Number.isSafeInteger(value) && value >= 0, 'a number that can be sent');
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}

/** Fills one buffer of its own, exactly. */
class ExactWriter {
  readonly #whole: Buffer;
  readonly #lengths: readonly number[];
  #at = 0;
  #lengthsAt = 0;

  constructor(bytes: number, lengths: readonly number[]) {
    this.#whole = allocate(bytes);
    this.#lengths = lengths;
  }

  nextLength(): number {
    const length = this.#lengths[this.#lengthsAt];
    assert(length !== undefined, 'what is written was measured');
    this.#lengthsAt += 1;
    return length;
  }

  varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#whole[this.#at] = (rest % 0x80) + 0x80;
      this.#at += 1;
      rest = Math.floor(rest / 0x80);
    }
    this.#whole[this.#at] = rest;
    this.#at += 1;
  }

  text(value: string): void {
    const length = this.nextLength();
    this.varint(length);
    this.#at += this.#whole.write(value, this.#at, length, 'utf8');
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.#whole.set(value, this.#at);
    this.#at += value.length;
  }

  finish(): Uint8Array {
    assert(this.#at === this.#whole.length, 'as much is written as was measured');
    return this.#whole;
  }
}

/** Messages in messages: ours are three deep. */
const depthMax = 8;

function read<T extends object>(
  reader: BinaryReader,
  type: Message<T>,
  end: number,
  depth: number,
): T {
  if (depth > depthMax || end > reader.len) throw new RangeError('a message within its bounds');
  const value = type.empty() as Record<string, unknown>;
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = type.fields.get(number);
    if (!field || wireType !== wireTypeOf(field.spec)) {
      reader.skip(wireType, number);
      continue;
    }
    const { name, spec } = field;
    if (spec.kind === 'map') {
      const [key, item] = readEntry(reader, depth);
      Object.defineProperty(value[name], key, {
        value: item,
        enumerable: true,
        configurable: true,
      });
      continue;
    }
    const item = readField(reader, spec, depth);
    if (spec.repeated) (value[name] as unknown[]).push(item);
    else value[name] = item;
  }
  if (reader.pos !== end) throw new RangeError('a message ends where it says');
  return value as T;
}

function wireTypeOf(spec: FieldSpec): WireType {
  return spec.kind === 'uint32' || spec.kind === 'uint64' || spec.kind === 'bool'
    ? WireType.Varint
    : WireType.LengthDelimited;
}

function readField(reader: BinaryReader, spec: FieldSpec, depth: number): unknown {
  switch (spec.kind) {
    case 'uint32':
      return reader.uint32();
    case 'uint64':
      return wholeNumber(reader.uint64());
    case 'bool':
      return reader.bool();
    case 'string':
      return reader.string(true);
    case 'bytes':
      // A view into the frame: whoever keeps it copies it.
      return reader.bytes();
    case 'map':
      return undefined;
    default: {
      const length = reader.uint32();
      return read(reader, spec.kind, reader.pos + length, depth + 1);
    }
  }
}

const entryMessage = message({
  key: { number: 1, kind: 'string' },
  value: { number: 2, kind: 'string' },
});

function readEntry(reader: BinaryReader, depth: number): readonly [string, string] {
  const length = reader.uint32();
  const { key, value } = read(reader, entryMessage, reader.pos + length, depth + 1);
  return [key, value];
}

function wholeNumber(value: bigint | string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError('a number within 2^53');
  return number;
}
