/** Delivery over records in memory, with nodes that answer as a test says. */
import { createLog } from '../base/log.ts';
import { Delivery, type DeliveryOptions, type NodeChannel } from '../gateway/delivery/delivery.ts';
import { gatewayPrincipal, type Principal } from '../model/principal.ts';
import type { AssignedSet, ReceiptOutcome, SetReceipt } from '../model/assignment.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { ManualClock } from './manual-clock.ts';
import { RequestRig } from './request-rig.ts';

/** A set as it was sent, with its values as text: the real ones are wiped by now. */
export interface SeenSet extends Omit<AssignedSet, 'files'> {
  readonly files: readonly (Omit<AssignedSet['files'][number], 'content'> & {
    readonly text: string;
  })[];
}

export class TestNode implements NodeChannel {
  readonly name: string;
  readonly seen: SeenSet[] = [];
  ready = true;

  constructor(name: string) {
    this.name = name;
  }

  send(set: AssignedSet): void {
    const files = set.files.map(({ content, ...file }) => ({
      ...file,
      text: content === 'keep' ? 'keep' : content.use((bytes) => bytes.toString('utf8')),
    }));
    this.seen.push({ ...set, files });
  }

  get last(): SeenSet {
    const last = this.seen.at(-1);
    if (!last) throw new Error('nothing was sent');
    return last;
  }
}

export class DeliveryRig {
  readonly clock = new ManualClock();
  readonly requests = new RequestRig({ clock: this.clock });
  readonly logLines: string[] = [];
  readonly delivery: Delivery;
  owner: Principal = gatewayPrincipal;

  constructor(more: Pick<DeliveryOptions, 'nodeRate'> = {}) {
    this.delivery = new Delivery({
      clock: this.clock,
      log: createLog({
        clock: this.clock,
        level: 'debug',
        write: (line) => this.logLines.push(line),
      }),
      audit: this.requests.audit,
      entitlements: this.requests.policy.entitlements,
      secrets: this.requests.secrets.reader,
      changes: this.requests.secrets.changes,
      values: this.requests.values,
      ...more,
    });
  }

  /** A group of every container called `api`, which gets `payments/db`. */
  static async make(more: Pick<DeliveryOptions, 'nodeRate'> = {}): Promise<DeliveryRig> {
    const rig = new DeliveryRig(more);
    const { requests } = rig;
    rig.owner = await requests.owner();
    await requests.put(rig.owner, 'payments/db', 'value 1');
    const match = { docker: { name: 'api' } };
    await requests.ask(rig.owner, 'group.put', { name: 'api', match });
    await rig.grant('api', ['payments/db']);
    return rig;
  }

  async grant(group: string, secrets: readonly string[], more: object = {}): Promise<void> {
    const revision = this.requests.policy.grant(this.requests.name(group))?.revision;
    const grant = { group, secrets: secrets.map((secret) => ({ secret })), ...more };
    const ifRevision = revision === undefined ? {} : { ifRevision: revision };
    await this.requests.ask(this.owner, 'grant.put', grant, ifRevision);
    this.delivery.changed();
  }

  connect(name: string, workloads: readonly WorkloadFacts[]): TestNode {
    const node = new TestNode(name);
    this.delivery.connected(name, node, { workloads, held: [] });
    return node;
  }

  /** Answers the last set. */
  answer(node: TestNode, outcome: ReceiptOutcome, more: Partial<SetReceipt> = {}): void {
    const { workloadId, target, setRevision, files, terms } = node.last;
    const held = outcome === 'placed' ? files : [];
    const there = held.map(({ name, secretId, version }) => ({ name, secretId, version }));
    this.delivery.receipt(node.name, {
      ...{ workloadId, target, setRevision, terms, outcome, fault: '', tookUs: 1 },
      files: there,
      ...more,
    });
  }

  /** Lets everything that is ready happen. */
  async settle(turns = 12): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) await this.clock.nextTurn();
  }
}

export function workload(number: number, node: string, name = 'api'): WorkloadFacts {
  return {
    id: `wld_${number.toString(16).padStart(32, '0')}`,
    runtime: 'docker',
    containerId: number.toString(16).padStart(64, '0'),
    name,
    node,
    image: { reference: 'api:1', id: '', digests: [] },
    labels: {},
    startedAtMs: 1,
    process: {
      ...{ pid: 1000 + number, startTicks: 1, mountNamespace: 1, userNamespace: 1 },
      ...{ cgroup: '/c', uid: 0, gid: 0, userNamespaced: false },
    },
    isolation: { privileged: false, hostPid: false, readOnlyRoot: false },
    proof: {} as WorkloadFacts['proof'],
  };
}
