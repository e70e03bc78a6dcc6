/** What delivery writes on the audit log: ids, names, versions and outcomes. */
import type { HeldFile, SetReceipt } from '../../model/assignment.ts';
import { gatewayPrincipal, type Principal } from '../../model/principal.ts';
import type { AuditEntry } from '../audit/audit.ts';
import type { SecretId } from '../../model/id.ts';
import type { SelectableFacts } from '../policy/policy.ts';
import type { Difference, DueSet } from './difference.ts';

const base = { principal: gatewayPrincipal, outcome: 'ok', requestId: '' } as const;

/** One entry for each secret that this set brings, replaces or takes away; at least one in all. */
export function assignEntries(
  workload: SelectableFacts,
  due: DueSet,
  change: Difference,
  nameOf: (secretId: SecretId) => string,
): readonly AuditEntry[] {
  const { id, name: container, node } = workload;
  const { target } = due;
  // Details in the order in which they are encoded: there is nothing to sort then.
  const detailOf = ({ name: file, version }: HeldFile) => ({
    container,
    file,
    node,
    target,
    version: String(version),
    workload: id,
  });
  const entries: AuditEntry[] = [];
  for (const file of change.sent) {
    entries.push({
      ...base,
      action: 'delivery.assign',
      resource: `secrets/${file.wanted.secret}`,
      rule: `group ${file.wanted.group}`,
      detail: detailOf(file),
    });
  }
  for (const file of change.withdrawn) {
    entries.push({
      ...base,
      action: 'delivery.withdraw',
      resource: `secrets/${nameOf(file.secretId)}`,
      rule: '',
      detail: detailOf(file),
    });
  }
  if (entries.length > 0) return entries;
  const detail = { container, node, target, workload: id };
  return [{ ...base, action: 'delivery.terms', resource: `workloads/${id}`, rule: '', detail }];
}

export function receiptEntry(
  node: string,
  workload: SelectableFacts | undefined,
  receipt: SetReceipt,
): AuditEntry {
  return {
    ...base,
    principal: nodePrincipal(node),
    action: 'delivery.receipt',
    resource: `workloads/${receipt.workloadId}`,
    outcome: receipt.outcome === 'failed' ? receipt.fault : 'ok',
    rule: '',
    detail: {
      container: workload?.name ?? '',
      holds: receipt.files.map(holdsText).join(' ').slice(0, 400),
      node,
      receipt: receipt.outcome,
      set: String(receipt.setRevision),
      target: receipt.target,
    },
  };
}

/** A node spoke of a workload that is not its own. */
export function claimRefusedEntry(node: string, workloadId: string, code: string): AuditEntry {
  return {
    ...base,
    principal: nodePrincipal(node),
    action: 'delivery.claim',
    resource: `workloads/${workloadId}`,
    outcome: code,
    rule: '',
    detail: { node },
  };
}

/** So much that a node said is not listed one by one. */
export function unlistedEntry(node: string, count: number): AuditEntry {
  return {
    ...base,
    principal: nodePrincipal(node),
    action: 'node.unlisted',
    resource: `nodes/${node}`,
    outcome: 'rate.exceeded',
    rule: '',
    detail: { count: String(count) },
  };
}

/** Something that a node did on its stream beside delivery. */
export interface NodeEvent {
  readonly action: string;
  /** `ok` or a fault code. */
  readonly outcome: string;
  readonly detail: Readonly<Record<string, string>>;
  /** The address it came from, where that is the point. */
  readonly source?: string;
}

export function nodeEventEntry(node: string, { source, ...event }: NodeEvent): AuditEntry {
  const resource = `nodes/${node}`;
  return { ...base, principal: nodePrincipal(node, source), resource, rule: '', ...event };
}

function nodePrincipal(node: string, source = 'stream'): Principal {
  return { kind: 'node', id: node, name: node, method: 'mtls', source };
}

function holdsText(file: HeldFile): string {
  return `${file.name}@${file.version}`;
}
