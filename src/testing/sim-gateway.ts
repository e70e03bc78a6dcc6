/** A simulated gateway: the real one, but for HTTP, over a storage that crashes and a network in memory. */
import type { Log } from '../base/log.ts';
import { gatewayConfig } from '../gateway/config.ts';
import { openCore, type Core } from '../gateway/core.ts';
import type { RequestHandler } from '../gateway/handle-request.ts';
import { makeOwner } from '../gateway/init.ts';
import { NodePort } from '../gateway/node-port.ts';
import { MemoryPhysical } from './memory-physical.ts';
import { createSystemControl } from '../gateway/system-control.ts';
import { Unsealed } from '../gateway/unsealed.ts';
import { anonymousFrom, type Principal } from '../model/principal.ts';
import { SecretValue } from '../model/secret-value.ts';
import { type CommitPlan, FaultyPhysical } from './faulty-physical.ts';
import type { SimClock, SimTime } from './sim-clock.ts';
import type { SimNetwork } from './sim-network.ts';
import type { SeededRandom } from './sim-random.ts';

export interface SimGatewayOptions {
  readonly time: SimTime;
  readonly random: SeededRandom;
  readonly log: Log;
  readonly network: SimNetwork;
  readonly leaseMs: number;
  readonly nodeCertificateMs: number;
  /** Asked before each commit; a crash kills the process. */
  readonly mishaps: CommitPlan;
}

interface Process {
  readonly core: Core;
  readonly requests: RequestHandler;
  readonly nodePort: NodePort;
  readonly unsealed: Unsealed;
  readonly clock: SimClock;
}

/** What outlives the process: its disk, its seal's share, and who the owner is. */
export class SimGateway {
  readonly disk = new MemoryPhysical();
  readonly #options: SimGatewayOptions;
  #share: Buffer | undefined;
  #owner: Principal | undefined;
  #process: Process | undefined;

  constructor(options: SimGatewayOptions) {
    this.#options = options;
  }

  get core(): Core | undefined {
    return this.#process?.core;
  }

  get requests(): RequestHandler | undefined {
    return this.#process?.requests;
  }

  /** Unsealed, and open to nodes. */
  get isServing(): boolean {
    const process = this.#process;
    return (
      process !== undefined && process.core.barrier.state === 'ready' && process.nodePort.isOpen
    );
  }

  get owner(): Principal {
    if (!this.#owner) throw new Error('the gateway was never started');
    return this.#owner;
  }

  /** Starts the process if there is none, and unseals it; the first time it makes the installation. */
  async start(): Promise<void> {
    const { core, requests, unsealed } = (this.#process ??= await this.#open());
    if (core.barrier.state === 'empty') {
      const { shares } = await core.barrier.initialise({ kind: 'shares', count: 1, threshold: 1 });
      this.#share = Buffer.from(shares[0] ?? '');
      this.#owner = await core.identity.authenticate(await makeOwner(core), 'sim');
      await unsealed.open();
      return;
    }
    await requests.handle({
      operation: 'system.unseal',
      principal: anonymousFrom('sim'),
      input: {},
      requestId: 'sim',
      value: SecretValue.copy(this.#share ?? Buffer.alloc(0)),
    });
  }

  /** Kill -9: nothing of it happens any more, and its connections break. */
  kill(): void {
    this.#process?.clock.stop();
    this.#process = undefined;
    this.#options.network.gatewayDied();
  }

  async #open(): Promise<Process> {
    const { time, random, log, leaseMs, network, mishaps, nodeCertificateMs } = this.#options;
    const clock = time.clock();
    const context = { clock, random, log };
    const config = {
      ...gatewayConfig({ data: '/nowhere', 'lease-seconds': String(leaseMs / 1000) }),
      nodeCertificateMs,
    };
    // A dead process writes no more.
    const plan: CommitPlan = (batch) => (clock.isAlive ? mishaps(batch) : 'crash-before');
    const physical = new FaultyPhysical(this.disk, plan);
    const core = await openCore({
      ...context,
      physical,
      seal: {},
      settings: () => ({
        address: config.advertise,
        pin: `sha256:${'0'.repeat(64)}`,
        streamAddress: config.nodeAdvertise,
        trustDomain: config.trustDomain,
        nodeCertificateMs,
      }),
      leaseMs,
    });
    const listen: typeof network.listen = (options) => network.listen(options);
    const nodePort = new NodePort({ config, core, listen, ...context });
    const unsealed = new Unsealed({ config, core, nodePort, chores: {}, ...context });
    const certificate = { weakenings: () => [] };
    const parts = { config, core, nodePort, unsealed, physical, random, certificate };
    const requests = core.connect({ system: createSystemControl(parts), presence: nodePort });
    return { core, requests, nodePort, unsealed, clock };
  }
}
