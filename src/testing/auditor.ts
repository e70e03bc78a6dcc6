/**
 * The auditor: a second, simpler model of who should have what. It is told what operators did and were
 * told was done, looks into every container, and says what is not as promised.
 *
 * Every value is a word that occurs nowhere else, so that finding it tells which version it is.
 */
import type { WorkloadFacts } from '../model/workload.ts';

export interface ModelSecret {
  readonly words: string[];
  /** 1-based version number; 0 for none. */
  current: number;
  readonly revoked: Set<number>;
  deleted: boolean;
}

export interface ModelGrant {
  readonly label: string;
  /** The directory. */
  readonly target: string;
  /** Secret names; the file is the last segment. */
  readonly secrets: readonly string[];
}

export interface Place {
  readonly workload: WorkloadFacts;
  readonly files: ReadonlyMap<string, string>;
}

export interface AuditorOptions {
  /** How long a value may stay after it was denied: lease, and what it takes to notice. */
  readonly denialMsMax: number;
}

export class Auditor {
  readonly secrets = new Map<string, ModelSecret>();
  readonly grants = new Map<string, ModelGrant>();
  readonly violations: string[] = [];
  readonly #options: AuditorOptions;
  /** `workload file word` to when it was first seen there although denied. */
  readonly #deniedSince = new Map<string, number>();
  /** Mount id to the highest set revision that was seen there. */
  readonly #revisions = new Map<string, number>();
  /** Every word that was ever seen in a container, with whom. */
  readonly seen = new Map<string, Map<string, WorkloadFacts>>();

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** What was ever granted: `label secret`. */
  readonly #everGranted = new Set<string>();

  grant(group: string, grant: ModelGrant | undefined): void {
    if (grant === undefined) {
      this.grants.delete(group);
      return;
    }
    this.grants.set(group, grant);
    for (const secret of grant.secrets) this.#everGranted.add(`${grant.label} ${secret}`);
  }

  /** Whether this container may ever have been entitled to any version of the secret. */
  wasGranted(workload: WorkloadFacts, secret: string): boolean {
    return this.#everGranted.has(`${workload.labels['app']} ${secret}`);
  }

  /** What a container should read: path to word. */
  wanted(workload: WorkloadFacts): ReadonlyMap<string, string> {
    const files = new Map<string, string>();
    for (const [, grant] of [...this.grants].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (workload.labels['app'] !== grant.label) continue;
      for (const name of grant.secrets) {
        const word = this.#deliverable(name);
        const file = `${grant.target}/${name.split('/').at(-1) ?? ''}`;
        // The first group in order has the name, also while it has nothing to put there.
        if (!files.has(file)) files.set(file, word ?? '');
      }
    }
    return new Map([...files].filter(([, word]) => word !== ''));
  }

  /** Looks at one container: nothing denied for too long, nothing foreign. */
  look(place: Place, nowMs: number): void {
    const wanted = this.wanted(place.workload);
    const present = new Set<string>();
    for (const [file, word] of place.files) {
      const key = `${place.workload.id} ${file} ${word}`;
      present.add(key);
      let holders = this.seen.get(word);
      if (!holders) this.seen.set(word, (holders = new Map()));
      holders.set(place.workload.id, place.workload);
      if (wanted.get(file) === word) {
        this.#deniedSince.delete(key);
        continue;
      }
      const since = this.#deniedSince.get(key) ?? nowMs;
      this.#deniedSince.set(key, since);
      if (nowMs - since > this.#options.denialMsMax) {
        this.#violate(
          `${place.workload.name} still reads ${file}=${word} ${Math.round(nowMs - since)} ms after it was denied`,
        );
        this.#deniedSince.set(key, nowMs);
      }
    }
    for (const key of this.#deniedSince.keys()) {
      if (key.startsWith(`${place.workload.id} `) && !present.has(key))
        this.#deniedSince.delete(key);
    }
  }

  /** A mount was changed to this revision. */
  changed(mountId: string, revision: number): void {
    const before = this.#revisions.get(mountId) ?? 0;
    if (revision < before) this.#violate(`${mountId} went back from ${before} to ${revision}`);
    this.#revisions.set(mountId, Math.max(before, revision));
  }

  /** Whether what is read is what is wanted. */
  isSettled(place: Place): boolean {
    return textOf(this.wanted(place.workload)) === textOf(place.files);
  }

  /** When nothing has failed for a while: what is read is what is wanted. */
  settled(place: Place): void {
    const wanted = this.wanted(place.workload);
    const got = textOf(place.files);
    if (textOf(wanted) !== got) {
      this.#violate(`${place.workload.name} reads {${got}} and should read {${textOf(wanted)}}`);
    }
  }

  /** None of the words occurs in this. */
  scan(where: string, bytes: Uint8Array | string): void {
    const haystack = Buffer.from(bytes as string);
    for (const [name, { words }] of this.secrets) {
      for (const word of words) {
        for (const form of [
          word,
          Buffer.from(word).toString('base64').slice(0, -4),
          Buffer.from(word).toString('hex'),
        ]) {
          if (haystack.includes(form)) this.#violate(`a value of ${name} is readable in ${where}`);
        }
      }
    }
  }

  violate(text: string): void {
    this.#violate(text);
  }

  #deliverable(name: string): string | undefined {
    const secret = this.secrets.get(name);
    if (!secret || secret.deleted || secret.current === 0 || secret.revoked.has(secret.current))
      return undefined;
    return secret.words[secret.current - 1];
  }

  #violate(text: string): void {
    this.violations.push(text);
  }
}

function textOf(files: ReadonlyMap<string, string>): string {
  return [...files]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, word]) => `${file}=${word}`)
    .join(' ');
}
