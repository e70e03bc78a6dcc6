/**
 * Targets of which one lies inside the other. Where a workload is in both groups, its node refuses one of
 * them (`mount.target-nested`), so whoever writes such a grant is told. Pure.
 */
import { limits } from '../../base/limits.ts';
import type { Name } from '../../model/name.ts';
import type { IndexedGroup, IndexedWorkload } from './entitlement-index.ts';
import { order } from './wanted.ts';

/** Targets by where they lie: most are nested with none, and that is known without a look at any workload. */
export class TargetTree {
  /** How often each is there. */
  readonly #targets = new Map<string, number>();
  /** How many are anywhere below a directory. */
  readonly #below = new Map<string, number>();

  add(target: string): void {
    this.#count(target, 1);
  }

  remove(target: string): void {
    this.#count(target, -1);
  }

  /** Whether one of them is inside this one, or around it. */
  isNested(target: string): boolean {
    return this.#below.has(target) || parentsOf(target).some((parent) => this.#targets.has(parent));
  }

  #count(target: string, by: 1 | -1): void {
    bump(this.#targets, target, by);
    for (const parent of parentsOf(target)) bump(this.#below, parent, by);
  }
}

/** What the grants will be after a change: only what the change touches is given. */
export interface TargetsAfter {
  /** Of groups whose grant is changed; undefined: there is none any more. */
  readonly targets: ReadonlyMap<Name, string | undefined>;
  /** Of groups that are changed. */
  readonly members: ReadonlyMap<Name, ReadonlySet<IndexedWorkload>>;
}

interface Known {
  readonly targets: TargetTree;
  group(name: Name): IndexedGroup | undefined;
}

export class NestedTargets {
  readonly #known: Known;
  readonly #after: TargetsAfter;
  readonly #changed = new TargetTree();
  /** Groups that a workload may come into by the change. */
  readonly #joined = new Map<IndexedWorkload, Name[]>();

  constructor(known: Known, after: TargetsAfter) {
    this.#known = known;
    this.#after = after;
    for (const target of after.targets.values())
      if (target !== undefined) this.#changed.add(target);
    for (const [name, members] of after.members) {
      if (!this.#mayBeNested(this.#targetOf(name))) continue;
      for (const workload of members) {
        const names = this.#joined.get(workload);
        if (names === undefined) this.#joined.set(workload, [name]);
        else names.push(name);
      }
    }
  }

  /**
   * Targets of other grants, ascending, the first so many: each is inside this grant's or around it, for
   * at least one running workload. Not whose they are: who may write this grant may not see those.
   */
  of(group: Name): readonly string[] {
    const target = this.#targetOf(group);
    if (target === undefined || !this.#mayBeNested(target)) return [];
    const found = new Set<string>();
    for (const workload of this.#membersOf(group)) {
      for (const other of this.#groupsOf(workload)) {
        const theirs = this.#targetOf(other);
        if (theirs !== undefined && lieNested(target, theirs)) found.add(theirs);
      }
      if (found.size >= limits.warningsMax) break;
    }
    return [...found].toSorted(order);
  }

  /** Whether the group's grant is one of those that are written. */
  isChanged(group: Name): boolean {
    return this.#after.targets.has(group);
  }

  #mayBeNested(target: string | undefined): boolean {
    if (target === undefined) return false;
    return this.#known.targets.isNested(target) || this.#changed.isNested(target);
  }

  #targetOf(name: Name): string | undefined {
    const { targets } = this.#after;
    return targets.has(name) ? targets.get(name) : this.#known.group(name)?.grant?.target;
  }

  #membersOf(name: Name): ReadonlySet<IndexedWorkload> {
    return this.#after.members.get(name) ?? this.#known.group(name)?.members ?? new Set();
  }

  *#groupsOf(workload: IndexedWorkload): Generator<Name> {
    const { members } = this.#after;
    for (const { name } of workload.groups) if (!members.has(name)) yield name;
    yield* this.#joined.get(workload) ?? [];
  }
}

function lieNested(one: string, other: string): boolean {
  return one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}

/** `/run/secrets/db` → `/run`, `/run/secrets`. */
function parentsOf(target: string): readonly string[] {
  const parents: string[] = [];
  for (let slash = target.indexOf('/', 1); slash > 0; slash = target.indexOf('/', slash + 1)) {
    parents.push(target.slice(0, slash));
  }
  return parents;
}

function bump(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
