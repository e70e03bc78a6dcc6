/**
 * A simulated machine with an enforcer and its watchdog: the real ones, over a kernel, an engine, a disk and
 * a network in memory.
 */
import type { Log } from '../base/log.ts';
import { createAttestor } from '../enforcer/attest/attest.ts';
import { Node } from '../enforcer/node.ts';
import { type RememberedState, stateFromText } from '../enforcer/remembered.ts';
import { RememberedFile, type RememberedPlace } from '../enforcer/remembered-file.ts';
import { type NewCredentials, readCredentials } from '../enforcer/uplink/credentials.ts';
import { Watchdog } from '../enforcer/watchdog.ts';
import type { WitnessMemory } from '../enforcer/witness.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import type { Link, LinkHandlers } from '../wire/link.ts';
import { FakeKernel, FakeMounts } from './fake-mounts.ts';
import { type FakeContainer, fakeFacts, fakeProcesses, FakeRuntime } from './fake-runtime.ts';
import type { SimClock, SimTime } from './sim-clock.ts';
import type { SimNetwork } from './sim-network.ts';
import type { SeededRandom } from './sim-random.ts';

export interface SimNodeOptions {
  readonly machine: string;
  readonly time: SimTime;
  readonly random: SeededRandom;
  readonly log: Log;
  readonly network: SimNetwork;
  /** An enforcer came to an end that nobody asked for. */
  readonly failed: (error: unknown) => void;
}

/** Where grants of a run put their files. */
export const targets = ['/run/secrets', '/run/coffer'] as const;

/** A call into the kernel on a busy machine: time for everything else to come between. */
const mountMsMax = 80;

/** As the systemd unit has it. */
const restartMs = 1000;

interface Enforcer {
  readonly clock: SimClock;
  readonly ending: AbortController;
}

export class SimNode {
  readonly machine: string;
  readonly kernel = new FakeKernel();
  readonly runtime = new FakeRuntime();
  /** What runs, by workload id. */
  readonly containers = new Map<string, WorkloadFacts>();
  /** What outlives the enforcer. */
  readonly disk: {
    joined: NewCredentials | undefined;
    witness: WitnessMemory | undefined;
    remembered: string | undefined;
  } = { joined: undefined, witness: undefined, remembered: undefined };
  /** When its last certificate was made, on the wall clock. */
  certifiedAtMs = 0;
  readonly #options: SimNodeOptions;
  /** What its enforcer says of containers, against the truth; by the container's id. */
  readonly #lies = new Map<string, WorkloadFacts>();
  #enforcer: Enforcer | undefined;
  #isStopped = false;
  #watchdogs = 0;
  #read: { readonly text: string; readonly state: RememberedState } | undefined;

  constructor(options: SimNodeOptions) {
    this.machine = options.machine;
    this.#options = options;
  }

  /** As the gateway knows it; empty before it has joined. */
  get name(): string {
    return this.disk.joined?.node ?? '';
  }

  get enforcerIsUp(): boolean {
    return this.#enforcer !== undefined;
  }

  get enforcerIsStopped(): boolean {
    return this.#isStopped;
  }

  /** What a successor of its enforcer would know. */
  get remembered(): RememberedState | undefined {
    const { remembered: text } = this.disk;
    if (text === undefined) return undefined;
    if (this.#read?.text !== text) this.#read = { text, state: stateFromText(text) };
    return this.#read.state;
  }

  /** With a new key, and nothing of what it knew of the gateway before. */
  joined(credentials: NewCredentials): void {
    this.killEnforcer();
    this.disk.joined = credentials;
    this.certifiedAtMs = this.#options.time.wallMs;
    this.disk.witness = undefined;
  }

  startEnforcer(): void {
    const { joined } = this.disk;
    if (!joined || this.#enforcer) return;
    const clock = this.#options.time.clock();
    const enforcer = { clock, ending: new AbortController() };
    this.#enforcer = enforcer;
    this.#startWatchdog(enforcer);
    const node = this.#makeNode(enforcer, joined);
    node.run().then(
      async () => {
        await node.close();
        this.#ended(enforcer);
        this.#options.time.at(restartMs, () => this.startEnforcer());
      },
      (error: unknown) => this.#options.failed(error),
    );
  }

  killEnforcer(): void {
    const enforcer = this.#enforcer;
    if (!enforcer) return;
    this.#ended(enforcer);
    this.#options.network.enforcerDied(this.machine);
  }

  /** SIGTERM: it says goodbye, ends, and is started again. */
  endEnforcer(): void {
    const enforcer = this.#enforcer;
    enforcer?.clock.run(() => enforcer.ending.abort());
  }

  /** SIGSTOP, or SIGCONT. */
  stopEnforcer(on: boolean): void {
    this.#isStopped = on && this.enforcerIsUp;
    if (on) this.#enforcer?.clock.pause();
    else this.#enforcer?.clock.resume();
  }

  startContainer(options: FakeContainer): WorkloadFacts {
    return this.#runs(this.runtime.start(options));
  }

  stopContainer(id: string): void {
    const facts = this.containers.get(id);
    if (!facts) return;
    this.#hasEnded(facts);
    this.runtime.stop(facts.containerId);
  }

  /** In place: the same container, another process. */
  restartContainer(id: string): WorkloadFacts | undefined {
    const facts = this.containers.get(id);
    if (!facts) return undefined;
    this.#hasEnded(facts);
    return this.#runs(this.runtime.restart(facts.containerId));
  }

  /** Its enforcer says that this runs here, which runs elsewhere. */
  claim(facts: WorkloadFacts): void {
    this.#lies.set(facts.containerId, facts);
    this.runtime.start({ name: facts.name, id: facts.containerId });
  }

  /** What the container reads, by path. */
  read(facts: WorkloadFacts): ReadonlyMap<string, string> {
    const files = new Map<string, string>();
    for (const target of targets) {
      for (const [file, text] of this.kernel.read(facts.process, target)) {
        files.set(`${target}/${file}`, text);
      }
    }
    return files;
  }

  #runs(container: ReturnType<FakeRuntime['start']>): WorkloadFacts {
    const facts = fakeFacts(container, { kind: this.runtime.kind, node: this.machine });
    this.containers.set(facts.id, facts);
    return facts;
  }

  #hasEnded(facts: WorkloadFacts): void {
    this.containers.delete(facts.id);
    this.kernel.end(facts.process);
  }

  #ended(enforcer: Enforcer): void {
    enforcer.clock.stop();
    if (this.#enforcer !== enforcer) return;
    this.#enforcer = undefined;
    this.#isStopped = false;
  }

  #makeNode({ clock, ending }: Enforcer, joined: NewCredentials): Node {
    const { machine, kernel, disk, runtime } = this;
    const { random, log, network } = this.#options;
    const attestor = createAttestor({
      runtime,
      node: joined.node,
      kernel: fakeProcesses(runtime, machine),
    });
    return new Node({
      clock,
      random,
      log,
      version: 'sim',
      bootId: machine,
      weakenings: () => [],
      signal: ending.signal,
      credentials: readCredentials(joined),
      connect: async (credentials, signal) =>
        ofProcess(await network.connect(machine, { clock, credentials }, signal), clock),
      runtime: { watch: (signal) => eventsOfProcess(runtime.watch(signal), clock) },
      attestor: {
        attest: async (container) => this.#lies.get(container.id) ?? attestor.attest(container),
      },
      mounts: this.#mounts(clock),
      processes: {
        isRunning: (process) => !kernel.hasEnded(process),
        signal: (process) => !kernel.hasEnded(process),
      },
      disk: {
        remembered: new RememberedFile({ place: this.#rememberedBy(clock), clock, log }),
        saveCertificate: (certificatePem) => {
          if (!clock.isAlive) return;
          disk.joined = { ...joined, certificatePem };
          this.certifiedAtMs = clock.wallMs();
        },
        loadWitness: () => disk.witness,
        saveWitness: (memory) => {
          if (clock.isAlive) disk.witness = memory;
        },
      },
    });
  }

  /** A process of its own: it lives while the enforcer is dead. */
  #startWatchdog(enforcer: Enforcer): void {
    const { time, log, failed } = this.#options;
    const clock = time.clock();
    const file = new RememberedFile({ place: this.#rememberedBy(clock), clock, log });
    const number = ++this.#watchdogs;
    const watchdog = new Watchdog({
      clock,
      log,
      load: () => file.load(),
      enforcerLives: () => enforcer.clock.isAlive,
      isInCharge: () => this.#watchdogs === number,
      openMounts: async () => this.#mounts(clock),
      signal: new AbortController().signal,
    });
    watchdog.run().catch(failed);
  }

  #mounts(clock: SimClock): FakeMounts {
    const { random } = this.#options;
    return new FakeMounts(this.kernel, () => clock.sleep(random.fraction() * mountMsMax));
  }

  /** What a process has written, it has written; a dead one writes no more. */
  #rememberedBy(clock: SimClock): RememberedPlace {
    const { disk } = this;
    return {
      read: () => disk.remembered,
      write: (text) => {
        if (clock.isAlive) disk.remembered = text;
      },
    };
  }
}

/** A link of a process that may be stopped: what arrives meanwhile waits. */
function ofProcess(link: Link, clock: SimClock): Link {
  return {
    open(handlers: LinkHandlers) {
      link.open({
        message: (bytes) => {
          const copy = Uint8Array.from(bytes);
          clock.run(() => {
            handlers.message(copy);
            copy.fill(0);
          });
        },
        closed: (reason) => clock.run(() => handlers.closed(reason)),
      });
    },
    send: (bytes) => link.send(bytes),
    close: (reason) => link.close(reason),
    get queuedBytes() {
      return link.queuedBytes;
    },
    get isOpen() {
      return link.isOpen;
    },
  };
}

/** Events for a process that may be stopped, or dead. */
async function* eventsOfProcess<Event>(events: AsyncIterable<Event>, clock: SimClock) {
  for await (const event of events) {
    await clock.nextTurn();
    yield event;
  }
}
