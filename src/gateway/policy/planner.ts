/**
 * Plans: the writes that a change of groups and grants comes to, and what they rest on. Nothing is
 * carried out here.
 *
 * Each plan expects the records it changes to be as they were seen. A grant also expects its group to
 * be as it was seen, and the deletion of a group expects that there is no grant; so neither can slip
 * past the other, on one gateway or on several.
 */
import type { Clock } from '../../base/clock.ts';
import { Fault, type FaultError } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { Grant } from '../../model/grant.ts';
import type { Group } from '../../model/group.ts';
import type { Name, SecretName } from '../../model/name.ts';
import type { RecordExpectation, RecordWrite } from '../barrier/barrier.ts';
import type { NamedRecords } from './catalog.ts';
import { grantErrors, grantWarnings, groupErrors, groupWarnings } from './document-check.ts';
import { clipped, grantText, groupText } from './document-text.ts';
import type { EntitlementIndex, IndexedWorkload } from './entitlement-index.ts';
import { type GroupAfter, impactOf } from './impact.ts';
import type {
  DocumentChange,
  GroupStatus,
  PolicyDocument,
  PolicyImpact,
  PolicyPlan,
  PolicyPlans,
  Versioned,
} from './policy.ts';
import { compileSelector } from './selector.ts';
import { compileGrant } from './wanted.ts';

export interface PlannerOptions {
  readonly groups: NamedRecords<Group>;
  readonly grants: NamedRecords<Grant>;
  readonly index: EntitlementIndex;
  readonly secretExists: (name: SecretName) => boolean;
  readonly leaseMsDefault: number;
  readonly clock: Pick<Clock, 'wallMs'>;
}

/** What should be there under a name afterwards; undefined: nothing. */
type Edit =
  | { readonly kind: 'Group'; readonly name: Name; readonly after: Group | undefined }
  | { readonly kind: 'Grant'; readonly name: Name; readonly after: Grant | undefined };

/** Errors of a whole directory of documents are told together, but not without end. */
const errorsMax = 1000;

export class Planner implements PolicyPlans {
  readonly #options: PlannerOptions;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  putGroup(group: Group): PolicyPlan & { readonly preview: GroupStatus } {
    refuse('group', groupErrors(group, ''));
    const nowMs = this.#options.clock.wallMs();
    const edits: readonly Edit[] = [{ kind: 'Group', name: group.name, after: group }];
    const members = this.#membersAfter(edits);
    const count = this.#countAfter(group.name, members);
    const preview = {
      value: group,
      revision: this.#options.groups.get(group.name)?.revision ?? 0,
      createdAtMs: this.#options.groups.createdAtMs(group.name, nowMs),
      members: count,
      warnings: groupWarnings(group, { members: count, pods: this.#options.index.podCount }),
    };
    return { ...this.#plan(edits, members, nowMs), preview };
  }

  deleteGroup(name: Name): PolicyPlan {
    refuseUnknown(this.#options.groups.get(name), `groups/${name}`);
    if (this.#options.grants.get(name) !== undefined) {
      throw new Fault('group.in-use', { group: name });
    }
    return this.#plan([{ kind: 'Group', name, after: undefined }], new Map());
  }

  putGrant(grant: Grant): PolicyPlan & { readonly createdAtMs: number | undefined } {
    refuse('grant', grantErrors(grant, ''));
    const nowMs = this.#options.clock.wallMs();
    if (this.#options.groups.get(grant.group) === undefined) {
      throw new Fault('group.unknown', { group: grant.group });
    }
    const edits: readonly Edit[] = [{ kind: 'Grant', name: grant.group, after: grant }];
    const createdAtMs = this.#options.grants.createdAtMs(grant.group, nowMs);
    return { ...this.#plan(edits, new Map(), nowMs), createdAtMs };
  }

  deleteGrant(group: Name): PolicyPlan {
    refuseUnknown(this.#options.grants.get(group), `grants/${group}`);
    return this.#plan([{ kind: 'Grant', name: group, after: undefined }], new Map());
  }

  putDocuments(
    documents: readonly PolicyDocument[],
    { prune = false, pointer = '' }: { readonly prune?: boolean; readonly pointer?: string } = {},
  ): PolicyPlan & PolicyImpact {
    const edits = documents.map(editOf);
    const pruned = prune ? this.#unnamed(edits) : [];
    refuse('documents', this.#documentErrors(documents, { pruned, pointer }));
    const all = [...edits, ...pruned];
    if (all.length > limits.documentChangesMax) {
      throw new Fault('limit.exceeded', { changes: all.length, max: limits.documentChangesMax });
    }
    const members = this.#membersAfter(all);
    return { ...this.#plan(all, members), ...impactOf(this.#groupsAfter(all, members)) };
  }

  impactOf(documents: readonly PolicyDocument[]): PolicyImpact {
    const edits = documents.map(editOf);
    return impactOf(this.#groupsAfter(edits, this.#membersAfter(edits)));
  }

  #documentErrors(
    documents: readonly PolicyDocument[],
    context: { readonly pruned: readonly Edit[]; readonly pointer: string },
  ): readonly FaultError[] {
    const errors: FaultError[] = [];
    const first = new Map<string, number>();
    const groups = new Set<Name>(this.#options.groups.names());
    for (const edit of context.pruned) if (edit.kind === 'Group') groups.delete(edit.name);
    for (const document of documents) if (document.kind === 'Group') groups.add(document.name);
    documents.forEach((document, index) => {
      const at = `${context.pointer}/${index}`;
      const name = nameOf(document);
      const place = document.kind === 'Group' ? `${at}/name` : `${at}/group`;
      const key = `${document.kind} ${name}`;
      const earlier = first.get(key);
      if (earlier === undefined) first.set(key, index);
      else errors.push({ pointer: place, detail: `is the ${key} of document ${earlier} again` });
      if (document.kind === 'Group') {
        errors.push(...groupErrors(document, at));
      } else {
        errors.push(...grantErrors(document, at));
        if (!groups.has(name)) {
          errors.push({ pointer: place, detail: `group.unknown: there is no group ${name}` });
        }
      }
    });
    return errors;
  }

  /** Deletions of everything that no edit names. */
  #unnamed(edits: readonly Edit[]): readonly Edit[] {
    const named = new Set(edits.map((edit) => `${edit.kind} ${edit.name}`));
    const deletions: Edit[] = [];
    for (const name of this.#options.grants.names()) {
      if (!named.has(`Grant ${name}`)) deletions.push({ kind: 'Grant', name, after: undefined });
    }
    for (const name of this.#options.groups.names()) {
      if (!named.has(`Group ${name}`)) deletions.push({ kind: 'Group', name, after: undefined });
    }
    return deletions;
  }

  #plan(
    edits: readonly Edit[],
    members: ReadonlyMap<Name, ReadonlySet<IndexedWorkload>>,
    nowMs = this.#options.clock.wallMs(),
  ): PolicyPlan {
    const writes: RecordWrite[] = [];
    const expectations = new Map<string, RecordExpectation>();
    const { groups, grants } = this.#options;
    const expectGroup = (name: Name): unknown =>
      expectations.set(`Group ${name}`, groups.expectAsSeen(name));
    const expectGrant = (name: Name): unknown =>
      expectations.set(`Grant ${name}`, grants.expectAsSeen(name));
    const changes = edits.map((edit) => this.#changeOf(edit, members));
    edits.forEach((edit, index) => {
      if (changes[index]?.change === 'unchanged') return;
      if (edit.kind === 'Group') {
        writes.push(
          edit.after === undefined ? groups.remove(edit.name) : groups.put(edit.after, nowMs),
        );
        expectGroup(edit.name);
        // Seen without a grant, or with one that this plan deletes too.
        if (edit.after === undefined) expectGrant(edit.name);
      } else {
        writes.push(
          edit.after === undefined ? grants.remove(edit.name) : grants.put(edit.after, nowMs),
        );
        expectGrant(edit.name);
        if (edit.after !== undefined) expectGroup(edit.name);
      }
    });
    return { writes, expectations: [...expectations.values()], changes };
  }

  #changeOf(edit: Edit, members: ReadonlyMap<Name, ReadonlySet<IndexedWorkload>>): DocumentChange {
    const { kind, name } = edit;
    const { before, after } = this.#texts(edit);
    const texts = {
      ...(before === undefined ? {} : { before: clipped(before) }),
      ...(after === undefined ? {} : { after: clipped(after) }),
    };
    if (edit.after === undefined) return { kind, name, change: 'delete', ...texts, warnings: [] };
    const warnings =
      edit.kind === 'Group'
        ? groupWarnings(edit.after, {
            members: this.#countAfter(name, members),
            pods: this.#options.index.podCount,
          })
        : grantWarnings(edit.after, this.#options.secretExists);
    if (before === undefined) return { kind, name, change: 'create', ...texts, warnings };
    return { kind, name, change: before === after ? 'unchanged' : 'update', ...texts, warnings };
  }

  #texts(edit: Edit): { readonly before: string | undefined; readonly after: string | undefined } {
    if (edit.kind === 'Group') {
      const before = this.#options.groups.get(edit.name)?.value;
      return { before: before && groupText(before), after: edit.after && groupText(edit.after) };
    }
    const before = this.#options.grants.get(edit.name)?.value;
    return { before: before && grantText(before), after: edit.after && grantText(edit.after) };
  }

  #countAfter(name: Name, members: ReadonlyMap<Name, ReadonlySet<IndexedWorkload>>): number {
    return (members.get(name) ?? this.#options.index.group(name)?.members)?.size ?? 0;
  }

  /** Members of each group that an edit changes, as they would be. */
  #membersAfter(edits: readonly Edit[]): ReadonlyMap<Name, ReadonlySet<IndexedWorkload>> {
    const members = new Map<Name, ReadonlySet<IndexedWorkload>>();
    const changed: Group[] = [];
    for (const edit of edits) {
      if (edit.kind !== 'Group') continue;
      if (edit.after === undefined) members.set(edit.name, new Set());
      else if (!this.#isUnchanged(edit)) changed.push(edit.after);
    }
    const selectors = changed.map((group) => compileSelector(group.match));
    const selected = this.#options.index.selectMany(selectors);
    changed.forEach((group, index) => members.set(group.name, selected[index] ?? new Set()));
    return members;
  }

  #groupsAfter(
    edits: readonly Edit[],
    members: ReadonlyMap<Name, ReadonlySet<IndexedWorkload>>,
  ): readonly GroupAfter[] {
    const { index, leaseMsDefault } = this.#options;
    const changed = edits.filter((edit) => !this.#isUnchanged(edit));
    const grants = new Map(
      changed.flatMap((edit) => (edit.kind === 'Grant' ? [[edit.name, edit.after] as const] : [])),
    );
    return [...new Set(changed.map((edit) => edit.name))].map((name): GroupAfter => {
      const now = index.group(name);
      const edited = grants.get(name);
      const compiled = edited && compileGrant(edited, leaseMsDefault);
      return {
        name,
        now,
        members: members.get(name) ?? now?.members ?? new Set(),
        grant: grants.has(name) ? compiled : now?.grant,
      };
    });
  }

  #isUnchanged(edit: Edit): boolean {
    const { before, after } = this.#texts(edit);
    return before === after;
  }
}

function editOf(document: PolicyDocument): Edit {
  if (document.kind === 'Group') {
    const { name, match } = document;
    return { kind: 'Group', name, after: { name, match } };
  }
  const { kind, ...grant } = document;
  return { kind, name: grant.group, after: grant };
}

function nameOf(document: PolicyDocument): Name {
  return document.kind === 'Group' ? document.name : document.group;
}

/** @throws Fault `request.invalid` if there are any. */
function refuse(what: string, errors: readonly FaultError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  throw new Fault(
    'request.invalid',
    { what, at: first.pointer, problem: first.detail },
    { errors: errors.slice(0, errorsMax) },
  );
}

/** @throws Fault `resource.unknown` */
function refuseUnknown(seen: Versioned<unknown> | undefined, resource: string): void {
  if (seen === undefined) throw new Fault('resource.unknown', { resource });
}
