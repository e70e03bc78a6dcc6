/**
 * One node at work: attests what starts, holds what the gateway assigns, keeps a connection and its
 * certificate, and says what happened while nobody was there to hear. What it works on (clock, network,
 * disk, kernel, engine) is given to it: `enforcer.ts` gives it this machine's.
 */
import type { Clock } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import type { Random } from '../base/random.ts';
import { noteSigner } from '../crypto/note.ts';
import type { SignalName } from '../model/grant.ts';
import type { WorkloadProcess } from '../model/workload.ts';
import type { Link } from '../wire/link.ts';
import type { Attestor } from './attest/attest.ts';
import { Containers } from './containers.ts';
import { Holdings } from './holdings.ts';
import type { Mounts } from './mount/mount.ts';
import { Receipts } from './receipts.ts';
import { type RememberedState, withoutWorkload } from './remembered.ts';
import type { RememberedFile } from './remembered-file.ts';
import type { Runtime } from './runtime/runtime.ts';
import { Session, type SessionOptions } from './session.ts';
import { type Credentials, keepConnected, NodeCertificate } from './uplink/uplink.ts';
import { Witness, type WitnessMemory } from './witness.ts';

export interface NodeOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  readonly bootId: string;
  readonly weakenings: () => readonly string[];
  /** Ends the node; what is in place stays for its successor. */
  readonly signal: AbortSignal;
  readonly credentials: Credentials;
  /** One attempt. @throws Fault as `connect` of the uplink */
  readonly connect: (credentials: Credentials, signal: AbortSignal) => Promise<Link>;
  readonly runtime: Pick<Runtime, 'watch'>;
  readonly attestor: Attestor;
  /** Closed with the node. */
  readonly mounts: Mounts;
  readonly processes: NodeProcesses;
  readonly disk: NodeDisk;
}

export interface NodeProcesses {
  /** Whether it is still the one that was attested. */
  isRunning(process: WorkloadProcess): boolean;
  /** @returns whether it is still the one that was attested, and was sent the signal */
  signal(process: WorkloadProcess, name: SignalName): boolean;
}

/** What a node leaves for its successor; all but the first outlives the machine. */
export interface NodeDisk {
  readonly remembered: RememberedFile;
  saveCertificate(pem: string): void;
  loadWitness(): WitnessMemory | undefined;
  /** Durable when it returns. */
  saveWitness(memory: WitnessMemory): void;
}

const syncWithinMs = 10_000;
const lookEveryMs = 15_000;

export class Node {
  readonly #options: NodeOptions;
  readonly #holdings: Holdings;
  readonly #witness: Witness;
  readonly #containers: Containers;
  readonly #certificate: NodeCertificate;
  readonly #receipts: Receipts;
  #session: Session | undefined;

  constructor(options: NodeOptions) {
    const { clock, log, credentials, runtime, attestor, mounts, processes, disk } = options;
    this.#options = options;
    const save = (pem: string): void => disk.saveCertificate(pem);
    this.#certificate = new NodeCertificate({ clock, log, credentials, save });
    const remembered = ofTheLiving(disk.remembered.load(), processes);
    this.#receipts = new Receipts(log, remembered?.unheard);
    this.#holdings = new Holdings({
      clock,
      log,
      mounts,
      signal: ({ id, process }, name) => {
        const sent = processes.signal(process, name);
        log.debug('workload.signalled', { workload: id, name, sent });
      },
      remember: (state) => disk.remembered.soon(() => ({ ...state(), ...this.#receipts.remains })),
      remembered: () => disk.remembered.written(),
      told: (receipt) => this.#receipts.tell(receipt),
    });
    if (remembered) this.#holdings.resume(remembered);
    this.#containers = new Containers({
      clock,
      log,
      runtime,
      attestor,
      holdings: this.#holdings,
      admitted: () => disk.remembered.written(),
      started: (workload) => this.#session?.workloadStarted(workload),
      stopped: (workloadId) => this.#session?.workloadStopped(workloadId),
    });
    this.#witness = new Witness({
      clock,
      signer: noteSigner('cosignature', `node/${credentials.node}`, credentials.privateKey),
      remembered: disk.loadWitness(),
      remember: (memory) => disk.saveWitness(memory),
    });
    const { alarm } = this.#witness;
    if (alarm !== undefined) log.error('witness.alarm', { reason: alarm, since: 'earlier' });
  }

  async run(): Promise<void> {
    const { clock, random, log, signal, connect } = this.#options;
    const synced = Promise.withResolvers<void>();
    const watching = this.#containers.watch(signal, () => synced.resolve());
    // Say everything at once rather than nothing now: a hello without containers would withdraw nothing,
    // but would have to be followed by all of them.
    await Promise.race([
      watching,
      synced.promise,
      clock.sleep(syncWithinMs, signal).catch(() => {}),
    ]);
    const uplink = {
      clock,
      random,
      log,
      connect: (ending: AbortSignal) => connect(this.#certificate.credentials, ending),
    };
    // Together, so that none of them ends unnoticed: who watches nothing would hold things for ever.
    const together = Promise.all([
      watching,
      this.#lookAround(),
      this.#certificate.keep(signal, (request) => this.#session?.renew(request) ?? false),
      keepConnected(uplink, signal, (link) => this.#use(link)),
    ]);
    // Nothing could be withdrawn any more: our successor can.
    await Promise.race([together, this.#options.mounts.ended]);
  }

  async close(): Promise<void> {
    this.#session?.end('going-away');
    this.#holdings.close();
    this.#options.disk.remembered.flush();
    await this.#options.mounts.close();
  }

  async #use(link: Link): Promise<void> {
    const { signal, clock, log, version, bootId, weakenings } = this.#options;
    const ended = Promise.withResolvers<void>();
    const session: Session = new Session({
      clock,
      log,
      link,
      version,
      holdings: this.#holdingsHeard(() => {
        this.#receipts.welcomed((receipt) => session.receipt(receipt));
      }),
      witness: this.#witness,
      bootId,
      weakenings,
      report: (receipt) => this.#receipts.tell(receipt),
      checkpointShown: () => this.#receipts.checkpointShown(),
      renewed: (certificate) => this.#certificate.renewed(certificate),
      notRenewed: (code) => this.#certificate.refused(code),
      ended: (reason) => {
        log.info('gateway.disconnected', { reason });
        this.#receipts.lost();
        ended.resolve();
      },
    });
    this.#session = session;
    const stop = (): void => session.end('going-away');
    signal.addEventListener('abort', stop, { once: true });
    await ended.promise;
    signal.removeEventListener('abort', stop);
    this.#session = undefined;
  }

  #holdingsHeard(heard: () => void): SessionOptions['holdings'] {
    const holdings = this.#holdings;
    return {
      get workloads() {
        return holdings.workloads;
      },
      get held() {
        return holdings.held;
      },
      heard() {
        holdings.heard();
        heard();
      },
      assign: (set) => holdings.assign(set),
    };
  }

  /** Looks whether mounts are still as they were made. */
  async #lookAround(): Promise<void> {
    const { clock, signal, log } = this.#options;
    let known: ReadonlySet<string> = new Set();
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const tampered = await this.#holdings.tampered();
        for (const workload of tampered) {
          if (!known.has(workload)) log.warn('mount.tampered', { workload });
        }
        known = new Set(tampered);
        this.#session?.health(this.#holdings.held.length, tampered);
      } catch (error) {
        log.error('look.failed', errorFields(error));
      }
    }
  }
}

/** Containers that ended while nobody was here hold nothing, and would be remembered for ever. */
function ofTheLiving(
  state: RememberedState | undefined,
  processes: NodeProcesses,
): RememberedState | undefined {
  let living = state;
  for (const { workloadId, process } of state?.processes ?? []) {
    if (!processes.isRunning(process)) living = withoutWorkload(living, workloadId);
  }
  return living;
}
