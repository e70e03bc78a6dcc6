/**
 * Postings: running workloads listed by the facts that groups ask for, so that a group that changes is
 * compared with the few workloads that could match it instead of with all.
 *
 * Node, digest, namespace, service account and image reference are listed for all; labels by the keys
 * that groups mention, because the many that nobody asks for would take more room than the rest.
 *
 * Promises: whatever matches is among the candidates. Candidates need not match: selectors decide.
 */
import type { GroupMatch } from '../../model/group.ts';
import { compileGlob } from './glob.ts';
import type { SelectableFacts } from './policy.ts';

interface Listed {
  readonly facts: SelectableFacts;
}

interface LabelLists<T> {
  /** How many matches mention the key. */
  uses: number;
  readonly byValue: Map<string, Set<T>>;
}

/** How dear it is to go through the candidates of a match: a short list, the references, or all. */
export type CandidateCost = 'list' | 'references' | 'all';

export class Postings<T extends Listed> {
  readonly #all = new Set<T>();
  readonly #lists = new Map<string, Set<T>>();
  readonly #byReference = new Map<string, Set<T>>();
  readonly #byLabel = new Map<string, LabelLists<T>>();

  add(item: T): void {
    this.#all.add(item);
    for (const key of listKeys(item.facts)) post(this.#lists, key, item);
    post(this.#byReference, item.facts.image.reference, item);
    for (const [key, lists] of this.#byLabel) this.#postLabel(key, lists, item);
  }

  /** With the facts that it was added with. */
  remove(item: T): void {
    this.#all.delete(item);
    for (const key of listKeys(item.facts)) unpost(this.#lists, key, item);
    unpost(this.#byReference, item.facts.image.reference, item);
    for (const [key, lists] of this.#byLabel) {
      const value = labelOf(item.facts, key);
      if (value !== undefined) unpost(lists.byValue, value, item);
    }
  }

  /** From now on, labels that the match mentions are listed. The first mention of a key reads all. */
  follow(match: GroupMatch): void {
    for (const [key] of labelsOf(match)) {
      const known = this.#byLabel.get(key);
      if (known !== undefined) {
        known.uses += 1;
        continue;
      }
      const lists: LabelLists<T> = { uses: 1, byValue: new Map() };
      this.#byLabel.set(key, lists);
      for (const item of this.#all) this.#postLabel(key, lists, item);
    }
  }

  unfollow(match: GroupMatch): void {
    for (const [key] of labelsOf(match)) {
      const known = this.#byLabel.get(key);
      if (known === undefined) continue;
      known.uses -= 1;
      if (known.uses === 0) this.#byLabel.delete(key);
    }
  }

  onNode(node: string): ReadonlySet<T> {
    return this.#lists.get(`node ${node}`) ?? new Set();
  }

  costOf(match: GroupMatch): CandidateCost {
    if (this.#shortest(match) !== undefined) return 'list';
    return isReference(match.image) ? 'references' : 'all';
  }

  *candidates(match: GroupMatch): Generator<T, void, undefined> {
    const shortest = this.#shortest(match);
    if (shortest !== undefined) {
      yield* shortest;
    } else if (isReference(match.image)) {
      const glob = compileGlob(match.image);
      for (const [reference, list] of this.#byReference) if (glob.matches(reference)) yield* list;
    } else {
      yield* this.#all;
    }
  }

  /** The shortest list that everything the match selects is in; undefined if it asks for no list. */
  #shortest(match: GroupMatch): ReadonlySet<T> | undefined {
    let shortest: ReadonlySet<T> | undefined;
    const consider = (list: ReadonlySet<T> = new Set()): void => {
      if (shortest === undefined || list.size < shortest.size) shortest = list;
    };
    const { image, node, kubernetes } = match;
    if (node !== undefined) consider(this.#lists.get(`node ${node}`));
    if (image?.includes('@') === true) consider(this.#lists.get(`digest ${image}`));
    if (kubernetes?.namespace !== undefined) {
      consider(this.#lists.get(`namespace ${kubernetes.namespace}`));
      if (kubernetes.serviceAccount !== undefined) {
        const { namespace, serviceAccount } = kubernetes;
        consider(this.#lists.get(accountKey(namespace, serviceAccount)));
      }
    }
    for (const [key, value] of labelsOf(match)) {
      const lists = this.#byLabel.get(key);
      if (lists !== undefined) consider(lists.byValue.get(value));
    }
    return shortest;
  }

  #postLabel(key: string, lists: LabelLists<T>, item: T): void {
    const value = labelOf(item.facts, key);
    if (value !== undefined) post(lists.byValue, value, item);
  }
}

function listKeys(facts: SelectableFacts): readonly string[] {
  const keys = [`node ${facts.node}`];
  for (const digest of facts.image.digests) keys.push(`digest ${digest}`);
  if (facts.kubernetes !== undefined) {
    const { namespace, serviceAccount } = facts.kubernetes;
    keys.push(`namespace ${namespace}`);
    if (serviceAccount !== undefined) keys.push(accountKey(namespace, serviceAccount));
  }
  return keys;
}

function accountKey(namespace: string, serviceAccount: string): string {
  return `account ${namespace}\n${serviceAccount}`;
}

function labelsOf(match: GroupMatch): readonly (readonly [string, string])[] {
  const { docker, kubernetes, process } = match;
  return [docker?.labels, kubernetes?.labels, process?.labels].flatMap((labels) =>
    Object.entries(labels ?? {}),
  );
}

function labelOf(facts: SelectableFacts, key: string): string | undefined {
  return Object.hasOwn(facts.labels, key) ? facts.labels[key] : undefined;
}

/** A reference or a glob on one, not a digest. */
function isReference(image: string | undefined): image is string {
  return image !== undefined && !image.includes('@') && !image.startsWith('sha256:');
}

function post<T>(lists: Map<string, Set<T>>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, new Set([item]));
  else list.add(item);
}

function unpost<T>(lists: Map<string, Set<T>>, key: string, item: T): void {
  const list = lists.get(key);
  list?.delete(item);
  if (list?.size === 0) lists.delete(key);
}
