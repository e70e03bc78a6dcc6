/**
 * One node's stream, from hello to close: translates between messages and delivery, renews leases,
 * shows checkpoints to the node as a witness, and ends the connection on silence or nonsense.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import type { FaultCode } from '../../base/fault-table.ts';
import { codeOf, Fault, isFault } from '../../base/fault.ts';
import { errorFields, type Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { parseCheckpoint } from '../../crypto/checkpoint.ts';
import { parseNote } from '../../crypto/note.ts';
import {
  decodeFromEnforcer,
  encodeFromGateway,
  type FromEnforcer,
  type FromGateway,
  streamProtocol,
} from '../../protocol/stream-messages.ts';
import type { Link } from '../../wire/link.ts';
import type { Audit } from '../audit/audit.ts';
import type { Delivery, NodeChannel } from '../delivery/delivery.ts';
import { isCosigned } from './cosignature.ts';

/** What a session asks of the gateway's knowledge of nodes. */
export interface SessionNodes {
  seen(
    node: string,
    facts: { readonly version: string; readonly weakenings: readonly string[] },
  ): void;
  /** The size of the checkpoint that the node now remembers, as it has proved. */
  witnessed(node: string, size: number): void;
}

export interface SessionOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly link: Link;
  readonly node: string;
  readonly delivery: Pick<
    Delivery,
    | 'admits'
    | 'noted'
    | 'connected'
    | 'disconnected'
    | 'workloadStarted'
    | 'workloadStopped'
    | 'receipt'
    | 'drained'
    | 'shortestLeaseMs'
  >;
  readonly audit: Pick<Audit, 'observe' | 'checkpoint'>;
  readonly nodes: SessionNodes;
  /** The same key, the same name, a later end. @throws Fault when the request is for anything else. */
  readonly renew: (certificateRequest: string) => Promise<string>;
  /** Whether this node may still have anything: not once it was revoked, or has joined again. */
  readonly isLive: () => boolean;
  /** The node's key as a witness, as `witnessKeyOf` writes it. */
  readonly witnessKey: string;
  readonly leaseMs: number;
  /** The longest time between two renewals; the node is told this one. */
  readonly leaseEveryMs: number;
  readonly checkpointEveryMs: number;
  /** Called once, when the link is gone. */
  readonly ended: (reason: string) => void;
}

const helloWithinMs = 10_000;
const queuedBytesMax = 8 * 1024 * 1024;
/** Sets are held back long before: this much is answers to one that asks and does not read. */
const unreadBytesMax = 2 * queuedBytesMax;
/** Renewals, at their longest distance, that may go unanswered before the node counts as gone. */
const unansweredMax = 3;
/** A grant may have a shorter lease than the gateway's own: that one too is renewed this often in its life. */
const renewalsPerLease = 10;
const leaseEveryMsMin = 500;
const jitter = 0.1;
const jitterSteps = 64;
/** Shared: a gateway has thousands of sessions. */
const nothing: ReadonlySet<string> = new Set();

/** What a node may say of our log, or we of what it remembers, as the fault that it is. */
const alarms = {
  rollback: 'audit.rollback',
  fork: 'audit.fork',
  unsigned: 'audit.unsigned',
} as const satisfies Record<string, FaultCode>;

export class Session {
  readonly #options: SessionOptions;
  readonly #channel: NodeChannel;
  /** A hello was received. There is one per connection. */
  #greeted = false;
  #introduced = false;
  #ended = false;
  /** Delivery found the channel full. */
  #held = false;
  /** A checkpoint was shown and not answered. */
  #isShowing = false;
  #renewing = false;
  #leaseEveryMs = 0;
  #nextLease: Timer | undefined;
  #leaseSerial = 0;
  #leaseSeen = 0;
  #answeredAtMs = 0;
  /** Size of the checkpoint that the node said it remembers. */
  #witnessed = 0;
  /** The checkpoint that it was shown last. */
  #shown = { note: '', size: 0 };
  #hasMiscosigned = false;
  /** Workloads whose mounts the node said last are not as they were made. */
  #tampered = nothing;
  #hasContradicted = false;
  readonly #timers = new Set<Timer>();

  constructor(options: SessionOptions) {
    this.#options = options;
    const { link } = options;
    const room = (): boolean => link.isOpen && link.queuedBytes < queuedBytesMax;
    const waits = (): boolean => {
      this.#held = true;
      return false;
    };
    this.#channel = {
      send: (set) => {
        this.#send({ kind: 'assign', set });
        // A withdrawal has no lease.
        if (set.files.length > 0) this.#renewWithin(set.leaseMs);
      },
      get ready() {
        // Whoever finds it full is told when it is not: see `#resumeIfDrained`.
        return room() || waits();
      },
    };
    link.open({
      message: (bytes) => this.#message(bytes),
      closed: (reason) => this.#close(reason),
    });
    this.#after(helloWithinMs, () => {
      if (!this.#introduced) this.end('no-hello');
    });
  }

  end(reason: string): void {
    this.#options.link.close(reason);
    this.#close(reason);
  }

  /** Tells the node why, then ends. */
  refuse(code: string): void {
    this.#send({ kind: 'refused', code });
    this.end(code);
  }

  refuseUnlessLive(): void {
    if (!this.#options.isLive()) this.refuse('node.refused');
  }

  #message(bytes: Uint8Array): void {
    if (this.#ended) return;
    if (this.#options.link.queuedBytes > unreadBytesMax) {
      this.end('unread');
      return;
    }
    try {
      const message = decodeFromEnforcer(bytes);
      if (!message) return;
      if (message.kind === 'hello' && !this.#greeted) {
        this.#greeted = true;
        void this.#hello(message);
      } else if (message.kind !== 'hello' && this.#introduced) this.#received(message);
      else this.refuse('stream.malformed');
    } catch (error) {
      this.#options.log.warn('stream.refused', { node: this.#options.node, ...errorFields(error) });
      this.refuse(isFault(error) ? error.code : 'stream.malformed');
    }
  }

  async #hello(hello: Extract<FromEnforcer, { kind: 'hello' }>): Promise<void> {
    const { delivery, audit, nodes, node, leaseMs, leaseEveryMs } = this.#options;
    try {
      if (hello.protocol !== streamProtocol) {
        this.refuse('stream.version');
        return;
      }
      if (hello.checkpoint !== '') {
        const verdict = await audit.observe(node, hello.checkpoint);
        if (verdict === 'consistent' || verdict === 'behind')
          this.#witnessed = sizeOf(hello.checkpoint);
        this.#options.log[isAlarm(verdict) ? 'error' : 'debug']('witness.observed', {
          node,
          verdict,
        });
        if (isAlarm(verdict)) this.#contradicted(verdict, sizeOf(hello.checkpoint));
      }
      const { verifierKey } = await audit.checkpoint(0, { recent: true });
      if (this.#ended) return;
      if (!this.#options.isLive()) throw new Fault('node.refused', { reason: 'revoked' });
      // Before it is given a lease: one that says too much is not renewed either.
      if (!delivery.admits(node)) throw new Fault('rate.exceeded', { node });
      this.#introduced = true;
      this.#answeredAtMs = this.#options.clock.monotonicMs();
      nodes.seen(node, { version: hello.version, weakenings: hello.weakenings });
      const welcome = {
        protocol: streamProtocol,
        leaseMs,
        leaseEveryMs,
        checkpointVerifier: verifierKey,
      };
      this.#send({ kind: 'welcome', ...welcome });
      this.#lease();
      this.#after(this.#spread(1000), () => void this.#showCheckpoint());
      delivery.connected(node, this.#channel, { workloads: hello.workloads, held: hello.held });
      this.#renewWithin(delivery.shortestLeaseMs(node));
    } catch (error) {
      this.#options.log.warn('stream.hello-failed', { node, ...errorFields(error) });
      this.refuse(codeOf(error));
    }
  }

  #received(message: Exclude<FromEnforcer, { kind: 'hello' }>): void {
    const { delivery, nodes, node, log } = this.#options;
    switch (message.kind) {
      case 'workload-started':
        delivery.workloadStarted(node, message.workload);
        break;
      case 'workload-stopped':
        delivery.workloadStopped(node, message.workloadId);
        break;
      case 'receipt':
        delivery.receipt(node, message.receipt);
        break;
      case 'lease-seen':
        // Only of what was sent: a node cannot answer in advance.
        this.#leaseSeen = Math.max(this.#leaseSeen, Math.min(message.serial, this.#leaseSerial));
        this.#answeredAtMs = this.#options.clock.monotonicMs();
        break;
      case 'checkpoint-seen':
        this.#isShowing = false;
        if (message.refused === '') this.#cosigned(message.cosignature);
        else {
          const { refused, size } = message;
          log.error('witness.refused', { node, verdict: refused, size });
          if (isAlarm(refused)) this.#contradicted(refused, size);
        }
        break;
      case 'renew':
        void this.#renew(message.certificateRequest);
        break;
      case 'health':
        nodes.seen(node, { version: '', weakenings: message.weakenings });
        for (const workload of new Set(message.tampered).difference(this.#tampered)) {
          log.warn('mount.tampered', { node, workload });
        }
        this.#tampered = message.tampered.length === 0 ? nothing : new Set(message.tampered);
        break;
    }
    this.#resumeIfDrained();
  }

  /** It remembers what it was shown: nothing larger, and only what it signed with its own key. */
  #cosigned(cosignature: string): void {
    const { nodes, delivery, node, log, witnessKey } = this.#options;
    const { note, size } = this.#shown;
    if (isCosigned(note, cosignature, witnessKey)) {
      this.#witnessed = size;
      nodes.witnessed(node, size);
      return;
    }
    // Once per connection: the next ones say nothing new.
    if (this.#hasMiscosigned) return;
    this.#hasMiscosigned = true;
    log.error('witness.cosignature', { node, size });
    const detail = { size: String(size) };
    delivery.noted(node, { action: 'witness.cosign', outcome: 'witness.cosignature', detail });
  }

  /** It remembers another log than ours. Once per connection: it says so every minute. */
  #contradicted(verdict: keyof typeof alarms, size: number): void {
    if (this.#hasContradicted) return;
    this.#hasContradicted = true;
    const { delivery, node } = this.#options;
    const detail = { size: String(size) };
    delivery.noted(node, { action: 'witness.refuse', outcome: alarms[verdict], detail });
  }

  async #renew(certificateRequest: string): Promise<void> {
    const { renew, delivery, node, log } = this.#options;
    // Each renewal is a commit: a node that asks faster than it is answered asks once.
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      const certificate = await renew(certificateRequest);
      this.#send({ kind: 'renewed', certificate });
    } catch (error) {
      log.warn('node.renew-refused', { node, ...errorFields(error) });
      delivery.noted(node, { action: 'node.renew', outcome: codeOf(error), detail: {} });
      this.#send({ kind: 'refused', code: codeOf(error) });
    } finally {
      this.#renewing = false;
    }
  }

  #lease(): void {
    if (this.#ended) return;
    const { clock, leaseEveryMs, delivery, node } = this.#options;
    const silentMs = clock.monotonicMs() - this.#answeredAtMs;
    const unanswered = this.#leaseSerial - this.#leaseSeen;
    if (unanswered >= unansweredMax && silentMs >= leaseEveryMs * unansweredMax * (1 - jitter)) {
      this.end('silent');
      return;
    }
    this.#leaseSerial += 1;
    this.#send({ kind: 'lease', serial: this.#leaseSerial });
    this.#resumeIfDrained();
    this.#leaseEveryMs = this.#everyMsFor(delivery.shortestLeaseMs(node));
    this.#nextLease = this.#after(this.#spread(this.#leaseEveryMs), () => this.#lease());
  }

  #everyMsFor(leaseMs: number): number {
    const { leaseEveryMs } = this.#options;
    return Math.min(leaseEveryMs, Math.max(leaseMs / renewalsPerLease, leaseEveryMsMin));
  }

  /** A set with a short lease is on its way: the next renewal may be too late for it. */
  #renewWithin(leaseMs: number): void {
    if (this.#everyMsFor(leaseMs) >= this.#leaseEveryMs) return;
    if (this.#nextLease) {
      this.#nextLease.cancel();
      this.#timers.delete(this.#nextLease);
    }
    this.#lease();
  }

  async #showCheckpoint(): Promise<void> {
    if (this.#ended) return;
    // A proof starts from what the node said it remembers: while it has not answered, that is not known.
    if (!this.#isShowing) await this.#showOne();
    this.#after(this.#spread(this.#options.checkpointEveryMs), () => void this.#showCheckpoint());
  }

  async #showOne(): Promise<void> {
    try {
      const { note, size, consistency } = await this.#options.audit.checkpoint(this.#witnessed, {
        recent: true,
      });
      this.#isShowing = true;
      this.#shown = { note, size };
      this.#send({ kind: 'checkpoint', note, consistency });
    } catch (error) {
      this.#options.log.warn('witness.not-shown', {
        node: this.#options.node,
        ...errorFields(error),
      });
    }
  }

  /** Delivery skips a channel that is full; it must hear when there is room again. */
  #resumeIfDrained(): void {
    if (!this.#introduced || !this.#held || !this.#channel.ready) return;
    this.#held = false;
    this.#options.delivery.drained(this.#options.node);
  }

  #send(message: FromGateway): void {
    if (!this.#ended) this.#options.link.send(encodeFromGateway(message));
  }

  /**
   * ± 10 %, so that five thousand nodes do not speak at once. In steps, because timers of one length
   * share what they need.
   */
  #spread(delayMs: number): number {
    const step = Math.floor(this.#options.random.fraction() * jitterSteps) / (jitterSteps - 1);
    return delayMs * (1 - jitter + 2 * jitter * step);
  }

  #after(delayMs: number, act: () => void): Timer | undefined {
    if (this.#ended) return undefined;
    const timer = this.#options.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      act();
    });
    this.#timers.add(timer);
    return timer;
  }

  #close(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    this.#options.delivery.disconnected(this.#options.node, this.#channel);
    this.#options.ended(reason);
  }
}

function isAlarm(verdict: string): verdict is keyof typeof alarms {
  return Object.hasOwn(alarms, verdict);
}

function sizeOf(note: string): number {
  const text = parseNote(note)?.text;
  return (text === undefined ? undefined : parseCheckpoint(text))?.size ?? 0;
}
