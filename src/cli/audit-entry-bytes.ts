/**
 * Reads an audit entry's canonical bytes, which are what the tree is made of: docs/FORMATS.md,
 * "Audit entry". Written from that page alone and sharing no code with the gateway, so that what the
 * gateway shows can be held against what it signed.
 */
import type { EntryItem } from './views.ts';

const headerBytes = 1 + 8 + 8;
const formatVersion = 1;

/** In the order of the format; `actorId` is in no view. */
const fields = [
  'actorKind',
  'actorId',
  'actor',
  'method',
  'source',
  'action',
  'resource',
  'outcome',
  'rule',
  'requestId',
] as const;

export type SignedEntry = Omit<EntryItem, 'bytes'>;

/** @returns undefined if the bytes are not exactly one entry. */
export function readEntryBytes(bytes: Buffer): SignedEntry | undefined {
  if (bytes.length < headerBytes || bytes[0] !== formatVersion) return undefined;
  const sequence = Number(bytes.readBigUInt64BE(1));
  const timeMs = Number(bytes.readBigUInt64BE(9));
  const texts: string[] = [];
  for (let at = headerBytes; at < bytes.length; ) {
    if (at + 2 > bytes.length) return undefined;
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) return undefined;
    texts.push(bytes.toString('utf8', at + 2, end));
    at = end;
  }
  const rest = texts.slice(fields.length);
  if (texts.length < fields.length || rest.length % 2 !== 0) return undefined;
  if (!Number.isSafeInteger(sequence) || !(timeMs <= 8.64e15)) return undefined;
  const named = Object.fromEntries(fields.map((field, at) => [field, texts[at] ?? '']));
  const pairs = rest.flatMap((text, at) => (at % 2 === 0 ? [[text, rest[at + 1] ?? '']] : []));
  const { actorId: _, ...shown } = named as Record<(typeof fields)[number], string>;
  return {
    sequence,
    time: new Date(timeMs).toISOString(),
    ...shown,
    detail: Object.fromEntries(pairs) as Record<string, string>,
  };
}

/** @returns the first member in which what is shown differs from what is signed. */
export function firstDifference(shown: EntryItem, signed: SignedEntry): string | undefined {
  const plain = [
    'sequence',
    'time',
    'actorKind',
    'actor',
    'method',
    'source',
    'action',
    'resource',
    'outcome',
    'rule',
    'requestId',
  ] as const;
  const different = plain.find((member) => shown[member] !== signed[member]);
  if (different !== undefined) return different;
  const sorted = (detail: Readonly<Record<string, string>>): string =>
    JSON.stringify(Object.entries(detail).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return sorted(shown.detail) === sorted(signed.detail) ? undefined : 'detail';
}
