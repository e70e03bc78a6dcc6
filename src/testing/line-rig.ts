/**
 * The line of a set with both ends real: policy, secrets, delivery and sessions here, holdings and sessions
 * there. Storage and log are in memory, time is virtual, and a test decides what the network and the
 * kernel do.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createLog } from '../base/log.ts';
import { signCheckpoint } from '../crypto/checkpoint.ts';
import { emptyRoot } from '../crypto/merkle.ts';
import { formatVerifier, noteSigner } from '../crypto/note.ts';
import { Delivery, type HoldingsAsked, type HoldingStatus } from '../gateway/delivery/delivery.ts';
import { Session } from '../gateway/stream/session.ts';
import { Presence } from '../gateway/stream/stream.ts';
import { gatewayPrincipal, type Principal } from '../model/principal.ts';
import type { SecretId } from '../model/id.ts';
import type { SecretValue } from '../model/secret-value.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { fakeFacts, FakeRuntime } from './fake-runtime.ts';
import { RequestRig } from './request-rig.ts';
import { SimTime } from './sim-clock.ts';
import { SimConnection } from './sim-network.ts';
import { SimNode } from './sim-node.ts';
import { SeededRandom } from './sim-random.ts';

const leaseEveryMs = 2000;
export const checkpointEveryMs = 5000;

export class LineRig {
  readonly random = new SeededRandom(1);
  readonly time = new SimTime(this.random);
  readonly clock = this.time.clock();
  readonly runtime = new FakeRuntime();
  readonly lines: string[] = [];
  readonly nodes = new Map<string, SimNode>();
  readonly connections = new Map<string, SimConnection>();
  readonly sessions = new Map<string, Session>();
  /** Files sent with their value, and files that the node was told to keep. */
  readonly counts = { sent: 0, kept: 0 };
  /** Values opened for sending: to look at what became of them. */
  readonly opened: SecretValue[] = [];
  /** Throws in place of a value. */
  opening: (secretId: SecretId) => void = () => {};
  requests = new RequestRig({ clock: this.clock });
  delivery: Delivery;
  owner: Principal = gatewayPrincipal;
  #revision = 0;
  readonly #signer = noteSigner('note', 'log', generateKeyPairSync('ed25519').privateKey);
  readonly #log = createLog({
    clock: this.clock,
    level: 'debug',
    write: (line) => void this.lines.push(line),
  });

  constructor() {
    this.delivery = this.#makeDelivery();
  }

  /** Containers called `api` or `api-…` get `shop/db`, which exists. */
  static async make(): Promise<LineRig> {
    const rig = new LineRig();
    rig.owner = await rig.requests.owner();
    await rig.put('shop/db', 'one');
    await rig.group('api', 'api*');
    await rig.grant('api', [{ secret: 'shop/db' }]);
    return rig;
  }

  /** The gateway is started anew over the same records; its nodes come back. */
  restartGateway(): void {
    this.delivery.close();
    for (const connection of this.connections.values()) connection.cut('killed');
    this.requests = new RequestRig({ clock: this.clock, records: this.requests.records });
    this.delivery = this.#makeDelivery();
  }

  async put(name: string, text: string): Promise<void> {
    await this.requests.put(this.owner, name, text);
    this.delivery.changed();
  }

  async ask(operation: Parameters<RequestRig['ask']>[1], input: object, ifRevision?: number) {
    const more = ifRevision === undefined ? {} : { ifRevision };
    await this.requests.ask(this.owner, operation, { ...input }, more);
    this.delivery.changed();
  }

  async group(name: string, container: string): Promise<void> {
    const revision = this.requests.policy.group(this.requests.name(name))?.revision;
    await this.ask('group.put', { name, match: { docker: { name: container } } }, revision);
  }

  async grant(group: string, secrets: readonly object[], more: object = {}): Promise<void> {
    const revision = this.requests.policy.grant(this.requests.name(group))?.revision;
    await this.ask('grant.put', { group, secrets, ...more }, revision);
  }

  async removeGrant(group: string): Promise<void> {
    const revision = this.requests.policy.grant(this.requests.name(group))?.revision;
    await this.ask('grant.delete', { group }, revision);
  }

  async node(name: string): Promise<SimNode> {
    const { time, random } = this;
    const node = new SimNode({ name, time, random, log: this.#log, dial: () => this.#dial(name) });
    this.nodes.set(name, node);
    node.startEnforcer();
    await time.pass(3000);
    return node;
  }

  async container(node: SimNode, name = 'api'): Promise<WorkloadFacts> {
    const facts = fakeFacts(this.runtime.start({ name }), { kind: 'docker', node: node.name });
    node.startContainer(facts);
    await this.time.pass(500);
    return facts;
  }

  read(node: SimNode, workload: WorkloadFacts, target?: string): Record<string, string> {
    return Object.fromEntries(node.kernel.read(workload.process, target));
  }

  /** `file version/wanted state`, with the fault if there is one. */
  holdings(asked: HoldingsAsked = {}): readonly string[] {
    const text = ({ file, version, wanted, state, fault }: HoldingStatus): string =>
      `${file} ${version}/${wanted} ${state}${fault === undefined ? '' : ` ${fault}`}`;
    return [...this.delivery.holdings(asked)].map(text).toSorted();
  }

  /** Actions and outcomes on the log from an entry on. */
  actions(from = 0): readonly string[] {
    return this.requests.audit.kept
      .slice(from)
      .map(({ action, outcome }) => (outcome === 'ok' ? action : `${action} ${outcome}`));
  }

  #makeDelivery(): Delivery {
    const { clock, requests } = this;
    const { audit } = requests;
    return new Delivery({
      clock,
      log: this.#log,
      // Revisions rise with every commit, as those of a storage do.
      audit: {
        get state() {
          return audit.state;
        },
        commit: async (request) => {
          const receipt = await audit.commit(request);
          this.#revision = Math.max(this.#revision + 1, receipt.revision);
          return { ...receipt, revision: this.#revision };
        },
      },
      entitlements: requests.policy.entitlements,
      secrets: requests.secrets.reader,
      changes: requests.secrets.changes,
      values: {
        openValue: async (secretId, version) => {
          this.opening(secretId);
          const value = await requests.values.openValue(secretId, version);
          this.opened.push(value);
          return value;
        },
      },
    });
  }

  #dial(node: string) {
    const connection = new SimConnection(this.time, this.random);
    this.connections.get(node)?.cut('replaced');
    this.connections.set(node, connection);
    const { note, verifierKey } = this.#checkpoint();
    const session = new Session({
      clock: this.clock,
      random: this.random,
      log: this.#log,
      link: connection.gatewayEnd,
      node,
      witnessKey: this.nodes.get(node)?.witnessKey ?? '',
      delivery: this.#counting(),
      audit: {
        observe: async () => 'consistent',
        checkpoint: async () => ({ note, verifierKey, size: 0, consistency: [] }),
      },
      nodes: new Presence(this.clock),
      renew: () => Promise.reject(new Error('not here')),
      isLive: () => true,
      leaseMs: 600_000,
      leaseEveryMs,
      checkpointEveryMs,
      ended: () => {},
    });
    this.sessions.set(node, session);
    return connection.enforcerEnd;
  }

  /** Delivery, with what it sends counted. */
  #counting(): Delivery {
    const { delivery, counts } = this;
    return new Proxy(delivery, {
      get(target, name) {
        if (name === 'connected') {
          const connected: Delivery['connected'] = (node, channel, report) =>
            target.connected(
              node,
              {
                get ready() {
                  return channel.ready;
                },
                send: (set) => {
                  for (const { content } of set.files) {
                    counts[content === 'keep' ? 'kept' : 'sent'] += 1;
                  }
                  channel.send(set);
                },
              },
              report,
            );
          return connected;
        }
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      },
    });
  }

  #checkpoint(): { readonly note: string; readonly verifierKey: string } {
    const checkpoint = { origin: 'log', size: 0, root: emptyRoot(), extensions: [] };
    const note = signCheckpoint(checkpoint, this.#signer);
    return { note, verifierKey: formatVerifier(this.#signer) };
  }
}
