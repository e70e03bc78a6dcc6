/**
 * The enforcer: one per node. Attests what runs, holds what the gateway assigns, and lets it go in
 * time. The only wiring of its rooms.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, isFault } from '../base/fault.ts';
import { errorFields, type Log } from '../base/log.ts';
import { machineWeakenings } from '../base/machine-weakenings.ts';
import type { Random } from '../base/random.ts';
import { noteSigner } from '../crypto/note.ts';
import { makeUndumpable } from '../linux/libc.ts';
import { bootId, HeldProcess, signalProcess } from '../linux/process.ts';
import type { SetReceipt } from '../model/assignment.ts';
import type { SignalName } from '../model/grant.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import type { Link } from '../wire/link.ts';
import { createAttestor } from './attest/attest.ts';
import type { EnforcerConfig } from './config.ts';
import { Containers } from './containers.ts';
import { lockDirectories, openRunDirectory } from './directory-lock.ts';
import { Holdings } from './holdings.ts';
import { openMounts } from './mount/mount.ts';
import { type RememberedState, withoutWorkload } from './remembered.ts';
import { RememberedFile } from './remembered-file.ts';
import { createRuntime } from './runtime/runtime.ts';
import { Session } from './session.ts';
import {
  type Credentials,
  joinGateway,
  keepConnected,
  loadCredentials,
  NodeCertificate,
  openStateDirectory,
} from './uplink/uplink.ts';
import { WatchdogProcess } from './watchdog-process.ts';
import { Witness } from './witness.ts';
import { loadWitnessMemory, saveWitnessMemory } from './witness-file.ts';

export interface EnforcerContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  /** Ends the enforcer; what is in place stays for its successor. */
  readonly signal: AbortSignal;
}

const syncWithinMs = 10_000;
const lookEveryMs = 15_000;
const untoldMax = 4096;

export async function runEnforcer(config: EnforcerConfig, context: EnforcerContext): Promise<void> {
  makeUndumpable();
  openStateDirectory(config.stateDirectory);
  openRunDirectory(config.runDirectory);
  using _locks = lockDirectories([config.stateDirectory, config.runDirectory]);
  let credentials = loadCredentials(config.stateDirectory);
  if (!credentials || config.joinToken !== undefined) credentials = await join(config, context);
  const file = new RememberedFile({ directory: config.runDirectory, ...context });
  const remembered = ofTheLiving(file.load());
  using watchdog = config.watchdog ? new WatchdogProcess(config, context) : undefined;
  const node = new Node(config, context, credentials, { file, remembered });
  try {
    context.log.info('enforcer.started', { node: credentials.node, watchdog: watchdog?.pid });
    await node.run();
  } finally {
    await node.close();
  }
}

/** Containers that ended while nobody was here hold nothing, and would be remembered for ever. */
function ofTheLiving(state: RememberedState | undefined): RememberedState | undefined {
  let living = state;
  for (const { workloadId, process } of state?.processes ?? []) {
    using held = HeldProcess.openSame(process);
    if (held === undefined) living = withoutWorkload(living, workloadId);
  }
  return living;
}

async function join(config: EnforcerConfig, context: EnforcerContext): Promise<Credentials> {
  const known = loadCredentials(config.stateDirectory);
  if (config.joinToken === undefined) throw new Fault('enforcer.not-joined');
  try {
    const { stateDirectory, joinToken: token } = config;
    const joined = await joinGateway({ ...context, stateDirectory, token });
    saveWitnessMemory(stateDirectory, undefined);
    context.log.info('enforcer.joined', { node: joined.node });
    return joined;
  } catch (error) {
    // A restart with the token it joined with long ago, still in its arguments, is no failure.
    if (known && isFault(error)) {
      context.log.warn('enforcer.token-not-used', errorFields(error));
      return known;
    }
    throw error;
  }
}

interface NodeState {
  readonly file: RememberedFile;
  readonly remembered: RememberedState | undefined;
}

/** Everything that lives as long as this process. */
class Node {
  readonly #config: EnforcerConfig;
  readonly #context: EnforcerContext;
  readonly #file: RememberedFile;
  readonly #mounts;
  readonly #holdings: Holdings;
  readonly #witness: Witness;
  readonly #containers: Containers;
  readonly #certificate: NodeCertificate;
  #session: Session | undefined;
  /** Receipts that no gateway was there to hear. */
  #untold: SetReceipt[] = [];

  constructor(
    config: EnforcerConfig,
    context: EnforcerContext,
    credentials: Credentials,
    state: NodeState,
  ) {
    this.#config = config;
    this.#context = context;
    const { stateDirectory } = config;
    this.#certificate = new NodeCertificate({ ...context, stateDirectory, credentials });
    this.#file = state.file;
    const { targetPrefixes } = config;
    this.#mounts = openMounts({ ...context, ...(targetPrefixes ? { targetPrefixes } : {}) });
    this.#holdings = new Holdings({
      ...context,
      mounts: this.#mounts,
      signal: (workload, name) => this.#signal(workload, name),
      remember: (remembered, when) => {
        this.#file.soon(remembered);
        if (when === 'now') this.#file.flush();
      },
      told: (receipt) => this.#tell(receipt),
    });
    if (state.remembered) this.#holdings.resume(state.remembered);
    const runtime = createRuntime(config.runtime, context);
    this.#containers = new Containers({
      ...context,
      runtime,
      attestor: createAttestor({ runtime, node: credentials.node }),
      holdings: this.#holdings,
      remembered: state.remembered,
      admitted: () => this.#file.flush(),
      started: (workload) => this.#session?.workloadStarted(workload),
      stopped: (workloadId) => this.#session?.workloadStopped(workloadId),
    });
    this.#witness = new Witness({
      clock: context.clock,
      signer: noteSigner('cosignature', `node/${credentials.node}`, credentials.privateKey),
      remembered: loadWitnessMemory(stateDirectory),
      remember: (memory) => saveWitnessMemory(stateDirectory, memory),
    });
    const { alarm } = this.#witness;
    if (alarm !== undefined)
      context.log.error('witness.alarm', { reason: alarm, since: 'earlier' });
  }

  async run(): Promise<void> {
    const { clock, signal } = this.#context;
    const synced = Promise.withResolvers<void>();
    const watching = this.#containers.watch(signal, () => synced.resolve());
    // Say everything at once rather than nothing now: a hello without containers would withdraw nothing,
    // but would have to be followed by all of them.
    await Promise.race([
      watching,
      synced.promise,
      clock.sleep(syncWithinMs, signal).catch(() => {}),
    ]);
    const looking = this.#lookAround();
    const options = { ...this.#context, credentials: () => this.#certificate.credentials };
    // Together, so that none of them ends unnoticed: who watches nothing would hold things for ever.
    await Promise.all([
      watching,
      looking,
      this.#certificate.keep(signal, (request) => this.#session?.renew(request) ?? false),
      keepConnected(options, signal, (link) => this.#use(link)),
    ]);
  }

  async close(): Promise<void> {
    this.#session?.end('going-away');
    this.#holdings.close();
    this.#file.flush();
    await this.#mounts.close();
  }

  async #use(link: Link): Promise<void> {
    const { signal, clock, log, version } = this.#context;
    const ended = Promise.withResolvers<void>();
    const session = new Session({
      clock,
      log,
      link,
      version,
      holdings: this.#holdings,
      witness: this.#witness,
      bootId: bootId(),
      weakenings: () => this.#weakenings(),
      report: (receipt) => this.#tell(receipt),
      renewed: (certificate) => this.#certificate.renewed(certificate),
      notRenewed: (code) => this.#certificate.refused(code),
      ended: (reason) => {
        log.info('gateway.disconnected', { reason });
        ended.resolve();
      },
    });
    this.#session = session;
    for (const receipt of this.#untold.splice(0)) session.receipt(receipt);
    const stop = (): void => session.end('going-away');
    signal.addEventListener('abort', stop, { once: true });
    await ended.promise;
    signal.removeEventListener('abort', stop);
    this.#session = undefined;
  }

  /** A wipe in the silence is told when the gateway is back: its log must show it. */
  #tell(receipt: SetReceipt): void {
    if (this.#session) this.#session.receipt(receipt);
    else if (this.#untold.push(receipt) > untoldMax) this.#untold.shift();
  }

  /** Looks whether mounts are still as they were made. */
  async #lookAround(): Promise<void> {
    const { clock, signal, log } = this.#context;
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const tampered = await this.#holdings.tampered();
        for (const workload of tampered) log.warn('mount.tampered', { workload });
        this.#session?.health(this.#holdings.held.length, tampered);
      } catch (error) {
        log.error('look.failed', errorFields(error));
      }
    }
  }

  #signal(workload: WorkloadFacts, name: SignalName): void {
    const sent = signalProcess(workload.process, name);
    this.#context.log.debug('workload.signalled', { workload: workload.id, name, sent });
  }

  #weakenings(): readonly string[] {
    return [...machineWeakenings(), ...(this.#config.watchdog ? [] : ['no-watchdog'])];
  }
}
