/**
 * Protobuf messages as plain objects, by tables: what `stream.proto` says, without reflection. The
 * bytes are written and read by protobuf's own wire library; here is only which field is what.
 *
 * Why not the generated code: it takes 27 MiB of the enforcer's memory and five times the time
 * (docs/decisions/0006). A test holds these tables to the generated code, message by message.
 *
 * Promises
 *   - proto3's rules: defaults are not sent, unknown fields are skipped, of a repeated scalar field
 *     given twice the last one counts, oneofs hold one.
 *   - Numbers beyond 2^53 and text that is not UTF-8 are refused.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

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
}

export interface Message<T extends object> {
  readonly fields: ReadonlyMap<number, Field>;
  /** The same, in the order in which they are written. */
  readonly written: readonly Field[];
  /** Whether it has a `bytes` field, itself or further down. */
  readonly hasBytes: boolean;
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
    Object.entries(specs).map(([name, spec]) => [spec.number, { name, spec }]),
  );
  const defaults = Object.entries(specs).filter(([, spec]) => !hasPresence(spec));
  const plain = Object.fromEntries(defaults.map(([name, spec]) => [name, defaultOf(spec)]));
  // What is filled while reading is made anew each time; the rest is copied at once.
  const filled = defaults.filter(([, spec]) => spec.repeated || spec.kind === 'map');
  const hasBytes = Object.values(specs).some(
    ({ kind }) => kind === 'bytes' || (typeof kind === 'object' && kind.hasBytes),
  );
  return {
    fields,
    hasBytes,
    written: [...fields.values()],
    empty: () => {
      const value = { ...plain };
      for (const [name, spec] of filled) value[name] = defaultOf(spec);
      return value as MessageOf<S>;
    },
  };
}

/**
 * Of `bytes` fields the result is the only copy: the library's writer grows by leaving its old buffers
 * behind, so what may be a secret never passes through it.
 */
export function encode<T extends object>(type: Message<T>, value: T): Uint8Array {
  const writer = new BinaryWriter();
  if (!type.hasBytes) {
    write(writer, type, value);
    return writer.finish();
  }
  const parts: Uint8Array[] = [];
  const whole = new Uint8Array(writeParts(writer, type, value, parts));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
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

function write(writer: BinaryWriter, type: Message<object>, value: object): void {
  for (const { name, spec } of type.written) {
    const given = (value as Readonly<Record<string, unknown>>)[name];
    if (given !== undefined) writeItems(writer, spec, given);
  }
}

function writeItems(writer: BinaryWriter, spec: FieldSpec, given: unknown): void {
  const { number } = spec;
  if (spec.repeated) {
    for (const item of given as readonly unknown[]) writeField(writer, number, spec, item);
  } else if (spec.kind === 'map') {
    writeMap(writer, number, given as Readonly<Record<string, string>>);
  } else if (hasPresence(spec) || !isDefault(given)) {
    writeField(writer, number, spec, given);
  }
}

/** As `write`, in pieces: `bytes` fields are pieces of their own, and not copied. @returns their length */
function writeParts(
  writer: BinaryWriter,
  type: Message<object>,
  value: object,
  parts: Uint8Array[],
): number {
  const from = parts.length;
  for (const { name, spec } of type.written) {
    const given = (value as Readonly<Record<string, unknown>>)[name];
    if (given === undefined) continue;
    if (spec.kind !== 'bytes' && !(typeof spec.kind === 'object' && spec.kind.hasBytes)) {
      writeItems(writer, spec, given);
    } else if (spec.repeated || hasPresence(spec) || !isDefault(given)) {
      for (const item of spec.repeated ? (given as readonly unknown[]) : [given]) {
        writePart(writer, spec, item, parts);
      }
    }
  }
  parts.push(writer.finish());
  return lengthOf(parts, from);
}

function writePart(
  writer: BinaryWriter,
  { number, kind }: FieldSpec,
  item: unknown,
  parts: Uint8Array[],
): void {
  // What was written so far; the writer starts anew.
  parts.push(writer.finish());
  const inner: Uint8Array[] = [];
  if (typeof kind === 'object') writeParts(writer, kind, item as object, inner);
  else inner.push(item as Uint8Array);
  writer.tag(number, WireType.LengthDelimited).uint32(lengthOf(inner, 0));
  parts.push(writer.finish(), ...inner);
}

function lengthOf(parts: readonly Uint8Array[], from: number): number {
  let length = 0;
  for (let index = from; index < parts.length; index += 1) length += parts[index]?.length ?? 0;
  return length;
}

function isDefault(value: unknown): boolean {
  return (
    value === 0 ||
    value === false ||
    value === '' ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function writeField(writer: BinaryWriter, number: number, spec: FieldSpec, value: unknown): void {
  switch (spec.kind) {
    case 'uint32':
      writer.tag(number, WireType.Varint).uint32(value as number);
      break;
    case 'uint64':
      writer.tag(number, WireType.Varint).uint64(value as number);
      break;
    case 'bool':
      writer.tag(number, WireType.Varint).bool(value as boolean);
      break;
    case 'string':
      writer.tag(number, WireType.LengthDelimited).string(value as string);
      break;
    case 'bytes':
      writer.tag(number, WireType.LengthDelimited).bytes(value as Uint8Array);
      break;
    case 'map':
      break;
    default:
      writer.tag(number, WireType.LengthDelimited).fork();
      write(writer, spec.kind, value as object);
      writer.join();
  }
}

/** map<string, string>: a repeated message of key 1 and value 2, sorted so that equal maps are equal bytes. */
function writeMap(
  writer: BinaryWriter,
  number: number,
  entries: Readonly<Record<string, string>>,
): void {
  for (const [key, value] of Object.entries(entries)) {
    writer.tag(number, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writer.tag(2, WireType.LengthDelimited).string(value);
    writer.join();
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
