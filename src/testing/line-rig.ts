/**
 * The line of a set with both ends real: policy, secrets, delivery and node port here, whole enforcers there.
 * Storage and log are in memory, time is virtual, and a test decides what the network and the kernel do.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createLog } from '../base/log.ts';
import { signCheckpoint } from '../crypto/checkpoint.ts';
import { emptyRoot } from '../crypto/merkle.ts';
import { formatVerifier, noteSigner } from '../crypto/note.ts';
import { redeemToken } from '../enforcer/uplink/join.ts';
import { gatewayConfig } from '../gateway/config.ts';
import { Delivery, type HoldingsAsked, type HoldingStatus } from '../gateway/delivery/delivery.ts';
import { NodePort } from '../gateway/node-port.ts';
import { anonymousFrom, gatewayPrincipal, type Principal } from '../model/principal.ts';
import type { SecretId } from '../model/id.ts';
import type { SecretValue } from '../model/secret-value.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import type { OperationInput } from '../protocol/operations.ts';
import { RequestRig, testSettings } from './request-rig.ts';
import { SimTime } from './sim-clock.ts';
import { SimNetwork } from './sim-network.ts';
import { SimNode } from './sim-node.ts';
import { SeededRandom } from './sim-random.ts';

/** Of the node port: renewed every two seconds. Grants have their own. */
const leaseMs = 40_000;

export class LineRig {
  readonly random = new SeededRandom(1);
  readonly time = new SimTime(this.random);
  readonly clock = this.time.clock();
  readonly network = new SimNetwork(this.time, this.random);
  readonly lines: string[] = [];
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
    await rig.requests.withAuthority();
    await rig.#openNodePort();
    await rig.put('shop/db', 'one');
    await rig.group('api', 'api*');
    await rig.grant('api', [{ secret: 'shop/db' }]);
    return rig;
  }

  /** The gateway is started anew over the same records; its nodes come back. */
  restartGateway(): void {
    this.delivery.close();
    this.network.gatewayDied();
    this.requests = new RequestRig({ clock: this.clock, records: this.requests.records });
    this.delivery = this.#makeDelivery();
    void this.#openNodePort();
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
    const { time, random, network, clock, requests } = this;
    const failed = (error: unknown): never => {
      throw new Error('an enforcer ended', { cause: error });
    };
    const node = new SimNode({ machine: name, time, random, log: this.#log, network, failed });
    const { output } = await requests.ask(this.owner, 'node.token', { name });
    const join = async (request: OperationInput<'node.join'>) =>
      (await requests.ask(anonymousFrom(name), 'node.join', request)).output;
    node.joined(await redeemToken({ clock, token: output.token, join }));
    node.startEnforcer();
    await time.pass(3000);
    return node;
  }

  async container(node: SimNode, name = 'api'): Promise<WorkloadFacts> {
    const facts = node.startContainer({ name });
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

  #openNodePort(): Promise<void> {
    const { clock, random, network, requests } = this;
    const { note, verifierKey } = this.#checkpoint();
    const port = new NodePort({
      clock,
      random,
      log: this.#log,
      config: { ...gatewayConfig({}), trustDomain: testSettings.trustDomain, leaseMs },
      listen: (options) => network.listen(options),
      core: {
        identity: requests.identity,
        delivery: this.#counting(),
        audit: {
          state: 'ready',
          commit: (request) => requests.audit.commit(request),
          observe: async () => 'consistent',
          checkpoint: async () => ({ note, verifierKey, size: 0, consistency: [] }),
        },
      },
    });
    return port.open();
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
