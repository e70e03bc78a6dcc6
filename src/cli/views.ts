/** How each kind of thing looks as a row: name first, age last. */
import { grantSchema } from '../model/grant.ts';
import type { OperationOutput } from '../protocol/operations.ts';
import type { View } from './output.ts';
import type { Column } from './table.ts';
import { ageOf } from './relative-time.ts';

type Item<Body> = Body extends { readonly items: readonly (infer One)[] } ? One : never;
export type SecretItem = OperationOutput<'secret.get'>;
export type GroupItem = OperationOutput<'group.get'>;
export type GrantItem = OperationOutput<'grant.get'>;
export type NodeItem = Item<OperationOutput<'node.list'>>;
export type WorkloadItem = Item<OperationOutput<'workload.list'>>;
export type HoldingItem = Item<OperationOutput<'holding.list'>>;
export type TokenItem = Item<OperationOutput<'token.list'>>;
export type EntryItem = Item<OperationOutput<'audit.list'>>;

/** How long ago something was: the youngest is the first, what is unknown the last. */
function ageColumn<Item>(title: string, timeOf: (item: Item) => string | undefined): Column<Item> {
  return {
    title,
    of: (item, nowMs) => ageOf(timeOf(item), nowMs),
    sortKey(item) {
      const timeMs = Date.parse(timeOf(item) ?? '');
      return Number.isNaN(timeMs) ? Number.POSITIVE_INFINITY : -timeMs;
    },
  };
}

type Documented<T> = Required<Pick<View<T>, 'documentOf'>>;

export const secretView: View<SecretItem> = {
  kind: 'secret',
  nameOf: (secret) => secret.name,
  columns: [
    { title: 'NAME', of: (secret) => secret.name },
    { title: 'CURRENT', of: (secret) => versionText(secret.current) },
    { title: 'PREVIOUS', of: (secret) => versionText(secret.previous) },
    { title: 'PENDING', of: (secret) => versionText(secret.pending) },
    { title: 'VERSIONS', of: (secret) => String(secret.versions.length) },
    {
      title: 'STATE',
      of: stateOfSecret,
    },
    { title: 'LABELS', wide: true, of: (secret) => labelsText(secret.labels) },
    { title: 'DESCRIPTION', wide: true, of: (secret) => secret.description },
    ageColumn('AGE', (secret) => secret.createdAt),
  ],
};

export const groupView: View<GroupItem> & Documented<GroupItem> = {
  kind: 'group',
  nameOf: (group) => group.name,
  documentOf: ({ name, match }) => ({ kind: 'Group', name, match }),
  columns: [
    { title: 'NAME', of: (group) => group.name },
    { title: 'CONTAINERS', of: (group) => String(group.members) },
    { title: 'WARNINGS', of: (group) => group.warnings.join(',') },
    { title: 'MATCH', wide: true, of: (group) => JSON.stringify(group.match) },
    { title: 'REVISION', of: (group) => String(group.revision) },
    { title: 'AGE', of: (group, nowMs) => ageOf(group.createdAt, nowMs) },
  ],
};

export const grantView: View<GrantItem> & Documented<GrantItem> = {
  kind: 'grant',
  nameOf: (grant) => grant.group,
  documentOf: (grant) => ({
    kind: 'Grant',
    ...Object.fromEntries(
      Object.entries(grant).filter(([member]) => Object.hasOwn(grantSchema.members, member)),
    ),
  }),
  columns: [
    { title: 'GROUP', of: (grant) => grant.group },
    { title: 'SECRETS', of: (grant) => String(grant.secrets.length) },
    { title: 'TARGET', of: (grant) => grant.target ?? '/run/secrets' },
    { title: 'ON CHANGE', of: (grant) => grant.onChange?.signal ?? '' },
    { title: 'ON LEASE LOSS', of: (grant) => grant.onLeaseLoss ?? 'wipe' },
    {
      title: 'NAMES',
      wide: true,
      of: (grant) => grant.secrets.map(({ secret }) => secret).join(','),
    },
    { title: 'REVISION', of: (grant) => String(grant.revision) },
    { title: 'AGE', of: (grant, nowMs) => ageOf(grant.createdAt, nowMs) },
  ],
};

export const tokenView: View<TokenItem> = {
  kind: 'token',
  nameOf: (token) => token.name,
  columns: [
    { title: 'NAME', of: (token) => token.name },
    { title: 'ROLE', of: ({ bindings }) => bindings.map(({ role }) => role).join(',') },
    { title: 'PATHS', of: ({ bindings }) => bindings.flatMap(({ paths }) => paths).join(',') },
    { title: 'KIND', wide: true, of: (token) => token.kind },
    { title: 'ID', wide: true, of: (token) => token.id },
    { title: 'ENDS', of: (token) => token.endsAt ?? 'when revoked' },
    ageColumn('AGE', (token) => token.createdAt),
  ],
};

export const nodeView: View<NodeItem> = {
  kind: 'node',
  nameOf: (node) => node.name,
  columns: [
    { title: 'NAME', of: (node) => node.name },
    { title: 'STATE', of: (node) => node.state },
    { title: 'CONTAINERS', of: (node) => String(node.workloads) },
    ageColumn('LAST SEEN', (node) => node.lastSeenAt),
    { title: 'VERSION', wide: true, of: (node) => node.version ?? '' },
    { title: 'CERTIFICATE ENDS', wide: true, of: (node) => node.certificateEndsAt ?? '' },
    { title: 'WEAKENINGS', of: (node) => node.weakenings.join(',') },
    ageColumn('AGE', (node) => node.joinedAt),
  ],
};

export const workloadView: View<WorkloadItem> = {
  kind: 'workload',
  nameOf: (workload) => workload.id,
  columns: [
    { title: 'NAME', of: (workload) => workload.name },
    { title: 'NODE', of: (workload) => workload.node },
    { title: 'RUNTIME', of: (workload) => workload.runtime },
    { title: 'IMAGE', of: (workload) => workload.image },
    { title: 'GROUPS', of: (workload) => workload.groups.join(',') },
    { title: 'ID', wide: true, of: (workload) => workload.id },
    { title: 'DIGESTS', wide: true, of: (workload) => workload.imageDigests.join(',') },
    { title: 'LABELS', wide: true, of: (workload) => labelsText(workload.labels) },
    ageColumn('AGE', (workload) => workload.startedAt),
  ],
};

export const holdingView: View<HoldingItem> = {
  kind: 'holding',
  nameOf: (holding) => `${holding.workloadId}/${holding.file}`,
  columns: [
    { title: 'CONTAINER', of: (holding) => holding.workload },
    { title: 'NODE', of: (holding) => holding.node },
    { title: 'SECRET', of: (holding) => holding.secret },
    { title: 'FILE', of: (holding) => holding.file },
    { title: 'HOLDS', of: (holding) => versionText(holding.version) },
    { title: 'WANTED', of: (holding) => versionText(holding.wanted) },
    {
      title: 'STATE',
      of: (holding) =>
        holding.fault === undefined ? holding.state : `${holding.state} (${holding.fault})`,
    },
    { title: 'ID', wide: true, of: (holding) => holding.workloadId },
    ageColumn('SINCE', (holding) => holding.since),
  ],
};

export const entryView: View<EntryItem> = {
  kind: 'entry',
  plural: 'entries',
  nameOf: (entry) => String(entry.sequence),
  columns: [
    { title: 'SEQUENCE', of: (entry) => String(entry.sequence) },
    { title: 'TIME', of: (entry) => entry.time },
    { title: 'ACTOR', of: (entry) => entry.actor },
    { title: 'ACTION', of: (entry) => entry.action },
    { title: 'RESOURCE', of: (entry) => entry.resource },
    { title: 'OUTCOME', of: (entry) => entry.outcome },
    { title: 'RULE', wide: true, of: (entry) => entry.rule },
    { title: 'SOURCE', wide: true, of: (entry) => entry.source },
    { title: 'REQUEST', wide: true, of: (entry) => entry.requestId },
    { title: 'DETAIL', wide: true, of: (entry) => labelsText(entry.detail) },
  ],
};

function stateOfSecret(secret: SecretItem): string {
  if (secret.deletedAt !== undefined) return 'deleted';
  if (secret.current === 0) return 'no current version';
  return stateOfVersion(secret, secret.current);
}

/** `stored`, `revoked` or `destroyed`. */
export function stateOfVersion(secret: SecretItem, number: number): string {
  return secret.versions.find((version) => version.number === number)?.state ?? 'destroyed';
}

/** Versions count from 1; 0 says that there is none. */
export function versionText(version: number): string {
  return version === 0 ? '-' : String(version);
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
