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
import { NestedTargets } from './nested-targets.ts';
import type {
  DocumentChange,
  DocumentsOptions,
  GroupStatus,
  PolicyDocument,
  PolicyImpact,
  PolicyPlan,
  PolicyPlans,
  Versioned,
} from './policy.ts';
import { compileSelector } from './selector.ts';
import { compileGrant, targetDefault } from './wanted.ts';

export interface PlannerOptions {
  readonly groups: NamedRecords<Group>;
  readonly grants: NamedRecords<Grant>;
  readonly index: EntitlementIndex;
  readonly secretExists: (name: SecretName) => boolean;
  readonly leaseMsDefault: number;
  readonly clock: Pick<Clock, 'wallMs'>;
}

/** What should be there under a name afterwards; undefined: nothing. */
type Wish =
  | { readonly kind: 'Group'; readonly name: Name; readonly after: Group | undefined }
  | { readonly kind: 'Grant'; readonly name: Name; readonly after: Grant | undefined };

/** With the texts of what is there and of what should be, made once: they are most of the work of a plan. */
type Edit = Wish & {
  readonly textBefore: string | undefined;
  readonly textAfter: string | undefined;
  readonly isUnchanged: boolean;
};

/** Errors of a whole directory of documents are told together, but not without end. */
const errorsMax = 1000;

export class Planner implements PolicyPlans {
  readonly #options: PlannerOptions;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  putGroup(group: Group): PolicyPlan & PolicyImpact & { readonly preview: GroupStatus } {
    refuse('group', groupErrors(group, ''));
    const nowMs = this.#options.clock.wallMs();
    const edits = [this.#edit({ kind: 'Group', name: group.name, after: group })];
    const members = this.#membersAfter(edits);
    const review = this.#review(edits, members);
    const preview = {
      value: group,
      revision: this.#options.groups.get(group.name)?.revision ?? 0,
      createdAtMs: this.#options.groups.createdAtMs(group.name, nowMs),
      members: this.#countAfter(group.name, members),
      warnings: review.changes.flatMap(({ warnings }) => warnings),
    };
    return { ...review, ...this.#write(edits, nowMs), preview };
  }

  deleteGroup(name: Name): PolicyPlan {
    refuseUnknown(this.#options.groups.get(name), `groups/${name}`);
    if (this.#options.grants.get(name) !== undefined) {
      throw new Fault('group.in-use', { group: name });
    }
    return this.#deletion({ kind: 'Group', name, after: undefined });
  }

  putGrant(grant: Grant): PolicyPlan & PolicyImpact & { readonly createdAtMs: number | undefined } {
    refuse('grant', grantErrors(grant, ''));
    const nowMs = this.#options.clock.wallMs();
    if (this.#options.groups.get(grant.group) === undefined) {
      throw new Fault('group.unknown', { group: grant.group });
    }
    const edits = [this.#edit({ kind: 'Grant', name: grant.group, after: grant })];
    const createdAtMs = this.#options.grants.createdAtMs(grant.group, nowMs);
    return { ...this.#review(edits), ...this.#write(edits, nowMs), createdAtMs };
  }

  deleteGrant(group: Name): PolicyPlan {
    refuseUnknown(this.#options.grants.get(group), `grants/${group}`);
    return this.#deletion({ kind: 'Grant', name: group, after: undefined });
  }

  #deletion(wish: Wish): PolicyPlan {
    const edits = [this.#edit(wish)];
    return { ...this.#review(edits), ...this.#write(edits) };
  }

  putDocuments(
    documents: readonly PolicyDocument[],
    options: DocumentsOptions = {},
  ): PolicyPlan & PolicyImpact {
    const edits = this.#editsOf(documents, options);
    return { ...this.#review(edits), ...this.#write(edits) };
  }

  reviewDocuments(
    documents: readonly PolicyDocument[],
    options: DocumentsOptions = {},
  ): Pick<PolicyPlan, 'changes'> & PolicyImpact {
    return this.#review(this.#editsOf(documents, options));
  }

  #editsOf(
    documents: readonly PolicyDocument[],
    { prune = false, pointer = '' }: DocumentsOptions,
  ): readonly Edit[] {
    const wishes = documents.map(wishOf);
    const pruned = prune ? this.#unnamed(wishes) : [];
    refuse('documents', this.#documentErrors(documents, { pruned, pointer }));
    const count = wishes.length + pruned.length;
    if (count > limits.documentChangesMax) {
      throw new Fault('limit.exceeded', { changes: count, max: limits.documentChangesMax });
    }
    return [...wishes, ...pruned].map((wish) => this.#edit(wish));
  }

  #documentErrors(
    documents: readonly PolicyDocument[],
    context: { readonly pruned: readonly Wish[]; readonly pointer: string },
  ): readonly FaultError[] {
    const errors: FaultError[] = [];
    const first = new Map<string, number>();
    const groups = new Set<Name>(this.#options.groups.names());
    for (const { kind, name } of context.pruned) if (kind === 'Group') groups.delete(name);
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

  /** Deletions of everything that no wish names. */
  #unnamed(wishes: readonly Wish[]): readonly Wish[] {
    const named = new Set(wishes.map((wish) => `${wish.kind} ${wish.name}`));
    const deletions: Wish[] = [];
    for (const name of this.#options.grants.names()) {
      if (!named.has(`Grant ${name}`)) deletions.push({ kind: 'Grant', name, after: undefined });
    }
    for (const name of this.#options.groups.names()) {
      if (!named.has(`Group ${name}`)) deletions.push({ kind: 'Group', name, after: undefined });
    }
    return deletions;
  }

  #review(
    edits: readonly Edit[],
    members = this.#membersAfter(edits),
  ): Pick<PolicyPlan, 'changes'> & PolicyImpact {
    const targets = new Map(
      edits.flatMap(({ kind, name, after }) =>
        kind === 'Grant' ? [[name, after && (after.target ?? targetDefault)] as const] : [],
      ),
    );
    const nested = new NestedTargets(this.#options.index, { targets, members });
    const warningsOf = (edit: Edit): readonly string[] => this.#warningsOf(edit, members, nested);
    const changes = edits.map((edit) => changeOf(edit, warningsOf(edit)));
    return { changes, ...impactOf(this.#groupsAfter(edits, members)) };
  }

  #write(
    edits: readonly Edit[],
    nowMs = this.#options.clock.wallMs(),
  ): Pick<PolicyPlan, 'writes' | 'expectations'> {
    const writes: RecordWrite[] = [];
    const expectations = new Map<string, RecordExpectation>();
    const { groups, grants } = this.#options;
    const expectGroup = (name: Name): unknown =>
      expectations.set(`Group ${name}`, groups.expectAsSeen(name));
    const expectGrant = (name: Name): unknown =>
      expectations.set(`Grant ${name}`, grants.expectAsSeen(name));
    for (const edit of edits) {
      if (edit.isUnchanged) continue;
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
    }
    return { writes, expectations: [...expectations.values()] };
  }

  #warningsOf(
    edit: Edit,
    members: ReadonlyMap<Name, ReadonlySet<IndexedWorkload>>,
    nested: NestedTargets,
  ): readonly string[] {
    const { index, secretExists } = this.#options;
    if (edit.after === undefined) return [];
    const targets = nested.of(edit.name);
    if (edit.kind === 'Grant') return grantWarnings(edit.after, { secretExists, nested: targets });
    const running = { members: this.#countAfter(edit.name, members), pods: index.podCount };
    // Once for both: whose grant is written too is told there.
    const isSaid = edit.isUnchanged || nested.isChanged(edit.name);
    return groupWarnings(edit.after, { ...running, nested: isSaid ? [] : targets });
  }

  #edit(wish: Wish): Edit {
    const [textBefore, textAfter] = this.#texts(wish);
    return { ...wish, textBefore, textAfter, isUnchanged: textBefore === textAfter };
  }

  #texts(wish: Wish): readonly [before: string | undefined, after: string | undefined] {
    if (wish.kind === 'Group') {
      const before = this.#options.groups.get(wish.name)?.value;
      return [before && groupText(before), wish.after && groupText(wish.after)];
    }
    const before = this.#options.grants.get(wish.name)?.value;
    return [before && grantText(before), wish.after && grantText(wish.after)];
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
      else if (!edit.isUnchanged) changed.push(edit.after);
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
    const changed = edits.filter((edit) => !edit.isUnchanged);
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
}

function wishOf(document: PolicyDocument): Wish {
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

function changeOf(edit: Edit, warnings: readonly string[]): DocumentChange {
  const { kind, name, textBefore: before, textAfter: after } = edit;
  const texts = {
    ...(before === undefined ? {} : { before: clipped(before) }),
    ...(after === undefined ? {} : { after: clipped(after) }),
  };
  return { kind, name, change: kindOf(edit), ...texts, warnings };
}

function kindOf({ textBefore, textAfter, isUnchanged }: Edit): DocumentChange['change'] {
  if (textAfter === undefined) return 'delete';
  if (textBefore === undefined) return 'create';
  return isUnchanged ? 'unchanged' : 'update';
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
