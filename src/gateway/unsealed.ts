/**
 * What runs while the gateway is unsealed, and only then: the feed to delivery, the housekeeping, the node
 * port.
 */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { GatewayConfig } from './config.ts';
import type { Core } from './core.ts';
import { DeliveryFeed } from './delivery-feed.ts';
import { type Chores, Housekeeping } from './housekeeping.ts';
import type { NodePort } from './node-port.ts';
import { requireTrustDomain } from './trust-domain.ts';

export interface UnsealedOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly config: Pick<GatewayConfig, 'trustDomain'>;
  readonly core: Pick<Core, 'barrier' | 'audit' | 'identity' | 'delivery'>;
  readonly nodePort: NodePort;
  /** Beside those of the storage and of the node port. */
  readonly chores: Chores;
}

interface Running {
  readonly stop: AbortController;
  readonly done: Promise<unknown>;
}

export class Unsealed {
  readonly #options: UnsealedOptions;
  readonly #nodePort: NodePort;
  readonly #feed: DeliveryFeed;
  readonly #housekeeping: Housekeeping;
  #running: Running | undefined;
  /** Several shares may arrive at once, and a seal between them: one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: UnsealedOptions) {
    const { clock, log, core, nodePort, chores } = options;
    this.#options = options;
    const { barrier, audit, delivery } = core;
    this.#nodePort = nodePort;
    this.#housekeeping = new Housekeeping({
      clock,
      log,
      barrier,
      audit,
      chores: { 'node-port-certificate': () => nodePort.keepCertificate(), ...chores },
    });
    this.#feed = new DeliveryFeed({
      clock,
      log,
      barrier,
      delivery,
      nodesChanged: () => nodePort.endNotLive(),
      valuesDestroyed: () => this.#housekeeping.purgeSoon(),
      sealed: () => void this.close(),
    });
  }

  /**
   * Does nothing where all of it runs.
   *
   * @throws Fault `gateway.trust-domain`: nothing runs then
   * @throws Fault `gateway.address-in-use`: all else runs then
   */
  open(): Promise<void> {
    return this.#inTurn(async () => {
      requireTrustDomain(this.#options.core, this.#options.config);
      this.#running ??= this.#start();
      await this.#nodePort.open();
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      const running = this.#running;
      this.#running = undefined;
      running?.stop.abort();
      await this.#nodePort.close();
      await running?.done;
    });
  }

  #start(): Running {
    const stop = new AbortController();
    const { signal } = stop;
    return { stop, done: Promise.all([this.#feed.run(signal), this.#housekeeping.run(signal)]) };
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(act);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}
