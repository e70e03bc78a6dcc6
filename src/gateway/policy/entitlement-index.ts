/**
 * The entitlement index: who is in which group, kept up as workloads, groups and grants come and go,
 * so that one change costs what it touches and not what there is.
 *
 * Membership is kept; wanted sets are computed when asked, because 100,000 workloads ask rarely and
 * hold them elsewhere. No I/O and no clock.
 *
 * Promises: after every call, membership is what comparing every workload with every group would give.
 */
import { Fault } from '../../base/fault.ts';
import { SortedBlocks } from '../../base/sorted-blocks.ts';
import type { Grant } from '../../model/grant.ts';
import type { GroupMatch } from '../../model/group.ts';
import type { Name, SecretName } from '../../model/name.ts';
import type { WorkloadId } from '../../model/workload.ts';
import { AnchoredSelectors } from './anchor.ts';
import { TargetTree } from './nested-targets.ts';
import type { Entitlements, SelectableFacts, WantedSet, WorkloadRange } from './policy.ts';
import { Postings } from './posting.ts';
import { type Selector, compileSelector, isPod } from './selector.ts';
import { type CompiledGrant, compileGrant, grantsOf, order, WantedMemo } from './wanted.ts';

/** A group as the index knows it. A grant may come before its group, and then reaches nobody. */
export interface IndexedGroup {
  readonly name: Name;
  readonly selector: Selector | undefined;
  readonly grant: CompiledGrant | undefined;
  readonly members: ReadonlySet<IndexedWorkload>;
}

export interface IndexedWorkload {
  readonly facts: SelectableFacts;
  readonly groups: readonly IndexedGroup[];
}

class GroupEntry implements IndexedGroup {
  readonly name: Name;
  selector: Selector | undefined;
  grant: CompiledGrant | undefined;
  members = new Set<WorkloadEntry>();
  constructor(name: Name) {
    this.name = name;
  }
}

class WorkloadEntry implements IndexedWorkload {
  facts: SelectableFacts;
  groups: GroupEntry[] = [];
  constructor(facts: SelectableFacts) {
    this.facts = facts;
  }
}

/** A group that is selected on: the form in which anchors know it. */
interface Selected {
  readonly selector: Selector;
  readonly entry: GroupEntry;
}

/**
 * Roughly what it costs to find a selector's workloads one selector at a time, and from where on it is
 * cheaper to anchor all selectors and pass over the workloads once.
 */
const costs = { list: 0.1, references: 1, all: 20 } as const;
const costMax = 400;

export class EntitlementIndex implements Entitlements {
  readonly #leaseMsDefault: number;
  readonly #workloads = new Map<WorkloadId, WorkloadEntry>();
  readonly #inOrder = new SortedBlocks<WorkloadEntry>((entry) => entry.facts.id);
  readonly #groups = new Map<Name, GroupEntry>();
  readonly #selectors = new AnchoredSelectors<Selected>();
  readonly #selected = new Map<GroupEntry, Selected>();
  readonly #postings = new Postings<WorkloadEntry>();
  /** Most secrets are granted once, so the set is made for the second group only. */
  readonly #bySecret = new Map<SecretName, GroupEntry | Set<GroupEntry>>();
  readonly #wanted = new WantedMemo();
  /** Of all grants, of groups that there are not yet as well. */
  readonly targets = new TargetTree();
  #affected = new Set<WorkloadId>();
  /** Whose selector changed: their members are found together, when somebody next wants to know of any. */
  readonly #unsettled = new Set<GroupEntry>();
  #podCount = 0;

  constructor(options: { readonly leaseMsDefault: number }) {
    this.#leaseMsDefault = options.leaseMsDefault;
  }

  /** @throws Fault `workload.elsewhere` */
  setWorkload(facts: SelectableFacts): void {
    this.#settle();
    const known = this.#workloads.get(facts.id);
    if (known !== undefined && known.facts.node !== facts.node) {
      throw new Fault('workload.elsewhere', { workload: facts.id, node: facts.node });
    }
    const entry = known ?? new WorkloadEntry(facts);
    if (known === undefined) {
      this.#workloads.set(facts.id, entry);
      this.#inOrder.add(entry);
    } else {
      this.#postings.remove(entry);
      this.#podCount -= isPod(known.facts) ? 1 : 0;
    }
    entry.facts = facts;
    this.#podCount += isPod(facts) ? 1 : 0;
    this.#postings.add(entry);
    for (const group of entry.groups) group.members.delete(entry);
    entry.groups = this.#selectors.matching(facts).map((selected) => selected.entry);
    for (const group of entry.groups) group.members.add(entry);
  }

  removeWorkload(id: WorkloadId): void {
    this.#settle();
    const entry = this.#workloads.get(id);
    if (entry === undefined) return;
    this.#workloads.delete(id);
    this.#inOrder.remove(entry);
    this.#podCount -= isPod(entry.facts) ? 1 : 0;
    this.#postings.remove(entry);
    for (const group of entry.groups) group.members.delete(entry);
    this.#affected.delete(id);
  }

  setGroup(name: Name, match: GroupMatch): void {
    const group = this.#entry(name);
    // Before the old match is let go, or the lists that both use would be made anew.
    this.#postings.follow(match);
    this.#deselect(group);
    const selector = compileSelector(match);
    group.selector = selector;
    const selected = { selector, entry: group };
    this.#selectors.add(selected);
    this.#selected.set(group, selected);
    this.#unsettled.add(group);
  }

  removeGroup(name: Name): void {
    const group = this.#groups.get(name);
    if (group === undefined) return;
    this.#deselect(group);
    group.selector = undefined;
    this.#unsettled.delete(group);
    this.#setMembers(group, new Set());
    this.#forgetIfEmpty(group);
  }

  setGrant(grant: Grant): void {
    const group = this.#entry(grant.group);
    this.#unlist(group);
    group.grant = compileGrant(grant, this.#leaseMsDefault);
    this.targets.add(group.grant.target);
    for (const file of group.grant.files) this.#list(file.secret, group);
    this.#affect(group.members);
  }

  removeGrant(name: Name): void {
    const group = this.#groups.get(name);
    if (group?.grant === undefined) return;
    this.#unlist(group);
    group.grant = undefined;
    this.#affect(group.members);
    this.#forgetIfEmpty(group);
  }

  clearGroups(): void {
    for (const name of [...this.#groups.keys()]) this.removeGroup(name);
  }

  clearGrants(): void {
    for (const name of [...this.#groups.keys()]) this.removeGrant(name);
  }

  workload(id: WorkloadId): SelectableFacts | undefined {
    return this.#workloads.get(id)?.facts;
  }

  entry(id: WorkloadId): IndexedWorkload | undefined {
    this.#settle();
    return this.#workloads.get(id);
  }

  groupsOf(id: WorkloadId): readonly Name[] {
    this.#settle();
    const groups = this.#workloads.get(id)?.groups ?? [];
    return groups.map((group) => group.name).toSorted(order);
  }

  *workloads({ from = '', node }: WorkloadRange = {}): Generator<SelectableFacts> {
    if (node !== undefined) {
      const there = [...this.#postings.onNode(node)].map((entry) => entry.facts);
      yield* there.filter(({ id }) => id >= from).sort((left, right) => order(left.id, right.id));
      return;
    }
    const first = this.#workloads.get(from as WorkloadId);
    if (first !== undefined) yield first.facts;
    for (const entry of this.#inOrder.from('', from)) yield entry.facts;
  }

  get workloadCount(): number {
    return this.#workloads.size;
  }

  /** Of them, those that a runtime reports as containers of pods. */
  get podCount(): number {
    return this.#podCount;
  }

  group(name: Name): IndexedGroup | undefined {
    this.#settle();
    return this.#groups.get(name);
  }

  workloadsOn(node: string): Iterable<WorkloadId> {
    return idsOf(this.#postings.onNode(node));
  }

  countOn(node: string): number {
    return this.#postings.onNode(node).size;
  }

  wantedFor(id: WorkloadId): readonly WantedSet[] {
    this.#settle();
    const groups = this.#workloads.get(id)?.groups;
    return groups === undefined ? [] : this.#wanted.sets(grantsOf(groups));
  }

  shortestLeaseMs(node: string): number {
    this.#settle();
    let shortest = Number.POSITIVE_INFINITY;
    for (const { groups } of this.#postings.onNode(node)) {
      for (const { grant } of groups) {
        if (grant !== undefined && grant.leaseMs < shortest) shortest = grant.leaseMs;
      }
    }
    return shortest;
  }

  /** Groups whose grant names the secret, by name. */
  groupsGranted(secret: SecretName): readonly IndexedGroup[] {
    this.#settle();
    const found = this.#bySecret.get(secret);
    if (found === undefined) return [];
    if (found instanceof GroupEntry) return [found];
    return [...found].toSorted((left, right) => order(left.name, right.name));
  }

  isGranted(id: WorkloadId, secret: SecretName): boolean {
    this.#settle();
    const found = this.#bySecret.get(secret);
    const groups = this.#workloads.get(id)?.groups ?? [];
    return groups.some((group) => (found instanceof Set ? found.has(group) : found === group));
  }

  *affectedBySecret(secret: SecretName): Generator<WorkloadId> {
    for (const group of this.groupsGranted(secret)) yield* idsOf(group.members);
  }

  takeAffected(): ReadonlySet<WorkloadId> {
    this.#settle();
    const taken = this.#affected;
    this.#affected = new Set();
    return taken;
  }

  /** What each selector would match, were it a group: for plans. In the order given. */
  selectMany(selectors: readonly Selector[]): readonly ReadonlySet<IndexedWorkload>[] {
    // Whoever gets a workload looks at its groups.
    this.#settle();
    return this.#selectMany(selectors);
  }

  #selectMany(selectors: readonly Selector[]): readonly Set<WorkloadEntry>[] {
    const cost = selectors.reduce((sum, { match }) => sum + costs[this.#postings.costOf(match)], 0);
    if (cost <= costMax) return selectors.map((selector) => this.#select(selector));
    const found = new Map(selectors.map((selector) => [selector, new Set<WorkloadEntry>()]));
    const anchored = new AnchoredSelectors<{ readonly selector: Selector }>();
    for (const selector of found.keys()) anchored.add({ selector });
    for (const entry of this.#workloads.values()) {
      for (const { selector } of anchored.matching(entry.facts)) found.get(selector)?.add(entry);
    }
    return selectors.map((selector) => found.get(selector) ?? new Set<WorkloadEntry>());
  }

  /**
   * Documents come by the thousand, in one commit: each by itself would be compared with every workload
   * where no list helps, and all of them together are found in one pass.
   */
  #settle(): void {
    if (this.#unsettled.size === 0) return;
    const groups = [...this.#unsettled];
    this.#unsettled.clear();
    const selectors = groups.flatMap(({ selector }) => selector ?? []);
    const selected = this.#selectMany(selectors);
    groups.forEach((group, index) => this.#setMembers(group, selected[index] ?? new Set()));
  }

  #select(selector: Selector): Set<WorkloadEntry> {
    const found = new Set<WorkloadEntry>();
    for (const entry of this.#postings.candidates(selector.match)) {
      if (selector.matches(entry.facts)) found.add(entry);
    }
    return found;
  }

  #setMembers(group: GroupEntry, members: Set<WorkloadEntry>): void {
    const changed: WorkloadEntry[] = [];
    for (const entry of group.members) {
      if (members.has(entry)) continue;
      entry.groups = entry.groups.filter((other) => other !== group);
      changed.push(entry);
    }
    for (const entry of members) {
      if (group.members.has(entry)) continue;
      entry.groups = [...entry.groups, group];
      changed.push(entry);
    }
    group.members = members;
    if (group.grant !== undefined) this.#affect(changed);
  }

  #affect(entries: Iterable<WorkloadEntry>): void {
    for (const entry of entries) this.#affected.add(entry.facts.id);
  }

  #entry(name: Name): GroupEntry {
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    const made = new GroupEntry(name);
    this.#groups.set(name, made);
    return made;
  }

  #forgetIfEmpty(group: GroupEntry): void {
    if (group.selector === undefined && group.grant === undefined) this.#groups.delete(group.name);
  }

  #deselect(group: GroupEntry): void {
    const selected = this.#selected.get(group);
    if (selected === undefined) return;
    this.#selectors.remove(selected);
    this.#postings.unfollow(selected.selector.match);
    this.#selected.delete(group);
  }

  #list(secret: SecretName, group: GroupEntry): void {
    const known = this.#bySecret.get(secret);
    if (known === undefined) this.#bySecret.set(secret, group);
    else if (known instanceof Set) known.add(group);
    else if (known !== group) this.#bySecret.set(secret, new Set([known, group]));
  }

  #unlist(group: GroupEntry): void {
    if (group.grant !== undefined) this.targets.remove(group.grant.target);
    for (const { secret } of group.grant?.files ?? []) {
      const known = this.#bySecret.get(secret);
      if (known === group) {
        this.#bySecret.delete(secret);
      } else if (known instanceof Set) {
        known.delete(group);
        if (known.size === 0) this.#bySecret.delete(secret);
      }
    }
  }
}

function* idsOf(entries: Iterable<IndexedWorkload>): Generator<WorkloadId> {
  for (const entry of entries) yield entry.facts.id;
}
