/**
 * Links over virtual time: messages take a while, in order; a partition keeps them back on both sides
 * without anybody being told, as a dropped route does; a cut is noticed at once by both ends.
 */
import type { Link, LinkHandlers } from '../wire/link.ts';
import type { SeededRandom } from './sim-random.ts';
import type { SimTime } from './sim-clock.ts';

const delayMsMax = 40;

class SimEnd implements Link {
  handlers: LinkHandlers | undefined;
  peer: SimEnd | undefined;
  isOpen = true;
  readonly queuedBytes = 0;
  /** Arrived before anyone listened, or kept back by a partition. */
  readonly waiting: Uint8Array[] = [];
  /** On their way, in the order they were sent: none overtakes another, also at the same moment. */
  readonly #underWay: Uint8Array[] = [];
  #arrivesMs = 0;
  readonly #connection: SimConnection;

  constructor(connection: SimConnection) {
    this.#connection = connection;
  }

  open(handlers: LinkHandlers): void {
    this.handlers = handlers;
    this.flush();
  }

  send(bytes: Uint8Array): void {
    const { peer } = this;
    if (!this.isOpen || !peer) return;
    const copy = Uint8Array.from(bytes);
    bytes.fill(0);
    const { time, random } = this.#connection;
    this.#arrivesMs = Math.max(this.#arrivesMs, time.nowMs + random.fraction() * delayMsMax);
    this.#underWay.push(copy);
    time.at(this.#arrivesMs - time.nowMs, () => {
      const first = this.#underWay.shift();
      if (first) peer.waiting.push(first);
      peer.flush();
    });
  }

  close(reason: string): void {
    this.#connection.cut(reason);
  }

  flush(): void {
    if (!this.handlers || this.#connection.partitioned) return;
    for (const bytes of this.waiting.splice(0)) {
      if (this.isOpen) this.handlers.message(bytes);
    }
  }
}

export class SimConnection {
  readonly time: SimTime;
  readonly random: SeededRandom;
  readonly gatewayEnd: Link;
  readonly enforcerEnd: Link;
  readonly #ends: readonly SimEnd[];
  partitioned = false;

  constructor(time: SimTime, random: SeededRandom) {
    this.time = time;
    this.random = random;
    const [left, right] = [new SimEnd(this), new SimEnd(this)];
    left.peer = right;
    right.peer = left;
    this.#ends = [left, right];
    this.gatewayEnd = left;
    this.enforcerEnd = right;
  }

  partition(on: boolean): void {
    this.partitioned = on;
    if (!on) for (const end of this.#ends) end.flush();
  }

  /** Both ends learn of it, unless a partition keeps the news from one: then each learns by silence. */
  cut(reason: string): void {
    for (const end of this.#ends) {
      if (!end.isOpen) continue;
      end.isOpen = false;
      end.waiting.length = 0;
      end.handlers?.closed(reason);
    }
  }
}
