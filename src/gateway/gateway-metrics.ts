/**
 * What the gateway counts beyond HTTP, in Prometheus' terms. Labels are outcomes and states, never
 * names of secrets, users, nodes or containers.
 */
import type { Metrics } from '../base/metrics.ts';
import { version } from '../base/version.ts';
import type { ReceiptOutcome } from '../model/assignment.ts';
import type { AuditState } from './audit/audit.ts';
import type { Core } from './core.ts';
import { HoldingCensus, holdingStates } from './delivery/delivery.ts';
import type { NodePort } from './node-port.ts';

const outcomes = ['placed', 'gone', 'failed', 'stale', 'wiped'] as const satisfies ReceiptOutcome[];
const states = [
  'sealed',
  'ready',
  'read-only',
  'rollback-suspected',
] as const satisfies AuditState[];

/** Where gauges are read. */
export interface GatewayGauges {
  readonly core: {
    readonly audit: Pick<Core['audit'], 'size' | 'state'>;
    readonly secrets: { readonly reader: Pick<Core['secrets']['reader'], 'size'> };
    readonly delivery: Pick<Core['delivery'], 'holdings' | 'entriesWaiting'>;
    readonly policy: { readonly entitlements: Pick<Core['policy']['entitlements'], 'workloads'> };
  };
  readonly nodePort: Pick<NodePort, 'connected' | 'certificateEndsAtMs'>;
}

export interface GatewayMetrics {
  /** A node acknowledged a set; `seconds` since it was sent. */
  acknowledged(outcome: ReceiptOutcome, seconds: number): void;
  /** A commit became durable, so many seconds after it was begun. */
  committed(seconds: number): void;
  /** @returns What brings the gauges up to date; each time the census counts some more. */
  updating(from: GatewayGauges): () => void;
}

export function declareGatewayMetrics(metrics: Metrics): GatewayMetrics {
  const build = metrics.gauge({
    name: 'coffer_build_info',
    help: 'Always 1; the version is the label.',
    labels: { version: [version] },
  });
  const delivery = metrics.histogram({
    name: 'coffer_delivery_duration_seconds',
    help: 'From sending a set to the receipt for it.',
    labels: { result: outcomes },
  });
  const commits = metrics.histogram({
    name: 'coffer_commit_duration_seconds',
    help: 'Making one commit durable, with all requests that share it.',
    labels: {},
  });
  const holdings = metrics.gauge({
    name: 'coffer_holdings',
    help: 'Files that are in containers or should be, by state, at the last count of all.',
    labels: { state: holdingStates },
  });
  const state = metrics.gauge({
    name: 'coffer_state',
    help: '1 for the state that the gateway is in.',
    labels: { state: states },
  });
  const simple = (name: string, help: string) => metrics.gauge({ name, help, labels: {} });
  const entries = simple('coffer_audit_entries', 'Entries in the audit log.');
  const waiting = simple(
    'coffer_audit_entries_waiting',
    'Entries about what nodes did that are not in the audit log yet.',
  );
  const connected = simple('coffer_nodes_connected', 'Nodes with an open stream.');
  const secrets = simple('coffer_secrets', 'Secrets, deleted ones included.');
  const certificate = metrics.gauge({
    name: 'coffer_cert_expiry_timestamp_seconds',
    help: 'When a certificate of the gateway ends.',
    labels: { kind: ['node-port'] },
  });
  build.set({ version }, 1);
  return {
    acknowledged: (result, seconds) => delivery.observe({ result }, seconds),
    committed: (seconds) => commits.observe({}, seconds),
    updating({ core, nodePort }) {
      const { entitlements } = core.policy;
      const census = new HoldingCensus({ delivery: core.delivery, entitlements });
      return () => {
        const counts = census.step();
        for (const name of holdingStates) holdings.set({ state: name }, counts[name]);
        for (const name of states) state.set({ state: name }, name === core.audit.state ? 1 : 0);
        entries.set({}, core.audit.size);
        waiting.set({}, core.delivery.entriesWaiting);
        connected.set({}, nodePort.connected);
        secrets.set({}, core.secrets.reader.size);
        certificate.set({ kind: 'node-port' }, nodePort.certificateEndsAtMs / 1000);
      };
    },
  };
}
