/**
 * A network over virtual time. Messages take a while, in order; a partition keeps everything back on both
 * sides without anybody being told, as a dropped route does; a cut is noticed by both ends; who dies closes
 * its end. Whoever connects shows a certificate, and is shown one: both are checked as TLS checks them.
 */
import { X509Certificate } from 'node:crypto';
import { Fault, isFault } from '../base/fault.ts';
import { readGatewayIdentity } from '../crypto/certificate-identity.ts';
import type { Credentials } from '../enforcer/uplink/uplink.ts';
import type {
  StreamCertificate,
  StreamListener,
  StreamServerOptions,
} from '../gateway/stream/stream.ts';
import type { Link, LinkHandlers } from '../wire/link.ts';
import type { SimClock, SimTime } from './sim-clock.ts';
import type { SeededRandom } from './sim-random.ts';

const delayMsMax = 40;
const handshakeMsMax = 100;
/** As the uplink's own. */
const connectWithinMs = 10_000;

type Arrived = Uint8Array | { readonly closed: string };

class SimEnd implements Link {
  handlers: LinkHandlers | undefined;
  peer: SimEnd | undefined;
  isOpen = true;
  readonly queuedBytes = 0;
  /** Arrived before anyone listened, or kept back by a partition. */
  waiting: Arrived[] = [];
  /** On their way, in the order they were sent: none overtakes another, also at the same moment. */
  readonly #underWay: Arrived[] = [];
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
    if (this.isOpen) this.#post(Uint8Array.from(bytes));
    bytes.fill(0);
  }

  /** What was sent before arrives before. */
  close(reason: string): void {
    if (!this.isOpen) return;
    this.#post({ closed: reason });
    this.shut(reason);
  }

  shut(reason: string): void {
    this.isOpen = false;
    this.waiting = [];
    this.handlers?.closed(reason);
  }

  flush(): void {
    while (this.handlers && this.isOpen && !this.#connection.partitioned) {
      const arrived = this.waiting.shift();
      if (arrived === undefined) return;
      if ('closed' in arrived) this.shut(arrived.closed);
      else this.handlers.message(arrived);
    }
  }

  #post(what: Arrived): void {
    const { peer } = this;
    const { time, random } = this.#connection;
    this.#arrivesMs = Math.max(this.#arrivesMs, time.nowMs + random.fraction() * delayMsMax);
    this.#underWay.push(what);
    time.at(this.#arrivesMs - time.nowMs, () => {
      const first = this.#underWay.shift();
      if (!first || !peer) return;
      peer.waiting.push(first);
      peer.flush();
    });
  }
}

export class SimConnection {
  readonly time: SimTime;
  readonly random: SeededRandom;
  readonly gatewayEnd: Link;
  readonly enforcerEnd: Link;
  /** Who connected, as its certificate says. */
  readonly node: string;
  readonly #ends: readonly SimEnd[];
  partitioned = false;

  constructor(time: SimTime, random: SeededRandom, node = '') {
    this.time = time;
    this.random = random;
    this.node = node;
    const [left, right] = [new SimEnd(this), new SimEnd(this)];
    left.peer = right;
    right.peer = left;
    this.#ends = [left, right];
    this.gatewayEnd = left;
    this.enforcerEnd = right;
  }

  get isOpen(): boolean {
    return this.#ends.some((end) => end.isOpen);
  }

  partition(on: boolean): void {
    this.partitioned = on;
    if (!on) for (const end of this.#ends) end.flush();
  }

  /** What is on its way is lost. Both ends learn of it, once a partition lets them. */
  cut(reason: string): void {
    for (const end of this.#ends) {
      end.waiting = [{ closed: reason }];
      end.flush();
    }
  }
}

/** The network between one gateway and its nodes. */
export class SimNetwork {
  readonly #time: SimTime;
  readonly #random: SeededRandom;
  readonly #connections = new Map<string, SimConnection[]>();
  readonly #partitioned = new Set<string>();
  #port: { readonly options: StreamServerOptions; tls: StreamCertificate } | undefined;

  constructor(time: SimTime, random: SeededRandom) {
    this.#time = time;
    this.#random = random;
  }

  get partitioned(): readonly string[] {
    return [...this.#partitioned];
  }

  /** Names of nodes that the gateway has a connection to, or thinks so. */
  get connectedNodes(): ReadonlySet<string> {
    const open = [...this.#connections.values()].flat().filter((one) => one.gatewayEnd.isOpen);
    return new Set(open.map(({ node }) => node));
  }

  /** The last one of this machine. */
  connection(machine: string): SimConnection | undefined {
    return this.#connections.get(machine)?.at(-1);
  }

  /** In place of `StreamServer.listen`. */
  async listen(options: StreamServerOptions): Promise<StreamListener> {
    const port = { options, tls: options.tls };
    this.#port = port;
    return {
      port: options.port,
      renewCertificate: (tls) => (port.tls = tls),
      close: async () => {
        if (this.#port === port) this.#port = undefined;
        options.streams.close();
      },
    };
  }

  /** In place of the uplink's `connect`, with its faults. */
  async connect(
    machine: string,
    from: { readonly clock: SimClock; readonly credentials: Credentials },
    signal: AbortSignal,
  ): Promise<Link> {
    const { clock, credentials } = from;
    await clock.sleep(this.#random.fraction() * handshakeMsMax, signal);
    if (this.#partitioned.has(machine)) await clock.sleep(connectWithinMs, signal);
    const port = this.#port;
    if (!port || this.#partitioned.has(machine)) throw new Fault('gateway.unreachable');
    const nowMs = clock.wallMs();
    const { authority, trustDomain } = credentials;
    const shown = new X509Certificate(port.tls.certificate);
    const identity = readGatewayIdentity(shown, { authority, trustDomain, nowMs });
    if (identity.kind === 'refused')
      throw new Fault('gateway.impostor', { reason: identity.reason });
    if (credentials.certificate.validToDate.getTime() <= nowMs)
      throw new Fault('certificate.ended');
    const connection = new SimConnection(this.#time, this.#random, credentials.node);
    const living = (this.#connections.get(machine) ?? []).filter(({ isOpen }) => isOpen);
    this.#connections.set(machine, [...living, connection]);
    try {
      const peer = port.options.liveNode(credentials.certificate, machine);
      port.options.streams.accept(peer, connection.gatewayEnd);
    } catch (error) {
      connection.gatewayEnd.close('refused');
      if (isFault(error)) throw new Fault('node.refused', {}, { cause: error });
      throw error;
    }
    return connection.enforcerEnd;
  }

  partition(machine: string, on: boolean): void {
    if (on) this.#partitioned.add(machine);
    else this.#partitioned.delete(machine);
    for (const connection of this.#connections.get(machine) ?? []) connection.partition(on);
  }

  cut(machine: string): void {
    for (const connection of this.#connections.get(machine) ?? []) connection.cut('cut');
  }

  gatewayDied(): void {
    this.#port = undefined;
    for (const connections of this.#connections.values()) {
      for (const { gatewayEnd } of connections) gatewayEnd.close('killed');
    }
  }

  enforcerDied(machine: string): void {
    for (const { enforcerEnd } of this.#connections.get(machine) ?? []) enforcerEnd.close('killed');
  }
}
