/** A simulated gateway process: the real core and the real stream sessions over a storage that crashes. */
import type { Log } from '../base/log.ts';
import { openCore, type Core } from '../gateway/core.ts';
import type { RequestHandler } from '../gateway/handle-request.ts';
import { MemoryPhysical } from './memory-physical.ts';
import { Session } from '../gateway/stream/session.ts';
import { Presence } from '../gateway/stream/stream.ts';
import type { Principal } from '../model/principal.ts';
import type { Link } from '../wire/link.ts';
import { type CommitPlan, FaultyPhysical } from './faulty-physical.ts';
import { newOwner } from './new-owner.ts';
import type { SimClock, SimTime } from './sim-clock.ts';
import type { SimNode } from './sim-node.ts';
import type { SeededRandom } from './sim-random.ts';

export interface SimGatewayOptions {
  readonly time: SimTime;
  readonly random: SeededRandom;
  readonly log: Log;
  readonly leaseMs: number;
  /** Asked before each commit; a crash kills the process. */
  readonly mishaps: CommitPlan;
}

const leaseEveryMs = 1000;
const checkpointEveryMs = 12_000;

/** What outlives the process: its disk, its seal's share, and who the owner is. */
export class SimGateway {
  readonly disk = new MemoryPhysical();
  readonly #options: SimGatewayOptions;
  #share: Buffer | undefined;
  #owner: Principal | undefined;
  #running:
    | {
        readonly core: Core;
        readonly requests: RequestHandler;
        readonly clock: SimClock;
        readonly presence: Presence;
      }
    | undefined;
  readonly #sessions = new Map<string, Session>();

  constructor(options: SimGatewayOptions) {
    this.#options = options;
  }

  get core(): Core | undefined {
    return this.#running?.core;
  }

  get requests(): RequestHandler | undefined {
    return this.#running?.requests;
  }

  get owner(): Principal {
    if (!this.#owner) throw new Error('the gateway was never started');
    return this.#owner;
  }

  /** Forgets its keys, and ends its streams. The process goes on, and answers that it is sealed. */
  async seal(): Promise<void> {
    for (const session of this.#sessions.values()) session.end('sealed');
    this.#sessions.clear();
    await this.core?.barrier.seal();
  }

  async start(): Promise<void> {
    if (this.core?.barrier.state === 'sealed') {
      await this.core.barrier.unseal(Buffer.from(this.#share ?? ''));
      return;
    }
    const { time, random, log, leaseMs, mishaps } = this.#options;
    const clock = time.clock();
    const physical = new FaultyPhysical(this.disk, (batch) => mishaps(batch));
    const core = await openCore({
      clock,
      random,
      log,
      physical,
      seal: {},
      settings: () => ({ address: 'sim:1', pin: '', streamAddress: 'sim:2', trustDomain: 'sim' }),
      leaseMs,
    });
    const presence = new Presence(clock);
    const requests = core.connect({
      presence: { of: () => undefined, connected: 0 },
      system: new Proxy({} as never, { get: () => () => undefined }),
    });
    if (core.barrier.state === 'empty') {
      const { shares } = await core.barrier.initialise({ kind: 'shares', count: 1, threshold: 1 });
      this.#share = Buffer.from(shares[0] ?? '');
      this.#owner = await makeOwner(core, time);
    } else {
      await core.barrier.unseal(Buffer.from(this.#share ?? ''));
    }
    this.#running = { core, requests, clock, presence };
    void this.#follow(core);
  }

  /** Kill -9: nothing of it happens any more, and its connections break. */
  kill(): void {
    this.#running?.clock.stop();
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    this.#running = undefined;
    for (const session of sessions) session.end('killed');
  }

  /** A node has connected and proved who it is. */
  accept({ name: node, witnessKey }: Pick<SimNode, 'name' | 'witnessKey'>, link: Link): void {
    const running = this.#running;
    if (!running) {
      link.close('refused');
      return;
    }
    const { core, clock, presence } = running;
    this.#sessions.get(node)?.end('replaced');
    const session: Session = new Session({
      clock,
      random: this.#options.random,
      log: this.#options.log,
      link,
      node,
      witnessKey,
      delivery: core.delivery,
      audit: core.audit,
      nodes: presence,
      renew: () => Promise.reject(new Error('not simulated')),
      leaseMs: this.#options.leaseMs,
      isLive: () => true,
      leaseEveryMs,
      checkpointEveryMs,
      ended: () => {
        if (this.#sessions.get(node) === session) this.#sessions.delete(node);
      },
    });
    this.#sessions.set(node, session);
  }

  async #follow(core: Core): Promise<void> {
    const feed = core.barrier.feed();
    const never = new AbortController();
    try {
      for (;;) {
        await feed.next(never.signal);
        if (this.#running?.core !== core) return;
        core.delivery.changed();
      }
    } catch {
      // The barrier was sealed by a crash.
    } finally {
      feed.close();
    }
  }
}

async function makeOwner(core: Core, time: SimTime): Promise<Principal> {
  const { request, owner } = newOwner(core);
  await time.until(core.audit.commit(request), 1000);
  return owner;
}
