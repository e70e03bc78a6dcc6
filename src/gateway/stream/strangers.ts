/**
 * Connections to the node port of which it is not known yet that they are a live node's: before and in their
 * handshake, before their request, and refused ones until they are gone.
 *
 * Promises
 *   - There are at most `strangersMax`, and each has `withinMs` in all to become a node, whatever it does or
 *     leaves undone meanwhile. While there are as many, a newcomer takes the place of the one that is there
 *     longest: who holds connections keeps no node out, not even one at the same address.
 *   - Connections of one address beyond a rate are cut before they cost a handshake. Whoever turns out to be
 *     a live node is not counted: a fleet behind one address comes back at once, as often as it has to.
 * Does not promise
 *   - That a node gets in while others at its own address use up the rate.
 *
 * Nodes need no bound of their own: each has one stream.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { TokenBuckets } from '../../base/token-buckets.ts';

export interface StrangerLimits {
  readonly strangersMax: number;
  readonly withinMs: number;
  /** Connections of one address that come to nothing: on average, and at once. */
  readonly perSecond: number;
  readonly burst: number;
}

export const strangerLimits: StrangerLimits = {
  // Five thousand nodes that come back together, and some. In their handshake they take about 60 KB each.
  strangersMax: 6_144,
  // Longer than an enforcer waits for us: what a busy gateway has not come to yet is no fault of theirs.
  withinMs: 30_000,
  // A handshake takes the gateway about a millisecond: half of one core.
  perSecond: 500,
  burst: 6_144,
};

const summedEveryMs = 60_000;
const noneCut = { late: 0, displaced: 0, refused: 0 };

export interface StrangersOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: StrangerLimits;
}

interface Stranger {
  readonly socket: Socket;
  /** Listens to its end: not any more once it was let in, as that may be for months. */
  readonly left: () => void;
  readonly address: string;
  readonly untilMs: number;
}

export class Strangers {
  readonly #options: StrangersOptions;
  /** By both ends of the connection; those that are there longest come first. */
  readonly #strangers = new Map<string, Stranger>();
  readonly #connections: TokenBuckets;
  #nextEnd: Timer | undefined;
  #cut = { ...noneCut };
  #summary: Timer | undefined;

  constructor(options: StrangersOptions) {
    this.#options = options;
    this.#connections = new TokenBuckets(options.clock, options.limits);
  }

  get size(): number {
    return this.#strangers.size;
  }

  /** A new connection, before anything of it was read. Cuts it, or another, if there are too many. */
  arrived(socket: Socket): void {
    const { clock, limits } = this.#options;
    const address = socket.remoteAddress;
    // Gone already.
    if (address === undefined) socket.destroy();
    else if (this.#connections.take(address) > 0) this.#end(socket, 'refused');
    else {
      if (this.#strangers.size >= limits.strangersMax) this.#displaceOldest();
      const ends = endsOf(socket);
      const untilMs = clock.monotonicMs() + limits.withinMs;
      const left = (): void => this.#left(ends, socket);
      this.#strangers.set(ends, { socket, left, address, untilMs });
      socket.on('close', left);
      this.#nextEnd ??= clock.setTimer(limits.withinMs, () => this.#endLate());
    }
  }

  /**
   * This connection is a live node's.
   *
   * @param socket - What has the ends of the one that arrived: TLS is a socket of its own over it.
   */
  letIn(socket: Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress'>): void {
    const ends = endsOf(socket);
    const stranger = this.#strangers.get(ends);
    if (!stranger) return;
    this.#strangers.delete(ends);
    stranger.socket.off('close', stranger.left);
    this.#connections.giveBack(stranger.address);
  }

  close(): void {
    this.#nextEnd?.cancel();
    this.#summary?.cancel();
    this.#sumUp();
  }

  #left(ends: string, socket: Socket): void {
    if (this.#strangers.get(ends)?.socket === socket) this.#strangers.delete(ends);
  }

  #displaceOldest(): void {
    const [oldest] = this.#strangers;
    if (!oldest) return;
    const [ends, { socket }] = oldest;
    this.#strangers.delete(ends);
    this.#end(socket, 'displaced');
  }

  #endLate(): void {
    const { clock } = this.#options;
    this.#nextEnd = undefined;
    const nowMs = clock.monotonicMs();
    for (const [ends, { socket, untilMs }] of this.#strangers) {
      if (untilMs > nowMs) {
        this.#nextEnd = clock.setTimer(untilMs - nowMs, () => this.#endLate());
        return;
      }
      this.#strangers.delete(ends);
      this.#end(socket, 'late');
    }
  }

  #end(socket: Socket, why: keyof typeof noneCut): void {
    socket.destroy();
    this.#cut[why] += 1;
    this.#summary ??= this.#options.clock.setTimer(summedEveryMs, () => this.#sumUp());
  }

  /** One line a minute, however many there are. */
  #sumUp(): void {
    this.#summary = undefined;
    const cut = this.#cut;
    this.#cut = { ...noneCut };
    if (cut.late + cut.displaced + cut.refused === 0) return;
    this.#options.log.warn('node.strangers-cut', cut);
  }
}

function endsOf(socket: Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress'>): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;
}
