/**
 * The metadata of one secret as a few dozen bytes, for memory only: what is stored is
 * `secret-record.ts`. A part can be read without the rest.
 */
import { defined } from '../../base/assert.ts';
import type { SecretId } from '../../model/id.ts';
import type { SecretName } from '../../model/name.ts';
import type { Secret, SecretVersion } from '../../model/secret.ts';
import { versionStates } from './secret-record.ts';

/** What repeats in most secrets, and is kept once. */
export interface Authors {
  indexOf(name: string): number;
  at(index: number): string;
}

/** Where the parts of fixed size are; after them the versions, id, name, labels and description. */
const at = {
  revision: 0,
  createdAtMs: 8,
  /** −1 while it is not deleted. */
  deletedAtMs: 16,
  current: 24,
  previous: 28,
  pending: 32,
  versions: 36,
  idChars: 38,
  nameChars: 40,
  labelsBytes: 42,
  descriptionBytes: 46,
  end: 50,
} as const;
/** Number, creation, author and state. */
const versionBytes = 4 + 8 + 4;

export function packSecret(secret: Secret, revision: number, authors: Authors): Buffer {
  const { id, name, labels, description, versions } = secret;
  const labelsText = Object.keys(labels).length === 0 ? '' : JSON.stringify(labels);
  const labelsBytes = Buffer.byteLength(labelsText);
  const descriptionBytes = Buffer.byteLength(description);
  const textBytes = id.length + name.length + labelsBytes + descriptionBytes;
  const packed = Buffer.allocUnsafe(at.end + versions.length * versionBytes + textBytes);
  packed.writeDoubleLE(revision, at.revision);
  packed.writeDoubleLE(secret.createdAtMs, at.createdAtMs);
  packed.writeDoubleLE(secret.deletedAtMs ?? -1, at.deletedAtMs);
  packed.writeUInt32LE(secret.current, at.current);
  packed.writeUInt32LE(secret.previous, at.previous);
  packed.writeUInt32LE(secret.pending, at.pending);
  packed.writeUInt16LE(versions.length, at.versions);
  packed.writeUInt16LE(id.length, at.idChars);
  packed.writeUInt16LE(name.length, at.nameChars);
  packed.writeUInt32LE(labelsBytes, at.labelsBytes);
  packed.writeUInt32LE(descriptionBytes, at.descriptionBytes);
  let offset: number = at.end;
  for (const version of versions) {
    packed.writeUInt32LE(version.number, offset);
    packed.writeDoubleLE(version.createdAtMs, offset + 4);
    const state = versionStates.indexOf(version.state);
    packed.writeUInt32LE(
      authors.indexOf(version.createdBy) * versionStates.length + state,
      offset + 12,
    );
    offset += versionBytes;
  }
  // Ids and names are ASCII.
  offset += packed.write(id, offset, 'latin1');
  offset += packed.write(name, offset, 'latin1');
  if (labelsBytes > 0) offset += packed.write(labelsText, offset, 'utf8');
  if (descriptionBytes > 0) packed.write(description, offset, 'utf8');
  return packed;
}

export function packedRevision(packed: Buffer): number {
  return packed.readDoubleLE(at.revision);
}

export function packedId(packed: Buffer): SecretId {
  const from = idOffset(packed);
  return packed.toString('latin1', from, from + packed.readUInt16LE(at.idChars)) as SecretId;
}

export function packedName(packed: Buffer): SecretName {
  const from = idOffset(packed) + packed.readUInt16LE(at.idChars);
  return packed.toString('latin1', from, from + packed.readUInt16LE(at.nameChars)) as SecretName;
}

export function unpackSecret(packed: Buffer, authors: Authors): Secret {
  const deletedAtMs = packed.readDoubleLE(at.deletedAtMs);
  const labelsBytes = packed.readUInt32LE(at.labelsBytes);
  const id = packedId(packed);
  const name = packedName(packed);
  const labels = idOffset(packed) + id.length + name.length;
  const description = labels + labelsBytes;
  const end = description + packed.readUInt32LE(at.descriptionBytes);
  return {
    id,
    name,
    labels:
      labelsBytes === 0
        ? noLabels
        : (JSON.parse(packed.toString('utf8', labels, description)) as Secret['labels']),
    description: description === end ? '' : packed.toString('utf8', description, end),
    versions: unpackVersions(packed, authors),
    current: packed.readUInt32LE(at.current),
    previous: packed.readUInt32LE(at.previous),
    pending: packed.readUInt32LE(at.pending),
    createdAtMs: packed.readDoubleLE(at.createdAtMs),
    ...(deletedAtMs < 0 ? {} : { deletedAtMs }),
  };
}

const noLabels: Secret['labels'] = Object.freeze({});

function unpackVersions(packed: Buffer, authors: Authors): readonly SecretVersion[] {
  const versions: SecretVersion[] = [];
  for (let offset: number = at.end; offset < idOffset(packed); offset += versionBytes) {
    const authorAndState = packed.readUInt32LE(offset + 12);
    const state = authorAndState % versionStates.length;
    versions.push({
      number: packed.readUInt32LE(offset),
      createdAtMs: packed.readDoubleLE(offset + 4),
      createdBy: authors.at((authorAndState - state) / versionStates.length),
      state: defined(versionStates[state], 'a packed state is known'),
    });
  }
  return versions;
}

function idOffset(packed: Buffer): number {
  return at.end + packed.readUInt16LE(at.versions) * versionBytes;
}
