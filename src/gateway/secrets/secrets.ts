/**
 * Secrets: what they are called, their versions and stages, and the plans that change them.
 *
 * Nothing here has an effect. A plan says which records a commit must write and which revisions it
 * rests on; the audit log commits it together with its entry. Values are opened by `SecretValues`
 * alone, which is a capability of its own: whoever is not handed one cannot read a value.
 *
 * Promises
 *   - Two plans made from the same revision of one secret never both commit; nor do two creations.
 *   - A value is stored under its secret's id and version, never under a name.
 *   - What was revoked or destroyed, and what belongs to a deleted secret, is not opened.
 * Does not promise
 *   - That a destroyed value left the disk at once: physical.purge does that (THREAT-MODEL).
 */
import type { Clock } from '../../base/clock.ts';
import { wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { makeId, type SecretId } from '../../model/id.ts';
import type { SecretName } from '../../model/name.ts';
import type { Secret } from '../../model/secret.ts';
import type { SecretValue } from '../../model/secret-value.ts';
import type { Projection, RecordExpectation, RecordWrite, View } from '../barrier/barrier.ts';
import { type IndexedSecret, type SecretFilter, SecretIndex } from './secret-index.ts';
import { decodeValue, encodeSecret, encodeValue, valueRecordId } from './secret-record.ts';
import {
  addVersion,
  destroyVersion,
  promotePending,
  type PutStage,
  refuseDeleted,
  revokeVersions,
  rollBack,
  type StageChange,
} from './secret-stages.ts';

export { generateValue, type ValueRules } from './generate-value.ts';
export { type LabelSelector, parseLabelSelector } from './label-selector.ts';
export type { IndexedSecret, SecretFilter } from './secret-index.ts';
export type { PutStage } from './secret-stages.ts';

export interface SecretPlan {
  /** As it will be. Its revision is the commit's. */
  readonly secret: Secret;
  /** Of the record that the plan was made from; 0 if there is none yet. */
  readonly seen: number;
  /** Empty if nothing changes. Writes of kind `value` hold plaintext: wipe them after the commit. */
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
  /** For the audit entry. */
  readonly detail: Readonly<Record<string, string>>;
}

export interface PutOptions {
  readonly name: SecretName;
  readonly value: SecretValue;
  readonly stage?: PutStage;
  readonly createOnly?: boolean;
  /** Who puts it, for people: a principal's name. */
  readonly by: string;
}

/** What everyone who knows secrets, but not values, may read. */
export interface SecretsReader {
  /** Deleted secrets included. */
  readonly size: number;
  /** Deleted secrets included. */
  find(name: SecretName): IndexedSecret | undefined;
  byId(id: SecretId): IndexedSecret | undefined;
  /** In order of names, deleted secrets included; not to be kept over a commit. */
  list(filter: SecretFilter): Iterable<IndexedSecret>;
}

/** For delivery, which drains it and is the only one to. */
export interface SecretChanges {
  /** Secrets written since the last call. */
  takeChanged(): ReadonlySet<SecretName>;
}

export interface SecretsOptions {
  /** Of kind `secret`. */
  readonly secrets: View;
  /** Of kind `value`; used to write only. */
  readonly values: View;
  readonly clock: Clock;
  readonly random: Random;
}

export class Secrets {
  readonly #options: SecretsOptions;
  readonly #index: SecretIndex;

  constructor(options: SecretsOptions) {
    this.#options = options;
    this.#index = new SecretIndex(options.random);
  }

  get projection(): Projection {
    return this.#index;
  }

  get reader(): SecretsReader {
    return this.#index;
  }

  get changes(): SecretChanges {
    return this.#index;
  }

  /**
   * @throws Fault `limit.exceeded`, `request.invalid` for a value that is too long or empty
   * @throws Fault `secret.exists`, `secret.deleted`
   */
  planPut(options: PutOptions): SecretPlan {
    refuseLength(options.value);
    const found = this.#index.find(options.name);
    if (found && options.createOnly === true) {
      throw new Fault('secret.exists', { secret: options.name });
    }
    const secret = found?.secret ?? this.#newSecret(options.name);
    const stage = options.stage ?? 'current';
    const change = addVersion(secret, {
      stage,
      atMs: this.#options.clock.wallMs(),
      by: options.by,
    });
    const plan = this.#plan(found, change, { version: change.version, stage });
    const id = valueRecordId(secret.id, change.version);
    return {
      ...plan,
      writes: [this.#options.values.put(id, encodeValue(options.value)), ...plan.writes],
      expectations: [...plan.expectations, this.#options.values.expect(id, 0)],
    };
  }

  /** @throws Fault `resource.unknown`, `secret.deleted` */
  planUpdate(
    name: SecretName,
    change: { readonly labels?: Secret['labels']; readonly description?: string },
  ): SecretPlan {
    const found = this.#require(name);
    refuseDeleted(found.secret);
    return this.#plan(found, { secret: { ...found.secret, ...change }, destroyed: [] }, {});
  }

  /** @throws Fault `resource.unknown`, `secret.nothing-pending`, `secret.deleted` */
  planPromote(name: SecretName): SecretPlan {
    const found = this.#require(name);
    const change = promotePending(found.secret);
    return this.#plan(found, change, { version: change.secret.current });
  }

  /**
   * @param version - The previous one when left out.
   * @throws Fault `resource.unknown`, `secret.version-not-stored`, `secret.version-current`,
   *   `secret.deleted`
   */
  planRollback(name: SecretName, version?: number): SecretPlan {
    const found = this.#require(name);
    const change = rollBack(found.secret, version);
    return this.#plan(found, change, { version: change.secret.current });
  }

  /**
   * @param version - Every stored version when left out.
   * @throws Fault `resource.unknown`, `secret.version-not-stored` if it is destroyed
   */
  planRevoke(name: SecretName, version?: number): SecretPlan {
    const found = this.#require(name);
    const change = revokeVersions(found.secret, version);
    return this.#plan(found, change, { version: version ?? 'all' });
  }

  /** @throws Fault `resource.unknown`, `secret.version-current` if it is still delivered */
  planDestroy(name: SecretName, version: number): SecretPlan {
    const found = this.#require(name);
    return this.#plan(found, destroyVersion(found.secret, version), { version });
  }

  /** @throws Fault `resource.unknown`, `secret.deleted` */
  planDelete(name: SecretName): SecretPlan {
    const found = this.#require(name);
    refuseDeleted(found.secret);
    const secret = { ...found.secret, deletedAtMs: this.#options.clock.wallMs() };
    return this.#plan(found, { secret, destroyed: [] }, {});
  }

  /** Restoring what is not deleted changes nothing. @throws Fault `resource.unknown` */
  planRestore(name: SecretName): SecretPlan {
    const found = this.#require(name);
    const { deletedAtMs, ...rest } = found.secret;
    const secret = deletedAtMs === undefined ? found.secret : rest;
    return this.#plan(found, { secret, destroyed: [] }, {});
  }

  #plan(
    found: IndexedSecret | undefined,
    change: StageChange,
    detail: Readonly<Record<string, string | number>>,
  ): SecretPlan {
    const { secrets, values } = this.#options;
    const { secret } = change;
    const recordId = secrets.nameId(secret.name);
    const seen = found?.revision ?? 0;
    const bytes = encodeSecret(secret);
    const same = found !== undefined && encodeSecret(found.secret).equals(bytes);
    return {
      secret,
      seen,
      writes: same
        ? []
        : [
            secrets.put(recordId, bytes),
            ...change.destroyed.map((number) => values.remove(valueRecordId(secret.id, number))),
          ],
      expectations: [secrets.expect(recordId, seen)],
      detail: {
        secretId: secret.id,
        ...Object.fromEntries(Object.entries(detail).map(([key, value]) => [key, `${value}`])),
        ...(change.destroyed.length > 0 ? { destroyed: change.destroyed.join(',') } : {}),
      },
    };
  }

  #newSecret(name: SecretName): Secret {
    return {
      id: makeId('secret', this.#options),
      name,
      labels: {},
      description: '',
      versions: [],
      current: 0,
      previous: 0,
      pending: 0,
      createdAtMs: this.#options.clock.wallMs(),
    };
  }

  #require(name: SecretName): IndexedSecret {
    const found = this.#index.find(name);
    if (!found) throw new Fault('resource.unknown', { resource: `secrets/${name}` });
    return found;
  }
}

/** The capability to open values. Handed to delivery, and to nobody else. */
export class SecretValues {
  readonly #values: View;
  readonly #reader: SecretsReader;

  /** @param values - Of kind `value`. */
  constructor(values: View, reader: SecretsReader) {
    this.#values = values;
    this.#reader = reader;
  }

  /**
   * The caller wipes what it gets.
   *
   * @throws Fault `resource.unknown`, `secret.deleted`, `secret.version-not-stored`
   * @throws Fault `barrier.corrupt`, `barrier.sealed`
   */
  async openValue(id: SecretId, version: number): Promise<SecretValue> {
    this.#requireStored(id, version);
    const record = await this.#values.get(valueRecordId(id, version));
    if (!record) throw new Fault('barrier.corrupt', { kind: 'value', secretId: id, version });
    try {
      // Once more: it may have been revoked while the storage was read.
      this.#requireStored(id, version);
      return decodeValue(record.bytes);
    } finally {
      wipe(record.bytes);
    }
  }

  #requireStored(id: SecretId, version: number): void {
    const found = this.#reader.byId(id);
    const state = found?.secret.versions.find((candidate) => candidate.number === version)?.state;
    if (!found || state === undefined) {
      throw new Fault('resource.unknown', { secretId: id, version });
    }
    refuseDeleted(found.secret);
    if (state !== 'stored') {
      throw new Fault('secret.version-not-stored', { secretId: id, version, state });
    }
  }
}

function refuseLength(value: SecretValue): void {
  if (value.length === 0)
    throw new Fault('request.invalid', { what: 'value', problem: 'is empty' });
  if (value.length > limits.secretValueBytesMax) {
    throw new Fault('limit.exceeded', { what: 'value', bytesMax: limits.secretValueBytesMax });
  }
}
