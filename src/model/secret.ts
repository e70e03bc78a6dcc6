/** A secret as everyone may know it: its metadata. The value is `SecretValue`, and lives elsewhere. */
import type { SecretId } from './id.ts';
import type { SecretName } from './name.ts';

/**
 * stored: can be delivered. revoked: known to be bad; kept sealed, never delivered again.
 * destroyed: its key and ciphertext are gone.
 */
export type VersionState = 'stored' | 'revoked' | 'destroyed';

export interface SecretVersion {
  /** 1, 2, 3, …; never reused, also not after destruction. */
  readonly number: number;
  readonly createdAtMs: number;
  readonly createdBy: string;
  readonly state: VersionState;
}

export interface Secret {
  readonly id: SecretId;
  readonly name: SecretName;
  readonly labels: Readonly<Record<string, string>>;
  readonly description: string;
  /** Ascending by number. */
  readonly versions: readonly SecretVersion[];
  /** The version that is delivered; 0 while there is none. */
  readonly current: number;
  /** What was current before; 0 if nothing was. Kept for rollback. */
  readonly previous: number;
  /** Put but not yet delivered; 0 if there is none. */
  readonly pending: number;
  readonly createdAtMs: number;
  /** Soft deletion: withdrawn everywhere, restorable until destroyed. */
  readonly deletedAtMs?: number;
}

/** The version that entitled workloads should hold now, if any. */
export function deliverableVersion(secret: Secret): number | undefined {
  if (secret.deletedAtMs !== undefined || secret.current === 0) return undefined;
  const version = secret.versions.find((candidate) => candidate.number === secret.current);
  return version?.state === 'stored' ? version.number : undefined;
}
