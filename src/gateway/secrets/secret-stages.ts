/**
 * What may happen to the versions of one secret: pure functions from a secret to the next one.
 *
 * Promises
 *   - A number is never given twice, whatever was revoked, destroyed or dropped.
 *   - What is not `stored` never becomes current again, and nothing leaves `destroyed`.
 *   - No version is destroyed unless this says so in `destroyed`, so that its value goes with it.
 */
import { assert, defined } from '../../base/assert.ts';
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { Secret, SecretVersion, VersionState } from '../../model/secret.ts';

export interface StageChange {
  readonly secret: Secret;
  /** Versions whose values must be removed in the same commit. */
  readonly destroyed: readonly number[];
}

export type PutStage = 'current' | 'pending';

/** A new version on top. @param by - Who put it, for people. */
export function addVersion(
  secret: Secret,
  options: { readonly stage: PutStage; readonly atMs: number; readonly by: string },
): StageChange & { readonly version: number } {
  refuseDeleted(secret);
  const number = (secret.versions.at(-1)?.number ?? 0) + 1;
  const version: SecretVersion = {
    number,
    createdAtMs: options.atMs,
    createdBy: options.by,
    state: 'stored',
  };
  const grown = {
    ...secret,
    versions: [...secret.versions, version],
    ...(options.stage === 'pending'
      ? { pending: number }
      : { current: number, previous: secret.current || secret.previous }),
  };
  return { ...retainVersions(grown), version: number };
}

/** @throws Fault `secret.nothing-pending`, `secret.deleted` */
export function promotePending(secret: Secret): StageChange {
  refuseDeleted(secret);
  if (secret.pending === 0) throw new Fault('secret.nothing-pending', { secret: secret.name });
  return makeCurrent(secret, secret.pending);
}

/**
 * @param number - The previous version when left out.
 * @throws Fault `secret.no-previous`, `secret.version-not-stored`, `secret.version-current`,
 *   `resource.unknown`
 */
export function rollBack(secret: Secret, number = secret.previous): StageChange {
  refuseDeleted(secret);
  if (number === 0) throw new Fault('secret.no-previous', { secret: secret.name });
  const { state } = versionOf(secret, number);
  if (state !== 'stored') throw notStored(secret, number, state);
  if (number === secret.current) {
    throw new Fault('secret.version-current', { secret: secret.name, version: number });
  }
  return makeCurrent(secret, number);
}

/** Deleted secrets too. @param number - Every stored version when left out. */
export function revokeVersions(secret: Secret, number?: number): StageChange {
  if (number !== undefined && versionOf(secret, number).state === 'destroyed') {
    throw notStored(secret, number, 'destroyed');
  }
  const versions = secret.versions.map((version) =>
    version.state === 'stored' && (number ?? version.number) === version.number
      ? { ...version, state: 'revoked' as const }
      : version,
  );
  const pending = secret.pending === (number ?? secret.pending) ? 0 : secret.pending;
  return { secret: { ...secret, versions, pending }, destroyed: [] };
}

/** Deleted secrets too. @throws Fault `secret.version-current`, `resource.unknown` */
export function destroyVersion(secret: Secret, number: number): StageChange {
  const { state } = versionOf(secret, number);
  if (state === 'destroyed') return { secret, destroyed: [] };
  if (state === 'stored' && number === secret.current && secret.deletedAtMs === undefined) {
    throw new Fault('secret.version-current', { secret: secret.name, version: number });
  }
  const versions = secret.versions.map((version) =>
    version.number === number ? { ...version, state: 'destroyed' as const } : version,
  );
  return { secret: { ...withoutStage(secret, number), versions }, destroyed: [number] };
}

export function refuseDeleted(secret: Secret): void {
  if (secret.deletedAtMs !== undefined) throw new Fault('secret.deleted', { secret: secret.name });
}

function makeCurrent(secret: Secret, number: number): StageChange {
  assert(versionOf(secret, number).state === 'stored', 'only a stored version becomes current');
  const rest = withoutStage(secret, number);
  return {
    secret: { ...rest, current: number, previous: rest.current || rest.previous },
    destroyed: [],
  };
}

/** A version has one stage at most: it leaves its old one before it gets another. */
function withoutStage(secret: Secret, number: number): Secret {
  const without = (stage: number): number => (stage === number ? 0 : stage);
  return {
    ...secret,
    current: without(secret.current),
    previous: without(secret.previous),
    pending: without(secret.pending),
  };
}

/** Drops the oldest version that has no stage, with its value, while there are too many. */
function retainVersions(secret: Secret): StageChange {
  if (secret.versions.length <= limits.secretVersionsMax) return { secret, destroyed: [] };
  const staged = [secret.current, secret.previous, secret.pending];
  const oldest = defined(
    secret.versions.find((version) => !staged.includes(version.number)),
    'three stages leave most versions without one',
  );
  const versions = secret.versions.filter((version) => version !== oldest);
  assert(versions.length === limits.secretVersionsMax, 'one version at a time is added');
  const hasValue = oldest.state !== 'destroyed';
  return { secret: { ...secret, versions }, destroyed: hasValue ? [oldest.number] : [] };
}

function versionOf(secret: Secret, number: number): SecretVersion {
  const version = secret.versions.find((candidate) => candidate.number === number);
  if (!version) throw new Fault('resource.unknown', { secret: secret.name, version: number });
  return version;
}

function notStored(secret: Secret, version: number, state: VersionState): Fault {
  return new Fault('secret.version-not-stored', { secret: secret.name, version, state });
}
