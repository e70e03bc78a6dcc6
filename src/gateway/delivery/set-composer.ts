/**
 * What is sent for one change of one set: the message, and what is left of it where new values cannot be
 * sent. Judges versions by what the secrets are now.
 */
import { assert } from '../../base/assert.ts';
import type { AssignedSet } from '../../model/assignment.ts';
import type { SecretId } from '../../model/id.ts';
import { deliverableVersion } from '../../model/secret.ts';
import type { SelectableFacts } from '../policy/policy.ts';
import type { SecretsReader } from '../secrets/secrets.ts';
import type { Difference, DueFile, DueSet } from './difference.ts';
import type { OpenValues } from './open-values.ts';
import type { SetState } from './set-state.ts';

/** A change that is due in one directory of one workload. */
export interface Due {
  readonly workload: SelectableFacts;
  readonly state: SetState;
  readonly due: DueSet;
  readonly change: Difference;
}

const none: ReadonlySet<DueFile> = new Set();

export class SetComposer {
  readonly #secrets: Pick<SecretsReader, 'find' | 'byId'>;

  constructor(secrets: Pick<SecretsReader, 'find' | 'byId'>) {
    this.#secrets = secrets;
  }

  /** Whether this is the version to deliver, now. */
  isDeliverable(file: DueFile): boolean {
    const secret = this.#secrets.find(file.wanted.secret)?.secret;
    return secret?.id === file.secretId && deliverableVersion(secret) === file.version;
  }

  /** The message, with the values that were opened for it. */
  assigned(item: Due, setRevision: number, opened: Pick<OpenValues, 'valueOf'>): AssignedSet {
    const { workload, due, change } = item;
    const kept = change.kept.length === 0 ? none : new Set(change.kept);
    const files = due.files.map((file) => {
      const value = opened.valueOf(file);
      assert(kept.has(file) || value !== undefined, 'every sent file has its value open');
      const { name, secretId, version, wanted } = file;
      const owner = {
        ...(wanted.uid === undefined ? {} : { uid: wanted.uid }),
        ...(wanted.gid === undefined ? {} : { gid: wanted.gid }),
      };
      const content = kept.has(file) || value === undefined ? ('keep' as const) : value;
      return { name, secretId, version, mode: wanted.mode, ...owner, content };
    });
    return {
      workloadId: workload.id,
      target: due.target,
      setRevision,
      files,
      signals: due.wanted?.signals ?? [],
      keepOnLeaseLoss: due.wanted?.onLeaseLoss === 'keep',
      leaseMs: due.wanted?.leaseMs ?? 0,
      urgent: this.#replacesUnsound(item),
      terms: due.terms,
    };
  }

  /**
   * What is left to do where new values cannot be sent: what should leave, leaves all the same, and what
   * they should have replaced stays unless it is bad. Undefined where nothing should leave.
   */
  withoutSent(item: Due): Due | undefined {
    const { change, due, state } = item;
    const earlier = change.sent.flatMap((file): DueFile[] => {
      const there = state.held?.files.find(({ name }) => name === file.name);
      return there?.secretId === file.secretId ? [{ ...file, version: there.version }] : [];
    });
    const sound = earlier.filter((file) => this.#isSound(file));
    if (change.withdrawn.length === 0 && sound.length === earlier.length) return undefined;
    const files = [...change.kept, ...sound];
    return { ...item, due: { ...due, files }, change: { ...change, sent: [], kept: files } };
  }

  /** What is withdrawn is in place, too. */
  #replacesUnsound({ state: { held } }: Due): boolean {
    // Of what nobody remembers, anything may be bad.
    if (held?.files.length === 0) return true;
    return (held?.files ?? []).some((file) => !this.#isSound(file));
  }

  /** Whether this version may still be read for the moment that a swap takes. */
  #isSound(file: { readonly secretId: SecretId; readonly version: number }): boolean {
    const secret = this.#secrets.byId(file.secretId)?.secret;
    if (!secret || secret.deletedAtMs !== undefined) return false;
    return secret.versions.find(({ number }) => number === file.version)?.state === 'stored';
  }

  /** Its id, for what is gone. */
  nameOf(secretId: SecretId): string {
    return this.#secrets.byId(secretId)?.secret.name ?? secretId;
  }
}
