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
  /** Stays when the gateway is not heard. */
  readonly keep: boolean;
  /** Its own; else as the gateway's. */
  readonly leaseMs?: number;
}

export interface Place {
  readonly workload: WorkloadFacts;
  readonly files: ReadonlyMap<string, string>;
  /** Its node may have something: it has joined and is not revoked. */
  readonly isServed: boolean;
  /** Its node hears what the gateway decides, and the gateway knows of it. */
  readonly isReached: boolean;
  /** Its enforcer does nothing just now, and will do later what it was about to do. */
  readonly isStopped: boolean;
  /** Directories of which its node knows that they are to be kept in silence. */
  readonly kept: ReadonlySet<string>;
}

export interface AuditorOptions {
  /** Directories that grants of a run may name. */
  readonly targets: readonly string[];
  /** Of grants that say nothing else. */
  readonly leaseMs: number;
  /** How long a value may stay after it was denied, and after a lease: what it takes to notice. */
  readonly denialMsMax: number;
  /** How long a node may be connected after it was revoked. */
  readonly revocationMsMax: number;
}

/** What was decided before is done by then, also where the kernel refused it a few times. */
const steadyMsMin = 10_000;

export class Auditor {
  readonly secrets = new Map<string, ModelSecret>();
  readonly grants = new Map<string, ModelGrant>();
  /** Names of nodes. */
  readonly revoked = new Set<string>();
  readonly violations: string[] = [];
  readonly #options: AuditorOptions;
  /** `workload file word` to when it was first seen there although denied. */
  readonly #deniedSince = new Map<string, number>();
  /** Mount id to the highest set revision that was seen there. */
  readonly #revisions = new Map<string, number>();
  /** `workload target` of what was due and to be kept, and was taken away: the log must say that it was withdrawn. */
  readonly lost = new Set<string>();
  /** Every word that was ever seen in a container, with whom. */
  readonly seen = new Map<string, Map<string, WorkloadFacts>>();

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** What was ever granted: `label secret`. */
  readonly #everGranted = new Set<string>();
  /** What was ever to be kept in silence: `label target`. */
  readonly #everKept = new Set<string>();
  /** `label target` to the longest lease that it ever was on. */
  readonly #leaseMsMax = new Map<string, number>();
  /** `workload target` of what is there, due and to be kept, to since when all of it is. */
  readonly #steadySince = new Map<string, number>();
  /** Revoked nodes that were seen connected, to since when. */
  readonly #intruding = new Map<string, number>();

  grant(group: string, grant: ModelGrant | undefined): void {
    if (grant === undefined) {
      this.grants.delete(group);
      return;
    }
    this.grants.set(group, grant);
    for (const secret of grant.secrets) this.#everGranted.add(`${grant.label} ${secret}`);
    const place = `${grant.label} ${grant.target}`;
    if (grant.keep) this.#everKept.add(place);
    const { leaseMs = this.#options.leaseMs } = grant;
    this.#leaseMsMax.set(place, Math.max(leaseMs, this.#leaseMsMax.get(place) ?? 0));
  }

  /** Whether this container may ever have been entitled to any version of the secret. */
  wasGranted(workload: WorkloadFacts, secret: string): boolean {
    return this.#everGranted.has(`${workload.labels['app']} ${secret}`);
  }

  /** What a container should read: path to word. */
  wanted({
    workload,
    isServed,
  }: Pick<Place, 'workload' | 'isServed'>): ReadonlyMap<string, string> {
    if (!isServed) return new Map();
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
    const wanted = this.wanted(place);
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
      const mayStay = !place.isReached && this.#isEverKept(place.workload, file);
      const since = mayStay ? nowMs : (this.#deniedSince.get(key) ?? nowMs);
      this.#deniedSince.set(key, since);
      if (nowMs - since > this.#mayStayMs(place.workload, file)) {
        this.#violate(
          `${place.workload.name} still reads ${file}=${word} ${Math.round(nowMs - since)} ms after it was denied`,
        );
        this.#deniedSince.set(key, nowMs);
      }
    }
    this.#lookAtKept(place, nowMs);
    for (const key of this.#deniedSince.keys()) {
      if (key.startsWith(`${place.workload.id} `) && !present.has(key))
        this.#deniedSince.delete(key);
    }
  }

  /** @param connected - Names of nodes. */
  lookAtNodes(connected: ReadonlySet<string>, nowMs: number): void {
    for (const node of this.revoked) {
      if (!connected.has(node)) {
        this.#intruding.delete(node);
        continue;
      }
      const since = this.#intruding.get(node) ?? nowMs;
      this.#intruding.set(node, since);
      if (nowMs - since <= this.#options.revocationMsMax) continue;
      this.#violate(`${node} is connected ${Math.round(nowMs - since)} ms after it was revoked`);
      this.#intruding.set(node, nowMs);
    }
  }

  /** Its own node has taken a mount of a container away. */
  withdrew(workload: WorkloadFacts, target: string, nowMs: number): void {
    const key = `${workload.id} ${target}`;
    const steadyMs = nowMs - (this.#steadySince.get(key) ?? nowMs);
    if (steadyMs > steadyMsMin) this.lost.add(key);
  }

  #mayStayMs(workload: WorkloadFacts, file: string): number {
    const { leaseMs, denialMsMax } = this.#options;
    return (this.#leaseMsMax.get(placeOf(workload, file)) ?? leaseMs) + denialMsMax;
  }

  #isEverKept(workload: WorkloadFacts, file: string): boolean {
    return this.#everKept.has(placeOf(workload, file));
  }

  /** What is there, due and to be kept: from then on nobody may take it away. */
  #lookAtKept({ workload, files, isStopped, kept }: Place, nowMs: number): void {
    const wanted = this.wanted({ workload, isServed: true });
    for (const target of this.#options.targets) {
      const key = `${workload.id} ${target}`;
      const there = [...files].filter(([file]) => file.startsWith(`${target}/`));
      const isDue = there.length > 0 && there.every(([file, word]) => wanted.get(file) === word);
      const isSteady =
        isDue && !isStopped && kept.has(target) && this.#isToBeKept(workload, target);
      if (!isSteady) this.#steadySince.delete(key);
      else if (!this.#steadySince.has(key)) this.#steadySince.set(key, nowMs);
    }
  }

  #isToBeKept(workload: WorkloadFacts, target: string): boolean {
    return [...this.grants.values()].some(
      (grant) => grant.keep && grant.target === target && grant.label === workload.labels['app'],
    );
  }

  /** A mount was changed to this revision. */
  changed(mountId: string, revision: number): void {
    const before = this.#revisions.get(mountId) ?? 0;
    if (revision < before) this.#violate(`${mountId} went back from ${before} to ${revision}`);
    this.#revisions.set(mountId, Math.max(before, revision));
  }

  /** Whether what is read is what is wanted. */
  isSettled(place: Place): boolean {
    return textOf(this.wanted(place)) === textOf(place.files);
  }

  /** When nothing has failed for a while: what is read is what is wanted. */
  settled(place: Place): void {
    const wanted = this.wanted(place);
    const got = textOf(place.files);
    if (textOf(wanted) !== got) {
      this.#violate(`${place.workload.name} reads {${got}} and should read {${textOf(wanted)}}`);
    }
    for (const target of this.#options.targets) {
      const isThere = [...place.files.keys()].some((file) => file.startsWith(`${target}/`));
      if (!isThere || place.kept.has(target) === this.#isToBeKept(place.workload, target)) continue;
      this.#violate(`${place.workload.name}: its node thinks otherwise of keeping ${target}`);
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

/** `label target` */
function placeOf(workload: WorkloadFacts, file: string): string {
  return `${workload.labels['app']} ${file.slice(0, file.lastIndexOf('/'))}`;
}

function textOf(files: ReadonlyMap<string, string>): string {
  return [...files]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, word]) => `${file}=${word}`)
    .join(' ');
}
