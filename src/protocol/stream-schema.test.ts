/**
 * Goal: the tables in `stream-schema.ts` say what `stream.proto` says, and encode as protobuf does.
 * Method: compare every field with the descriptor in the generated code; send random messages through
 * both implementations. Control: a table with one wrong number is caught.
 */
import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { type DescMessage, fromBinary, ScalarType, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { decodeFromEnforcer } from './stream-messages.ts';
import { fromEnforcerMessage, fromGatewayMessage } from './stream-schema.ts';
import { FromEnforcerSchema, FromGatewaySchema } from '../testing/stream_pb.ts';
import { decode, encode, type Message, message } from './wire-message.ts';

const scalars: Readonly<Record<string, readonly ScalarType[]>> = {
  uint32: [ScalarType.UINT32],
  uint64: [ScalarType.UINT64],
  bool: [ScalarType.BOOL],
  string: [ScalarType.STRING],
  bytes: [ScalarType.BYTES],
};

function differences(
  table: Message<object>,
  descriptor: DescMessage,
  at = descriptor.name,
): string[] {
  const found: string[] = [];
  const declared = new Map(descriptor.fields.map((field) => [field.number, field]));
  for (const [number, { name, spec }] of table.fields) {
    const field = declared.get(number);
    declared.delete(number);
    if (field?.localName !== name) {
      found.push(`${at}.${name}: number ${number} is ${field?.localName}`);
      continue;
    }
    if ((spec.repeated === true) !== (field.fieldKind === 'list'))
      found.push(`${at}.${name}: repeated`);
    if (typeof spec.kind === 'object') {
      if (field.message) found.push(...differences(spec.kind, field.message, `${at}.${name}`));
      else found.push(`${at}.${name}: no message`);
    } else if (spec.kind === 'map') {
      if (field.fieldKind !== 'map') found.push(`${at}.${name}: no map`);
    } else if (field.fieldKind === 'enum') {
      if (spec.kind !== 'uint32') found.push(`${at}.${name}: an enumeration is a uint32`);
    } else if (!scalars[spec.kind]?.includes(field.scalar as ScalarType)) {
      found.push(`${at}.${name}: another scalar`);
    }
    const presence = field.oneof !== undefined || field.proto.proto3Optional;
    if (typeof spec.kind !== 'object' && (spec.optional === true) !== presence) {
      found.push(`${at}.${name}: presence`);
    }
  }
  for (const field of declared.values()) found.push(`${at}.${field.localName}: missing`);
  return found;
}

/** Random values for a table: what `decode` returns for them is themselves. */
function anyOf<T extends object>(table: Message<T>): fc.Arbitrary<T> {
  const members = [...table.fields.values()].map(({ name, spec }) => {
    const one = anyField(spec);
    if (spec.repeated) return [name, fc.array(one, { maxLength: 3 })] as const;
    const present = typeof spec.kind === 'object' || spec.optional === true;
    return [name, present ? fc.option(one, { nil: undefined }) : one] as const;
  });
  return fc
    .record(Object.fromEntries(members))
    .map(
      (value) =>
        oneSource(
          Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)),
        ) as T,
    );
}

/** `content` and `keep` are one oneof. */
function oneSource(value: Record<string, unknown>): Record<string, unknown> {
  if (value['content'] !== undefined) delete value['keep'];
  return value;
}

function anyField(spec: { readonly kind: unknown }): fc.Arbitrary<unknown> {
  switch (spec.kind) {
    case 'uint32':
      return fc.nat({ max: 0xffff_ffff });
    case 'uint64':
      return fc.maxSafeNat();
    case 'bool':
      return fc.boolean();
    case 'string':
      return fc.string({ unit: 'grapheme', maxLength: 20 });
    case 'bytes':
      return fc.uint8Array({ maxLength: 40 });
    case 'map':
      return fc.dictionary(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), {
        maxKeys: 3,
      });
    default:
      return anyOf(spec.kind as Message<object>);
  }
}

const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, item: unknown) =>
      item instanceof Uint8Array ? Buffer.from(item).toString('hex') : item,
    ),
  );

test('the tables are the proto file, field by field', () => {
  deepEqual(differences(fromEnforcerMessage, FromEnforcerSchema), []);
  deepEqual(differences(fromGatewayMessage, FromGatewaySchema), []);
  const wrong = message({ hello: { number: 2, kind: 'string' } });
  equal(differences(wrong, FromEnforcerSchema).length > 0, true, 'a wrong table is caught');
});

for (const [name, table, schema] of [
  ['FromEnforcer', fromEnforcerMessage, FromEnforcerSchema],
  ['FromGateway', fromGatewayMessage, FromGatewaySchema],
] as const) {
  test(`${name}: protobuf reads what we write, and we read what it writes`, () => {
    const typed = table as unknown as Message<object>;
    fc.assert(
      fc.property(anyOf(typed), (value) => {
        // Of the oneof `body` one member at a time, as it is sent.
        for (const member of Object.entries(value)) {
          const one = Object.fromEntries([member]);
          // A Buffer's own JSON would come between.
          const bytes = Uint8Array.from(encode(typed, one));
          const theirs = fromBinary(schema, bytes, { readUnknownFields: false });
          const again = toBinary(schema, theirs, { writeUnknownFields: false });
          deepEqual(plain(decode(typed, again)), plain(decode(typed, bytes)));
          deepEqual(plain(decode(typed, bytes)), plain(one));
        }
      }),
      { numRuns: 300 },
    );
  });
}

test('of two bodies none is taken', () => {
  const sent = { workloadStopped: { workloadId: 'w' }, leaseSeen: { serial: 1 } };
  for (const both of [sent, { ...sent, leaseSeen: undefined }]) {
    const bytes = encode(fromEnforcerMessage, both);
    if (both.leaseSeen) throws(() => decodeFromEnforcer(bytes), { code: 'stream.malformed' });
    else equal(decodeFromEnforcer(bytes)?.kind, 'workload-stopped', 'control: one is');
  }
});

test('decode skips what a newer peer adds, and never reads past the end', () => {
  const newer = message({
    known: { number: 1, kind: 'string' },
    added: { number: 99, kind: 'bytes' },
  });
  const older = message({ known: { number: 1, kind: 'string' } });
  const bytes = encode(newer, { known: 'a', added: new Uint8Array([1, 2, 3]) });
  deepEqual(plain(decode(older, bytes)), { known: 'a' });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      try {
        decode(fromGatewayMessage, noise);
      } catch (error) {
        equal(error instanceof Error, true);
      }
    }),
    { numRuns: 5000 },
  );
  const whole = encode(newer, { known: 'abc', added: new Uint8Array(10) });
  throws(() => decode(newer, whole.subarray(0, whole.length - 1)));
});
