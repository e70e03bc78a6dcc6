/** A whole installation in virtual time: one gateway, several nodes, what goes wrong, and who watches. */
import { Buffer } from 'node:buffer';
import { createLog } from '../base/log.ts';
import { redeemToken } from '../enforcer/uplink/join.ts';
import { parseName } from '../model/name.ts';
import { anonymousFrom, type Principal } from '../model/principal.ts';
import type { OperationInput, OperationName } from '../protocol/operations.ts';
import type { OperationReply } from '../protocol/request.ts';
import { SecretValue } from '../model/secret-value.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { Auditor, type Place } from './auditor.ts';
import type { CommitMishap } from './faulty-physical.ts';
import { SimTime } from './sim-clock.ts';
import { SimGateway } from './sim-gateway.ts';
import { SimNetwork } from './sim-network.ts';
import { SimNode, targets } from './sim-node.ts';
import { SeededRandom } from './sim-random.ts';

/** Of the gateway. An enforcer whose engine is away connects after ten seconds: within a lease, or after. */
const leasesMs = [5_000, 12_000] as const;
/** After a lease: silence is noticed, the watchdog looks once a second and leaves four to the living. */
const denialMsMax = 15_000;
/** A step of the feed that fails comes again a second later. */
const revocationMsMax = 3_000;
const operationWithinMs = 2_000;
const startsMax = 5;
const dayMs = 24 * 3_600_000;
/** As the node port's own, so that both are renewed in the same days. */
const nodeCertificateMs = 7 * dayMs;

export interface WorldOptions {
  readonly seed: number;
  readonly nodes?: number;
}

interface Asking {
  readonly value?: string;
  readonly ifRevision?: number;
  readonly principal?: Principal;
}

export class World {
  readonly random: SeededRandom;
  readonly time: SimTime;
  readonly network: SimNetwork;
  readonly gateway: SimGateway;
  readonly nodes: readonly SimNode[];
  readonly auditor: Auditor;
  /** What the next commits do, instead of succeeding. */
  readonly mishaps: CommitMishap[] = [];
  /** Nothing fails any more, and everything is in its place. */
  isCalm = false;
  readonly #logged: string[] = [];
  #joins = 0;

  constructor(options: WorldOptions) {
    this.random = new SeededRandom(options.seed);
    this.time = new SimTime(this.random);
    this.network = new SimNetwork(this.time, this.random);
    const leaseMs = this.random.pick(leasesMs) ?? leasesMs[0];
    this.auditor = new Auditor({ targets, leaseMs, denialMsMax, revocationMsMax });
    const clock = this.time.clock();
    const log = createLog({ clock, level: 'debug', write: (line) => void this.#logged.push(line) });
    const about = { time: this.time, random: this.random, network: this.network, log };
    this.gateway = new SimGateway({
      ...about,
      leaseMs,
      nodeCertificateMs,
      mishaps: () => {
        const mishap = this.mishaps.shift();
        // After the storage has thrown, as a process dies of what it was just doing.
        if (mishap === 'crash-before' || mishap === 'crash-after')
          this.time.at(0, () => this.gateway.kill());
        return mishap;
      },
    });
    this.nodes = Array.from({ length: options.nodes ?? 3 }, (_, index) => {
      const machine = `node-${index}`;
      const failed = (error: unknown): void =>
        this.auditor.violate(`an enforcer or watchdog of ${machine} ended: ${String(error)}`);
      return new SimNode({ ...about, machine, failed });
    });
    for (const node of this.nodes) this.#watchKernel(node);
  }

  get log(): readonly string[] {
    return this.#logged;
  }

  async begin(): Promise<void> {
    await this.startGateway();
    for (const node of this.nodes) await this.join(node);
    await this.pass(3000);
  }

  /** As whoever supervises it does, until it serves. */
  async startGateway(): Promise<void> {
    for (let starts = 0; !this.gateway.isServing; starts += 1) {
      if (starts === startsMax) return this.auditor.violate('the gateway did not start');
      const started = this.gateway.start().catch(() => undefined);
      await this.time.until(started, 10_000);
      // Should it have died of it.
      await this.time.pass(1);
    }
  }

  /** The gateway is up, and knows what became of the last commit. */
  async untilCertain(): Promise<void> {
    await this.pass(50);
    for (;;) {
      await this.startGateway();
      if (this.gateway.core?.audit.state !== 'read-only') return;
      await this.pass(250);
    }
  }

  /** A machine gets a token, joins under a name that nobody had, and starts its enforcer. */
  async join(node: SimNode): Promise<string> {
    this.#joins += 1;
    const asked = await this.request('node.token', {
      name: parseName(`${node.machine}-${this.#joins}`),
    });
    if (typeof asked === 'string') return asked;
    const principal = anonymousFrom(node.machine);
    try {
      const credentials = await redeemToken({
        clock: this.time.clock(),
        token: asked.output.token,
        join: async (request) => {
          const joined = await this.request('node.join', request, { principal });
          if (typeof joined === 'string') throw new Error(joined);
          return joined.output;
        },
      });
      node.joined(credentials);
    } catch (error) {
      return String(error);
    }
    node.startEnforcer();
    return 'ok';
  }

  /** Whether it has joined, and may have what is due to its containers. */
  isServed(node: SimNode): boolean {
    return node.name !== '' && !this.auditor.revoked.has(node.name);
  }

  /** Whether its enforcer hears what the gateway decides. */
  isReached(node: SimNode): boolean {
    const isCutOff = node.enforcerIsStopped || this.network.partitioned.includes(node.machine);
    return !isCutOff && this.#connected.has(node.name);
  }

  /** Lets time pass, looking into every container on the way. */
  async pass(byMs: number): Promise<void> {
    const stepMs = 250;
    for (let left = byMs; left > 0; left -= stepMs) {
      await this.time.pass(Math.min(stepMs, left));
      for (const place of this.places()) this.auditor.look(place, this.time.nowMs);
      this.auditor.lookAtNodes(this.network.connectedNodes, this.time.nowMs);
    }
  }

  *places(): Generator<Place> {
    for (const node of this.nodes) {
      const isReached = this.isReached(node);
      const about = {
        isServed: this.isServed(node),
        isStopped: node.enforcerIsStopped,
      };
      const remembered =
        node.remembered?.holdings.filter((holding) => holding.keepOnLeaseLoss) ?? [];
      for (const workload of node.containers.values()) {
        const kept = remembered.filter(({ workloadId }) => workloadId === workload.id);
        yield {
          workload,
          files: node.read(workload),
          kept: new Set(kept.map(({ target }) => target)),
          isReached: isReached && this.#isKnown(node, workload),
          ...about,
        };
      }
    }
  }

  get isSettled(): boolean {
    if (!this.nodes.every((node) => this.isReached(node))) return false;
    for (const place of this.places()) if (!this.auditor.isSettled(place)) return false;
    return true;
  }

  /**
   * Asks the gateway, as an operator.
   *
   * @returns `ok`, the code of the fault, or `unknown` when no answer came: it may have been done.
   */
  async ask<Name extends OperationName>(
    operation: Name,
    input: OperationInput<Name>,
    options: Asking = {},
  ): Promise<string> {
    const answer = await this.request(operation, input, options);
    return typeof answer === 'string' ? answer : 'ok';
  }

  /** @returns the answer, or why there is none. */
  async request<Name extends OperationName>(
    operation: Name,
    input: OperationInput<Name>,
    options: Asking = {},
  ): Promise<OperationReply<Name> | string> {
    const requests = this.gateway.requests;
    if (!requests) return 'down';
    const { value: text, principal = this.gateway.owner, ...rest } = options;
    const value = text === undefined ? {} : { value: SecretValue.copy(Buffer.from(text)) };
    const asked = requests
      .handle<Name>({ operation, principal, input, requestId: 'sim', ...value, ...rest })
      .catch((error: unknown) =>
        error instanceof Error && 'code' in error ? String(error.code) : 'unknown',
      );
    const answer = await this.time.until(asked, operationWithinMs);
    return answer === 'too-late' ? 'unknown' : answer;
  }

  get #connected(): ReadonlySet<string> {
    return this.gateway.isServing
      ? (this.gateway.core?.delivery.connectedNodes() ?? new Set())
      : new Set();
  }

  /** Unless a node's engine does not let it, it tells the gateway of all that runs there. */
  #isKnown({ runtime }: SimNode, { id }: WorkloadFacts): boolean {
    if (!runtime.isUnreachable) return true;
    return this.gateway.core?.policy.entitlements.workload(id) !== undefined;
  }

  #watchKernel(node: SimNode): void {
    const { kernel } = node;
    const set = kernel.mounts.set.bind(kernel.mounts);
    kernel.mounts.set = (id, mount) => {
      this.auditor.changed(id, mount.revision);
      return set(id, mount);
    };
    const remove = kernel.mounts.delete.bind(kernel.mounts);
    kernel.mounts.delete = (id) => {
      if (this.isCalm) this.auditor.violate(`${id} was taken away while all was well`);
      return remove(id);
    };
    kernel.withdrew = ({ process, target }) => {
      const workload = [...node.containers.values()].find(
        (facts) => facts.process.pid === process.pid,
      );
      if (workload) this.auditor.withdrew(workload, target, this.time.nowMs);
    };
  }
}
