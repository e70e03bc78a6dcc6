/**
 * Ids that the server makes: a kind prefix and a UUIDv7, so that a wrong-kind id never parses and
 * ids sort by age. Nothing that a person chose is ever part of a storage key (THREAT-MODEL, V2).
 */
import { Fault } from '../base/fault.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';

declare const brand: unique symbol;
export type Id<Kind extends IdKind> = string & { readonly [brand]: Kind };

export const idKinds = {
  secret: 'sec',
  group: 'grp',
  grant: 'gra',
  node: 'nod',
  token: 'tok',
  principal: 'prn',
  installation: 'ins',
  key: 'key',
} as const;
export type IdKind = keyof typeof idKinds;

export type SecretId = Id<'secret'>;
export type GroupId = Id<'group'>;
export type GrantId = Id<'grant'>;
export type NodeId = Id<'node'>;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** RFC 9562 UUIDv7 from the injected clock and random source. */
export function makeId<Kind extends IdKind>(
  kind: Kind,
  source: { readonly clock: Clock; readonly random: Random },
): Id<Kind> {
  const bytes = source.random.bytes(16);
  bytes.writeUIntBE(Math.floor(source.clock.wallMs()), 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  const uuid = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ];
  return `${idKinds[kind]}_${uuid.join('-')}` as Id<Kind>;
}

/** @throws Fault `name.invalid` if the text is not an id of this kind, in its one spelling. */
export function parseId<Kind extends IdKind>(kind: Kind, text: string): Id<Kind> {
  const prefix = `${idKinds[kind]}_`;
  if (!text.startsWith(prefix) || !uuidPattern.test(text.slice(prefix.length))) {
    throw new Fault('name.invalid', { kind: `${kind} id` });
  }
  return text as Id<Kind>;
}
