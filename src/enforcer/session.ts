/**
 * The enforcer's end of the node stream: says what runs and what is held, carries assignments to
 * the holdings, and receipts back. One per connection; what outlives it is in `Holdings` and `Receipts`.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { AssignedSet, SetReceipt } from '../model/assignment.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import {
  decodeFromGateway,
  encodeFromEnforcer,
  type FromEnforcer,
  type FromGateway,
  streamProtocol,
} from '../protocol/stream-messages.ts';
import type { Link } from '../wire/link.ts';
import type { Holdings } from './holdings.ts';
import { introduce } from './introduction.ts';
import { isHeld, withoutNew } from './reconcile.ts';
import type { Witness } from './witness.ts';

export interface SessionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly link: Link;
  readonly holdings: Pick<Holdings, 'workloads' | 'held' | 'heard' | 'assign'>;
  readonly witness: Witness;
  readonly version: string;
  readonly bootId: string;
  readonly weakenings: () => readonly string[];
  /**
   * Sends a receipt on whatever connection there is by then: the one that brought the assignment may have
   * ended, and what the next one said at its start did not know of it yet.
   */
  readonly report: (receipt: SetReceipt) => void;
  /** Before it is answered. */
  readonly checkpointShown: () => void;
  /** A renewed certificate for the key that asked. */
  readonly renewed: (certificate: string) => void;
  /** No certificate for now: what we have goes on, and so does the stream. */
  readonly notRenewed: (code: string) => void;
  readonly ended: (reason: string) => void;
}

/** Before the gateway has said how often it speaks. */
const silenceMsFirst = 30_000;
const silentLeasesMax = 3;

export class Session {
  readonly #options: SessionOptions;
  /** What is said only after the welcome; undefined since then. */
  #waiting: FromEnforcer[] | undefined = [];
  #ended = false;
  /** A certificate was asked for, and there was no answer yet. */
  #isRenewing = false;
  #heardAtMs: number;
  #silenceMs = silenceMsFirst;
  #silence: Timer | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#heardAtMs = options.clock.bootMs();
    options.link.open({
      message: (bytes) => this.#message(bytes),
      closed: (reason) => this.#close(reason),
    });
    const { holdings, witness, version, bootId } = options;
    const { workloads, held, later } = introduce(holdings.workloads, holdings.held);
    const hello: FromEnforcer = {
      kind: 'hello',
      protocol: streamProtocol,
      version,
      bootId,
      workloads,
      held,
      checkpoint: witness.note,
      weakenings: options.weakenings(),
    };
    if (!this.#ended) options.link.send(encodeFromEnforcer(hello));
    for (const workload of later) this.workloadStarted(workload);
    this.#listen();
  }

  /** Says also what an earlier enforcer left there: the hello of this connection did not. */
  workloadStarted(workload: WorkloadFacts): void {
    this.#send({ kind: 'workload-started', workload });
    for (const held of this.#options.holdings.held) {
      if (held.workloadId !== workload.id) continue;
      this.receipt({ ...held, outcome: 'placed', fault: '', tookUs: 0 });
    }
  }

  workloadStopped(workloadId: string): void {
    this.#send({ kind: 'workload-stopped', workloadId });
  }

  receipt(receipt: SetReceipt): void {
    this.#send({ kind: 'receipt', receipt });
  }

  health(mounts: number, tampered: readonly string[]): void {
    this.#send({ kind: 'health', mounts, tampered, weakenings: this.#options.weakenings() });
  }

  /** @returns whether it was sent: not before the welcome. */
  renew(certificateRequest: string): boolean {
    if (this.#ended || this.#waiting) return false;
    this.#isRenewing = true;
    this.#send({ kind: 'renew', certificateRequest });
    return true;
  }

  end(reason: string): void {
    this.#options.link.close(reason);
    this.#close(reason);
  }

  #message(bytes: Uint8Array): void {
    if (this.#ended) return;
    // This process, or the whole machine, was stopped for long: what waited in the connection is as old,
    // and the gateway has given it up.
    if (this.#options.clock.bootMs() - this.#heardAtMs > this.#silenceMs) {
      this.end('silent');
      return;
    }
    try {
      const message = decodeFromGateway(bytes);
      if (message) this.#received(message);
    } catch (error) {
      this.#options.log.error('stream.malformed', errorFields(error));
      this.end('malformed');
    }
  }

  #received(message: FromGateway): void {
    const { holdings, witness, log } = this.#options;
    switch (message.kind) {
      case 'welcome':
        witness.meet(message.checkpointVerifier);
        this.#silenceMs = message.leaseEveryMs * silentLeasesMax;
        holdings.heard();
        this.#listen();
        this.#sendWaiting();
        break;
      case 'lease':
        holdings.heard();
        this.#listen();
        this.#send({ kind: 'lease-seen', serial: message.serial });
        break;
      case 'assign':
        void this.#assign(message.set);
        break;
      case 'checkpoint':
        this.#options.checkpointShown();
        this.#send(this.#considered(message));
        break;
      case 'renewed':
        this.#isRenewing = false;
        this.#options.renewed(message.certificate);
        break;
      case 'refused':
        if (this.#isRenewing) {
          // Should it mean more than that, then the gateway ends the connection next.
          this.#isRenewing = false;
          this.#options.notRenewed(message.code);
          break;
        }
        log.error('gateway.refused', { code: message.code });
        this.end(message.code);
        break;
    }
  }

  #considered(shown: Extract<FromGateway, { kind: 'checkpoint' }>): FromEnforcer {
    const { witness, log } = this.#options;
    const said = { kind: 'checkpoint-seen', cosignature: '', refused: '' } as const;
    try {
      const answer = witness.consider(shown.note, shown.consistency);
      const { size } = answer;
      if (answer.kind === 'accepted') return { ...said, size, cosignature: answer.cosignature };
      log.error('witness.alarm', { reason: answer.reason, size });
      return { ...said, size, refused: answer.reason };
    } catch (error) {
      // No room to remember it, say. Nothing is wrong with the gateway: it shows the next one in a minute.
      log.error('witness.not-remembered', errorFields(error));
      return { ...said, size: 0, refused: witness.alarm ?? 'not-remembered' };
    }
  }

  async #assign(set: AssignedSet): Promise<void> {
    const { holdings, witness, report } = this.#options;
    const isNew = set.files.some(({ content }) => content !== 'keep');
    if (witness.alarm === undefined || !isNew) report(await holdings.assign(set));
    else report(await this.#assignWithoutNew(set));
  }

  /** The log was rewritten: no new secret is taken from such a gateway, but what it withdraws goes. */
  async #assignWithoutNew(set: AssignedSet): Promise<SetReceipt> {
    for (const { content } of set.files) if (content !== 'keep') content[Symbol.dispose]();
    const { holdings } = this.#options;
    const { workloadId, target, setRevision } = set;
    const held = holdings.held.find(
      (other) => other.workloadId === workloadId && other.target === target,
    );
    const rest = withoutNew(set, held);
    const there = isHeld(rest, held)
      ? { workloadId, target, setRevision, files: held?.files ?? [], terms: held?.terms ?? '' }
      : await holdings.assign(rest);
    return { ...there, outcome: 'failed', fault: 'witness.alarm', tookUs: 0 };
  }

  /** A gateway that has not welcomed us refuses whatever is not the hello. */
  #send(message: FromEnforcer): void {
    if (this.#waiting) this.#waiting.push(message);
    else if (!this.#ended) this.#options.link.send(encodeFromEnforcer(message));
  }

  #sendWaiting(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const message of waiting) this.#send(message);
  }

  /** A gateway that says nothing for three leases' time is taken for gone: try another connection. */
  #listen(): void {
    this.#heardAtMs = this.#options.clock.bootMs();
    this.#silence?.cancel();
    this.#silence = this.#options.clock.setTimer(this.#silenceMs, () => this.end('silent'));
  }

  #close(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#silence?.cancel();
    this.#options.ended(reason);
  }
}
