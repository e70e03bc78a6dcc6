/**
 * The canonical bytes of an entry: fixed order, each text with its length before it. They are what is
 * hashed into the tree, so one entry has exactly one encoding and every field is in it.
 *
 * Layout: docs/FORMATS.md#audit-entry. Vectors: vectors/audit-entry.json.
 */
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { Principal, PrincipalKind } from '../../model/principal.ts';
import type { AuditEntry, RecordedEntry } from './entry.ts';

const formatVersion = 1;
const headerBytes = 1 + 8 + 8;
/** Two bytes of length for each text; far above any text there is. */
const textBytesMax = 0xffff;
export const entryBytesMax = limits.auditEntryBytesMax;

const principalKinds = ['user', 'machine', 'node', 'gateway', 'anonymous'] as const;
const methods = ['token', 'mtls', 'none', 'self'] as const;

/** Reused: entries are encoded one after the other, and hold no secrets. */
const scratch = Buffer.allocUnsafeSlow(entryBytesMax);

export function encodeEntry(entry: AuditEntry, sequence: number, timeMs: number): Buffer {
  const { principal } = entry;
  scratch[0] = formatVersion;
  writeCount(sequence, 1);
  writeCount(Math.floor(timeMs), 9);
  let at = headerBytes;
  at = writeText(principal.kind, at);
  at = writeText(principal.id, at);
  at = writeText(principal.name, at);
  at = writeText(principal.method, at);
  at = writeText(principal.source, at);
  at = writeText(entry.action, at);
  at = writeText(entry.resource, at);
  at = writeText(entry.outcome, at);
  at = writeText(entry.rule, at);
  at = writeText(entry.requestId, at);
  const names = Object.keys(entry.detail);
  if (!isAscending(names)) names.sort();
  assert(names.length <= limits.auditDetailsMax, 'an entry has few details');
  for (const name of names) {
    at = writeText(name, at);
    at = writeText(entry.detail[name] ?? '', at);
  }
  return Buffer.from(scratch.subarray(0, at));
}

/** Reads `encodeEntry`'s bytes; `undefined` if they are not exactly that. */
export function decodeEntry(bytes: Uint8Array): RecordedEntry | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (buffer.length < headerBytes || buffer[0] !== formatVersion) return undefined;
  const texts = readTexts(buffer);
  if (texts === undefined) return undefined;
  const [kind, id, name, method, source, action, resource, outcome, rule, requestId] = texts;
  const principal = readPrincipal({ kind, id, name, method, source });
  if (principal === undefined || requestId === undefined) return undefined;
  const detail = readDetail(texts.slice(10));
  if (detail === undefined) return undefined;
  return {
    sequence: Number(buffer.readBigUInt64BE(1)),
    timeMs: Number(buffer.readBigUInt64BE(9)),
    principal,
    action: action ?? '',
    resource: resource ?? '',
    outcome: outcome ?? '',
    rule: rule ?? '',
    requestId,
    detail,
  };
}

function isAscending(names: readonly string[]): boolean {
  for (let index = 1; index < names.length; index += 1) {
    if ((names[index - 1] ?? '') > (names[index] ?? '')) return false;
  }
  return true;
}

function writeCount(value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a whole number that is not negative');
  scratch.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  scratch.writeUInt32BE(value % 2 ** 32, at + 4);
}

function writeText(text: string, at: number): number {
  assert(at + 2 + text.length * 3 <= entryBytesMax, 'an entry is short');
  const length = scratch.write(text, at + 2, 'utf8');
  assert(length <= textBytesMax, 'a text fits its length');
  scratch.writeUInt16BE(length, at);
  return at + 2 + length;
}

function readTexts(buffer: Buffer): string[] | undefined {
  const texts: string[] = [];
  let at = headerBytes;
  while (at < buffer.length) {
    if (at + 2 > buffer.length) return undefined;
    const end = at + 2 + buffer.readUInt16BE(at);
    if (end > buffer.length) return undefined;
    texts.push(buffer.toString('utf8', at + 2, end));
    at = end;
  }
  return texts;
}

function readPrincipal(
  texts: {
    readonly [Name in keyof Principal]: string | undefined;
  },
): Principal | undefined {
  const kind = principalKinds.find(
    (candidate): candidate is PrincipalKind => candidate === texts.kind,
  );
  const method = methods.find((candidate) => candidate === texts.method);
  const { id, name, source } = texts;
  if (!kind || !method || id === undefined || name === undefined || source === undefined) {
    return undefined;
  }
  return { kind, id, name, method, source };
}

/** Pairs in ascending order of their names, each name once. */
function readDetail(texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length % 2 !== 0) return undefined;
  const detail: Record<string, string> = Object.create(null) as Record<string, string>;
  let last: string | undefined;
  for (let index = 0; index < texts.length; index += 2) {
    const [name = '', value = ''] = [texts[index], texts[index + 1]];
    if (last !== undefined && name <= last) return undefined;
    detail[name] = value;
    last = name;
  }
  return detail;
}
