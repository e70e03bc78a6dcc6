/**
 * Anchors: strings that a group's match and a workload's facts have in common, so that a workload is
 * compared with the few groups that could match it instead of with all.
 *
 * Promises: if a workload matches, it has every anchor of the match. The reverse is not promised:
 * anchors choose candidates, and selectors decide.
 */
import type { GroupMatch } from '../../model/group.ts';
import { compileGlob } from './glob.ts';
import type { SelectableFacts } from './policy.ts';
import type { Selector } from './selector.ts';

/** Lengths at which names and references are cut for globs; the longest that fits is used. */
const prefixChars = [64, 48, 32, 24, 16, 8, 4] as const;

/** Every anchor that any workload of this match must have; most telling first. */
export function anchorsOfMatch(match: GroupMatch): readonly string[] {
  const anchors: string[] = [];
  const { image, node, docker, kubernetes, process } = match;
  if (image?.includes('@') === true) anchors.push(`digest ${image}`);
  else if (image?.startsWith('sha256:') === true) anchors.push(`content ${image}`);
  else anchors.push(...globAnchors('image', image));
  if (kubernetes?.namespace !== undefined && kubernetes.serviceAccount !== undefined) {
    anchors.push(`account ${kubernetes.namespace}\n${kubernetes.serviceAccount}`);
  }
  for (const name of [docker?.name, process?.name]) anchors.push(...globAnchors('name', name));
  anchors.push(...globAnchors('pod', kubernetes?.pod));
  if (kubernetes?.namespace !== undefined) anchors.push(`namespace ${kubernetes.namespace}`);
  if (node !== undefined) anchors.push(`node ${node}`);
  for (const labels of [docker?.labels, kubernetes?.labels, process?.labels]) {
    for (const [key, value] of Object.entries(labels ?? {})) anchors.push(labelAnchor(key, value));
  }
  if (kubernetes?.container !== undefined) anchors.push(`container ${kubernetes.container}`);
  return anchors;
}

/**
 * Every anchor that the facts have.
 *
 * @param used - The kinds (what stands before the first space) that are of interest; all if left out.
 */
export function anchorsOfFacts(
  facts: SelectableFacts,
  used?: { has(kind: string): boolean },
): readonly string[] {
  const anchors: string[] = [];
  const add = (kind: string, text: string): void => {
    if (used === undefined || used.has(kind)) anchors.push(`${kind} ${text}`);
  };
  add('node', facts.node);
  add('content', facts.image.id);
  for (const digest of facts.image.digests) {
    add('digest', digest);
    add('content', digest.slice(digest.indexOf('@') + 1));
  }
  addPrefixes(add, 'name', facts.name);
  addPrefixes(add, 'image', facts.image.reference);
  if (facts.kubernetes !== undefined) {
    const { namespace, serviceAccount, pod, container } = facts.kubernetes;
    add('namespace', namespace);
    if (serviceAccount !== undefined) add('account', `${namespace}\n${serviceAccount}`);
    addPrefixes(add, 'pod', pod);
    add('container', container);
  }
  if (used === undefined || used.has('label')) {
    for (const [key, value] of Object.entries(facts.labels)) anchors.push(labelAnchor(key, value));
  }
  return anchors;
}

function labelAnchor(key: string, value: string): string {
  return `label ${key}\n${value}`;
}

function globAnchors(kind: string, pattern: string | undefined): readonly string[] {
  if (pattern === undefined) return [];
  const glob = compileGlob(pattern);
  if (glob.exact) return [`${kind} ${pattern}`];
  const length = prefixChars.find((chars) => chars <= glob.prefix.length);
  return length === undefined ? [] : [`${kind}${length} ${glob.prefix.slice(0, length)}`];
}

type PrefixKind = 'name' | 'image' | 'pod';
type Cuts = readonly { readonly chars: number; readonly cut: string }[];
const cutsOf = (kind: PrefixKind): Cuts =>
  prefixChars.map((chars) => ({ chars, cut: `${kind}${chars}` }));
/** `name32` and so on, spelled once instead of for every workload. */
const cutKinds: Readonly<Record<PrefixKind, Cuts>> = {
  name: cutsOf('name'),
  image: cutsOf('image'),
  pod: cutsOf('pod'),
};

function addPrefixes(
  add: (kind: string, text: string) => void,
  kind: PrefixKind,
  text: string,
): void {
  add(kind, text);
  for (const { chars, cut } of cutKinds[kind]) {
    if (text.length >= chars) add(cut, text.slice(0, chars));
  }
}

/** Things with selectors, found by anchor. Each stands under the one of its anchors that is least used. */
export class AnchoredSelectors<T extends { readonly selector: Selector }> {
  readonly #byAnchor = new Map<string, Set<T>>();
  readonly #anchorOf = new Map<T, string>();
  /** How many buckets there are of each kind of anchor. */
  readonly #kinds = new Map<string, number>();

  add(item: T): void {
    const anchors = anchorsOfMatch(item.selector.match);
    let best = '';
    let fewest = Number.POSITIVE_INFINITY;
    for (const anchor of anchors) {
      const used = this.#byAnchor.get(anchor)?.size ?? 0;
      if (used < fewest) [best, fewest] = [anchor, used];
    }
    const bucket = this.#byAnchor.get(best);
    if (bucket === undefined) {
      this.#byAnchor.set(best, new Set([item]));
      this.#countKind(best, 1);
    } else {
      bucket.add(item);
    }
    this.#anchorOf.set(item, best);
  }

  remove(item: T): void {
    const anchor = this.#anchorOf.get(item);
    if (anchor === undefined) return;
    this.#anchorOf.delete(item);
    const bucket = this.#byAnchor.get(anchor);
    bucket?.delete(item);
    if (bucket?.size !== 0) return;
    this.#byAnchor.delete(anchor);
    this.#countKind(anchor, -1);
  }

  /** The items whose selector matches. */
  matching(facts: SelectableFacts): T[] {
    const found: T[] = [];
    this.#collect('', facts, found);
    // Two facts can spell one anchor; an item stands under one, and must be found once.
    for (const anchor of new Set(anchorsOfFacts(facts, this.#kinds)))
      this.#collect(anchor, facts, found);
    return found;
  }

  #countKind(anchor: string, by: number): void {
    const kind = anchor.slice(0, anchor.indexOf(' '));
    const count = (this.#kinds.get(kind) ?? 0) + by;
    if (count === 0) this.#kinds.delete(kind);
    else this.#kinds.set(kind, count);
  }

  #collect(anchor: string, facts: SelectableFacts, found: T[]): void {
    const bucket = this.#byAnchor.get(anchor);
    if (bucket === undefined) return;
    for (const item of bucket) if (item.selector.matches(facts)) found.push(item);
  }
}
