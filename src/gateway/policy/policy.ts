/**
 * Policy: what principals may do, and what workloads are entitled to. The face of the room.
 *
 * Two questions, both answered from memory and without any effect. *May this principal do that?* is
 * `decide`: roles bound to path patterns, default deny. *What should this workload hold?* is
 * `Entitlements.wantedFor`: groups select workloads by attested facts, grants give secrets to groups.
 *
 * Promises
 *   - Nothing is allowed or wanted unless a rule says so; the rule is named in the answer.
 *   - Names are compared byte for byte. A spelling that is not canonical is denied, never folded.
 *   - What `wantedFor` says is what a computation from nothing would say: the index is an index.
 *   - A plan is computed from what is in memory and expects the records to be as they were then, so
 *     two changes that meet cannot both be committed.
 * Does not promise
 *   - Anything while records are being loaded: groups and grants are then missing, and what they
 *     grant is not wanted. Delivery must wait for the end of the load before it withdraws.
 *   - That a secret exists or has a version. Grants may come before their secrets.
 */
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import type { FaultCode } from '../../base/fault-table.ts';
import type { Grant, SignalName, WorkloadUpdate } from '../../model/grant.ts';
import type { Group } from '../../model/group.ts';
import type { Name, SecretName } from '../../model/name.ts';
import type { WorkloadFacts, WorkloadId } from '../../model/workload.ts';
import type { Projection, RecordExpectation, RecordWrite, View } from '../barrier/barrier.ts';
import { NamedRecords, grantCodec, groupCodec } from './catalog.ts';
import { grantWarnings, groupWarnings, secretUnknown } from './document-check.ts';
import { EntitlementIndex } from './entitlement-index.ts';
import { explainAccess, whoReceives } from './explain.ts';
import { NestedTargets } from './nested-targets.ts';
import { Planner } from './planner.ts';

export { type Asked, covers, type Decision, decide, permits, type Role } from './role.ts';
export type { WorkloadUpdate } from '../../model/grant.ts';

/** The facts that groups can select on. */
export type SelectableFacts = Pick<
  WorkloadFacts,
  'id' | 'runtime' | 'name' | 'node' | 'image' | 'labels' | 'kubernetes'
> &
  /** To be shown; nothing selects on it. */
  Partial<Pick<WorkloadFacts, 'startedAtMs'>>;

/** Without what nothing selects on: many workloads are kept. */
export function selectableFacts(workload: WorkloadFacts): SelectableFacts {
  const { id, runtime, name, node, image, labels, kubernetes, startedAtMs } = workload;
  const pod = kubernetes === undefined ? {} : { kubernetes };
  return { id, runtime, name, node, image, labels, ...pod, startedAtMs };
}

/** One file that a workload should hold, if its secret has a version to deliver. */
export interface WantedFile {
  readonly secret: SecretName;
  readonly file: Name;
  /** Permission bits. */
  readonly mode: number;
  /** As numbered inside the container; the container's own user when left out. */
  readonly uid?: number;
  readonly gid?: number;
  /** The group that entitles: the rule that audit names. */
  readonly group: Name;
}

/** A file that a grant asks for and that is not delivered, because it cannot be. */
export interface RefusedFile {
  readonly secret: SecretName;
  readonly file: Name;
  readonly group: Name;
  /** `grant.file-collision`: another group has the name. `limit.exceeded`: the set is full. */
  readonly fault: FaultCode & ('grant.file-collision' | 'limit.exceeded');
  /** The group that has the file instead, for a collision. */
  readonly instead?: Name;
}

/**
 * Everything due in one directory of one workload. Grants that share a directory are merged, and
 * where they disagree the strictest wins: `wipe` over `keep`, the shortest lease, every signal.
 */
export interface WantedSet {
  readonly target: string;
  /** By file name, ascending; each name once. */
  readonly files: readonly WantedFile[];
  readonly refused: readonly RefusedFile[];
  /** Ascending, each once. */
  readonly signals: readonly SignalName[];
  readonly onLeaseLoss: 'wipe' | 'keep';
  readonly leaseMs: number;
}

export interface PolicyOptions {
  /** Views of the kinds `group` and `grant`. */
  readonly groups: View;
  readonly grants: View;
  /** For warnings only: whether a secret of this name exists. */
  readonly secretExists: (name: SecretName) => boolean;
  /** For grants that name no lease of their own. */
  readonly leaseMsDefault: number;
  readonly clock: Pick<Clock, 'wallMs'>;
}

export interface Versioned<T> {
  readonly value: T;
  /** Of the commit that wrote it; for ETag and If-Match. */
  readonly revision: number;
  /** Unknown of what an earlier version wrote. */
  readonly createdAtMs: number | undefined;
}

export interface GroupStatus extends Versioned<Group> {
  /** Running workloads that match now. */
  readonly members: number;
  /** By code: see `document-check.ts`. */
  readonly warnings: readonly string[];
}

export interface GrantStatus extends Versioned<Grant> {
  /** By code: see `document-check.ts`. */
  readonly warnings: readonly string[];
}

/** A change of one group or grant as people see it. */
export interface DocumentChange {
  readonly kind: 'Group' | 'Grant';
  readonly name: Name;
  readonly change: 'create' | 'update' | 'delete' | 'unchanged';
  /** YAML text. Policy holds no values. */
  readonly before?: string;
  readonly after?: string;
  readonly warnings: readonly string[];
}

/** A running workload whose secrets a plan changes, or how they are delivered. */
export interface WorkloadImpact {
  /** Its name. */
  readonly workload: string;
  readonly node: string;
  readonly gains: readonly SecretName[];
  readonly loses: readonly SecretName[];
  /** What changes about the secrets that it keeps. */
  readonly updates: readonly WorkloadUpdate[];
}

/** Not carried out yet: a commit takes `writes` and `expectations`, all of them or none. */
export interface PolicyPlan {
  /** Empty if nothing changes. */
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
  readonly changes: readonly DocumentChange[];
}

export interface PolicyImpact {
  /** The first so many, by workload id. */
  readonly impact: readonly WorkloadImpact[];
  readonly impactTotal: number;
}

/** One YAML document, as data. */
export type PolicyDocument =
  | ({ readonly kind: 'Group' } & Group)
  | ({ readonly kind: 'Grant' } & Grant);

export interface ExplainStep {
  readonly rule: string;
  readonly verdict: 'allows' | 'does-not-match' | 'denies';
  readonly because: string;
}

export interface AccessExplanation {
  readonly allowed: boolean;
  /** What decided comes first, then near misses, nearest first. */
  readonly steps: readonly ExplainStep[];
}

export interface Receivers {
  readonly groups: readonly Name[];
  /** By workload id; the first so many. */
  readonly workloads: readonly {
    readonly id: WorkloadId;
    readonly name: string;
    readonly node: string;
    readonly group: Name;
    readonly file: Name;
  }[];
  /** `secret-unknown: NAME`: there is no such secret, or not yet, so what is said is what would be. */
  readonly warnings: readonly string[];
}

export interface NameRange {
  /** Names that start with this. */
  readonly prefix?: string;
  /** Strictly after this name. */
  readonly after?: string;
}

export interface WorkloadRange {
  /** From this id on. */
  readonly from?: string;
  readonly node?: string;
}

/** The part that delivery uses. No I/O, no clock: calls return at once. */
export interface Entitlements {
  /**
   * Adds a workload, or replaces its facts.
   *
   * @throws Fault `workload.elsewhere` if another node has it: a node cannot take over a workload.
   */
  setWorkload(facts: SelectableFacts): void;
  removeWorkload(id: WorkloadId): void;
  workload(id: WorkloadId): SelectableFacts | undefined;
  readonly workloadCount: number;
  /** In order of ids. None may be set or removed while they are read: take what is needed at once. */
  workloads(range?: WorkloadRange): Iterable<SelectableFacts>;
  /** Ids of the workloads of one node, in no order. They may be removed while they are read. */
  workloadsOn(node: string): Iterable<WorkloadId>;
  countOn(node: string): number;

  /** By target, ascending. Empty for an unknown workload and for one that is granted nothing. */
  wantedFor(id: WorkloadId): readonly WantedSet[];
  /** Names of the groups that match, ascending. */
  groupsOf(id: WorkloadId): readonly Name[];
  /** Of all sets that are wanted on a node; infinite where none is. */
  shortestLeaseMs(node: string): number;

  /** Whether a grant that names this secret reaches the workload. */
  isGranted(id: WorkloadId, secret: SecretName): boolean;
  /** Workloads of which that is so: those to look at when it changes. Some may come more than once. */
  affectedBySecret(secret: SecretName): Iterable<WorkloadId>;
  /**
   * Workloads whose wanted sets may have changed through groups or grants since the last call. Whoever
   * sets a workload knows of that one. One caller drains it: delivery.
   */
  takeAffected(): ReadonlySet<WorkloadId>;
}

export interface DocumentsOptions {
  /** Also delete groups and grants that no document names. */
  readonly prune?: boolean;
  /** Where the documents stand in the input, for the pointers of errors. */
  readonly pointer?: string;
}

/** What changes of groups and grants come to. Nothing is carried out. */
export interface PolicyPlans {
  /**
   * @returns Also the group as it will be, at the revision it has now (0 if it is new).
   * @throws Fault `request.invalid`
   */
  putGroup(group: Group): PolicyPlan & PolicyImpact & { readonly preview: GroupStatus };
  /** @throws Fault `resource.unknown`, `group.in-use` */
  deleteGroup(name: Name): PolicyPlan;
  /** @throws Fault `request.invalid`, `group.unknown` */
  putGrant(grant: Grant): PolicyPlan & PolicyImpact & { readonly createdAtMs: number | undefined };
  /** @throws Fault `resource.unknown` */
  deleteGrant(group: Name): PolicyPlan;
  /**
   * Plans whole documents, all or nothing. Order does not matter.
   *
   * @throws Fault `request.invalid` with every error found, by pointer; `limit.exceeded`
   */
  putDocuments(
    documents: readonly PolicyDocument[],
    options?: DocumentsOptions,
  ): PolicyPlan & PolicyImpact;
  /** What putting them would change. @throws as `putDocuments` does */
  reviewDocuments(
    documents: readonly PolicyDocument[],
    options?: DocumentsOptions,
  ): Pick<PolicyPlan, 'changes'> & PolicyImpact;
}

/** The room: empty until the barrier feeds its projections. */
export class Policy {
  readonly entitlements: Entitlements;
  readonly plans: PolicyPlans;
  /** To be fed by the barrier: kinds `group` and `grant`. */
  readonly projections: readonly Projection[];
  readonly #index: EntitlementIndex;
  readonly #groups: NamedRecords<Group>;
  readonly #grants: NamedRecords<Grant>;
  readonly #secretExists: PolicyOptions['secretExists'];

  constructor(options: PolicyOptions) {
    const { secretExists, leaseMsDefault, clock } = options;
    const index = new EntitlementIndex({ leaseMsDefault });
    const groups = new NamedRecords<Group>(options.groups, groupCodec, {
      set: (group) => index.setGroup(group.name, group.match),
      remove: (name) => index.removeGroup(name),
      clear: () => index.clearGroups(),
    });
    const grants = new NamedRecords<Grant>(options.grants, grantCodec, {
      set: (grant) => index.setGrant(grant),
      remove: (name) => index.removeGrant(name),
      clear: () => index.clearGrants(),
    });
    this.entitlements = index;
    this.plans = new Planner({ groups, grants, index, secretExists, leaseMsDefault, clock });
    this.projections = [groups, grants];
    this.#index = index;
    this.#groups = groups;
    this.#grants = grants;
    this.#secretExists = secretExists;
  }

  group(name: Name): GroupStatus | undefined {
    const stored = this.#groups.get(name);
    if (stored === undefined) return undefined;
    const members = this.#index.group(name)?.members.size ?? 0;
    const running = { members, pods: this.#index.podCount };
    return { ...stored, members, warnings: groupWarnings(stored.value, running) };
  }

  grant(group: Name): GrantStatus | undefined {
    const stored = this.#grants.get(group);
    if (stored === undefined) return undefined;
    const nested = new NestedTargets(this.#index, { targets: new Map(), members: new Map() }).of(
      group,
    );
    const warnings = grantWarnings(stored.value, { secretExists: this.#secretExists, nested });
    return { ...stored, warnings };
  }

  /** In order. Nothing may be committed while they are read. */
  groupNames(range: NameRange): Iterable<Name> {
    return this.#groups.names(range);
  }

  /** Names of the groups that have a grant, likewise. */
  grantNames(range: NameRange): Iterable<Name> {
    return this.#grants.names(range);
  }

  get groupCount(): number {
    return this.#groups.size;
  }

  get grantCount(): number {
    return this.#grants.size;
  }

  /**
   * Explains why a workload receives a secret, or why not.
   *
   * @throws Fault `resource.unknown` if there is no such secret and no grant names it either
   */
  explainAccess(id: WorkloadId, secret: SecretName): AccessExplanation {
    const workload = this.#index.entry(id);
    if (workload === undefined) {
      throw new Fault('resource.unknown', { resource: `workloads/${id}` });
    }
    this.#refuseUnknown(secret);
    return explainAccess(this.#index, {
      workload,
      secret,
      secretExists: this.#secretExists(secret),
    });
  }

  /**
   * Groups and running workloads that receive a secret.
   *
   * @throws Fault `resource.unknown` if there is no such secret and no grant names it either
   */
  whoReceives(secret: SecretName): Receivers {
    this.#refuseUnknown(secret);
    const warnings = this.#secretExists(secret) ? [] : [secretUnknown(secret)];
    return { ...whoReceives(this.#index, secret), warnings };
  }

  /**
   * Finds a workload by id, or by name if that is unique.
   *
   * @throws Fault `resource.unknown`; `request.invalid` if several have the name
   */
  findWorkload(idOrName: string): SelectableFacts {
    const exact = this.#index.workload(idOrName as WorkloadId);
    if (exact !== undefined) return exact;
    const named: SelectableFacts[] = [];
    for (const facts of this.#index.workloads()) if (facts.name === idOrName) named.push(facts);
    const [only] = named;
    if (only === undefined) {
      // Not by the name that was given: what stands in a wrong field may be a value.
      throw new Fault('resource.unknown', { kind: 'workload' });
    }
    if (named.length > 1) {
      const problem = `${named.length} running workloads have this name: give an id`;
      throw new Fault('request.invalid', { what: 'workload', at: '/workload', problem });
    }
    return only;
  }

  /** Of a name that nothing knows, "nobody" would be the answer to a slip of the finger. */
  #refuseUnknown(secret: SecretName): void {
    if (this.#secretExists(secret) || this.#index.groupsGranted(secret).length > 0) return;
    throw new Fault('resource.unknown', { resource: `secrets/${secret}` });
  }
}
