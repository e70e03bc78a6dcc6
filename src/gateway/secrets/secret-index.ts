/**
 * The metadata of every secret, in memory: by name, by id, and in order.
 *
 * A million secrets must fit, so an entry is one flat object: versions are packed into one list of
 * numbers, and labels and principals that repeat are kept once. Readers get ordinary `Secret`s, made
 * as they ask.
 */
import { defined } from '../../base/assert.ts';
import type { SecretId } from '../../model/id.ts';
import type { SecretName } from '../../model/name.ts';
import type { Secret, SecretVersion } from '../../model/secret.ts';
import type { Projection, View } from '../barrier/barrier.ts';
import type { LabelSelector } from './label-selector.ts';
import { decodeSecret, versionStates } from './secret-record.ts';
import { SortedNames } from './sorted-names.ts';

/** A secret and the revision of the commit that wrote it. */
export interface IndexedSecret {
  readonly secret: Secret;
  readonly revision: number;
}

export interface SecretFilter {
  /** Names that start with this; all of them when empty. */
  readonly prefix: string;
  /** Strictly after this name. */
  readonly after: string;
  readonly selector?: LabelSelector;
  readonly deleted: boolean;
}

interface Entry {
  readonly id: SecretId;
  readonly name: SecretName;
  readonly revision: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly description: string;
  readonly current: number;
  readonly previous: number;
  readonly pending: number;
  readonly createdAtMs: number;
  /** −1 while it is not deleted: an absent member would give the engine two shapes. */
  readonly deletedAtMs: number;
  /** Four numbers per version: number, createdAtMs, index into `#authors`, index of its state. */
  readonly versions: readonly number[];
}

const packedMembers = 4;
/** Labels that repeat are shared; past this many different ones sharing costs more than it saves. */
const sharedLabelsMax = 65_536;
/** Secrets that delivery asks about again and again while it delivers them. */
const unpackedMax = 64;

export class SecretIndex implements Projection {
  readonly kind = 'secret';
  readonly #view: View;
  readonly #byName = new Map<string, Entry>();
  readonly #byId = new Map<SecretId, Entry>();
  readonly #names = new SortedNames();
  readonly #authors: string[] = [];
  readonly #authorIndex = new Map<string, number>();
  readonly #sharedLabels = new Map<string, Readonly<Record<string, string>>>();
  /** By entry: a secret that changes has a new one. */
  readonly #unpacked = new Map<Entry, IndexedSecret>();
  /** Kept from the first `takeChanged` on, so that loading a million secrets collects nothing. */
  #changed: Set<SecretName> | undefined;

  constructor(view: View) {
    this.#view = view;
  }

  reset(): void {
    this.#byName.clear();
    this.#byId.clear();
    this.#names.clear();
    this.#authors.length = 0;
    this.#authorIndex.clear();
    this.#sharedLabels.clear();
    this.#unpacked.clear();
  }

  apply(record: {
    readonly id: string;
    readonly revision: number;
    readonly bytes: Uint8Array | undefined;
  }): void {
    if (record.bytes === undefined) {
      this.#remove(record.id);
      return;
    }
    const secret = decodeSecret(record.bytes);
    const entry: Entry = {
      id: secret.id,
      name: secret.name,
      revision: record.revision,
      labels: this.#share(secret.labels),
      description: secret.description,
      current: secret.current,
      previous: secret.previous,
      pending: secret.pending,
      createdAtMs: secret.createdAtMs,
      deletedAtMs: secret.deletedAtMs ?? -1,
      versions: secret.versions.flatMap((version) => [
        version.number,
        version.createdAtMs,
        this.#authorOf(version.createdBy),
        versionStates.indexOf(version.state),
      ]),
    };
    this.#byName.set(entry.name, entry);
    this.#byId.set(entry.id, entry);
    this.#names.add(entry.name);
    this.#changed?.add(entry.name);
  }

  takeChanged(): ReadonlySet<SecretName> {
    const taken = this.#changed ?? new Set();
    this.#changed = new Set();
    return taken;
  }

  /** Deleted secrets included. */
  get size(): number {
    return this.#byName.size;
  }

  /** Deleted secrets included: `deletedAtMs` says so. */
  find(name: SecretName): IndexedSecret | undefined {
    const entry = this.#byName.get(name);
    return entry && this.#read(entry);
  }

  byId(id: SecretId): IndexedSecret | undefined {
    const entry = this.#byId.get(id);
    return entry && this.#read(entry);
  }

  /** In order of names. Take what is needed at once: the sequence does not survive a commit. */
  *list(filter: SecretFilter): Generator<IndexedSecret> {
    for (const name of this.#names.from(filter.prefix, filter.after)) {
      const entry = defined(this.#byName.get(name), 'a listed name has its entry');
      if (entry.deletedAtMs >= 0 !== filter.deleted) continue;
      if (filter.selector && !filter.selector(entry.labels)) continue;
      yield this.#read(entry);
    }
  }

  #read(entry: Entry): IndexedSecret {
    const known = this.#unpacked.get(entry);
    if (known !== undefined) return known;
    const unpacked = this.#unpack(entry);
    if (this.#unpacked.size >= unpackedMax) this.#unpacked.clear();
    this.#unpacked.set(entry, unpacked);
    return unpacked;
  }

  #unpack(entry: Entry): IndexedSecret {
    const versions: SecretVersion[] = [];
    for (let at = 0; at < entry.versions.length; at += packedMembers) {
      const [number = 0, createdAtMs = 0, author = 0, state = 0] = entry.versions.slice(
        at,
        at + packedMembers,
      );
      versions.push({
        number,
        createdAtMs,
        createdBy: defined(this.#authors[author], 'a packed author is known'),
        state: defined(versionStates[state], 'a packed state is known'),
      });
    }
    const { revision, deletedAtMs, ...rest } = entry;
    const secret = { ...rest, versions, ...(deletedAtMs < 0 ? {} : { deletedAtMs }) };
    return { secret, revision };
  }

  /** Rare: no operation removes a secret's record. So ids are computed again rather than kept. */
  #remove(recordId: string): void {
    for (const entry of this.#byName.values()) {
      if (this.#view.nameId(entry.name) !== recordId) continue;
      this.#byName.delete(entry.name);
      this.#byId.delete(entry.id);
      this.#names.remove(entry.name);
      return;
    }
  }

  #authorOf(name: string): number {
    const known = this.#authorIndex.get(name);
    if (known !== undefined) return known;
    this.#authorIndex.set(name, this.#authors.length);
    return this.#authors.push(name) - 1;
  }

  #share(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const key = JSON.stringify(labels);
    const known = this.#sharedLabels.get(key);
    if (known !== undefined) return known;
    if (this.#sharedLabels.size < sharedLabelsMax) this.#sharedLabels.set(key, labels);
    return labels;
  }
}
