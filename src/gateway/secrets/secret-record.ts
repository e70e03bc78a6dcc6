/**
 * Secrets and their values as records. Layout: docs/FORMATS.md#secret.
 *
 * A `secret` record is JSON under the keyed hash of the secret's name. A `value` record is one format
 * byte and the value, under `<secret id>.<version>`: never under a name, so that nothing that happens
 * to a name can lead to another secret's bytes.
 */
import { assert } from '../../base/assert.ts';
import { allocate } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import type { SecretId } from '../../model/id.ts';
import type { SecretName } from '../../model/name.ts';
import type { Secret, SecretVersion, VersionState } from '../../model/secret.ts';
import { SecretValue } from '../../model/secret-value.ts';

const secretFormat = 1;
const valueFormat = 1;
export const versionStates = ['stored', 'revoked', 'destroyed'] as const satisfies VersionState[];

/** number, createdAtMs, createdBy, index into `versionStates`. Lists, since most secrets have a few. */
type VersionJson = readonly [number, number, string, number];

interface SecretJson {
  readonly format: number;
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly description: string;
  readonly versions: readonly VersionJson[];
  readonly current: number;
  readonly previous: number;
  readonly pending: number;
  readonly createdAtMs: number;
  readonly deletedAtMs?: number;
}

export function encodeSecret(secret: Secret): Buffer {
  const json: SecretJson = {
    format: secretFormat,
    id: secret.id,
    name: secret.name,
    labels: secret.labels,
    description: secret.description,
    versions: secret.versions.map((version) => [
      version.number,
      version.createdAtMs,
      version.createdBy,
      versionStates.indexOf(version.state),
    ]),
    current: secret.current,
    previous: secret.previous,
    pending: secret.pending,
    createdAtMs: secret.createdAtMs,
    ...(secret.deletedAtMs === undefined ? {} : { deletedAtMs: secret.deletedAtMs }),
  };
  return Buffer.from(JSON.stringify(json), 'utf8');
}

/** @throws Fault `barrier.corrupt` for a record that no version up to this one wrote. */
export function decodeSecret(bytes: Uint8Array): Secret {
  const json = JSON.parse(Buffer.from(bytes).toString('utf8')) as SecretJson;
  if (json.format !== secretFormat) {
    throw new Fault('barrier.corrupt', { kind: 'secret', format: json.format });
  }
  return {
    id: json.id as SecretId,
    name: json.name as SecretName,
    labels: json.labels,
    description: json.description,
    versions: json.versions.map(decodeVersion),
    current: json.current,
    previous: json.previous,
    pending: json.pending,
    createdAtMs: json.createdAtMs,
    ...(json.deletedAtMs === undefined ? {} : { deletedAtMs: json.deletedAtMs }),
  };
}

export function valueRecordId(id: SecretId, version: number): string {
  assert(Number.isSafeInteger(version) && version > 0, 'versions count from 1');
  return `${id}.${version}`;
}

/** In memory of its own. Whoever carries the write out wipes it. */
export function encodeValue(value: SecretValue): Buffer {
  return value.use((bytes) => {
    const record = allocate(1 + bytes.length);
    record[0] = valueFormat;
    record.set(bytes, 1);
    return record;
  });
}

/** Copies, so that the caller can wipe `record`. @throws Fault `barrier.corrupt` */
export function decodeValue(record: Uint8Array): SecretValue {
  if (record[0] !== valueFormat) throw new Fault('barrier.corrupt', { kind: 'value' });
  return SecretValue.copy(record.subarray(1));
}

function decodeVersion([number, createdAtMs, createdBy, state]: VersionJson): SecretVersion {
  const name = versionStates[state];
  if (name === undefined) throw new Fault('barrier.corrupt', { kind: 'secret', state });
  return { number, createdAtMs, createdBy, state: name };
}
