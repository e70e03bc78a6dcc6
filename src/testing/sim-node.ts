/** A simulated node: the real holdings, session and witness over a kernel and containers in memory. */
import { generateKeyPairSync } from 'node:crypto';
import type { Log } from '../base/log.ts';
import { formatVerifier, noteSigner } from '../crypto/note.ts';
import { Holdings } from '../enforcer/holdings.ts';
import {
  mountIdOf,
  type RememberedState,
  stateFromText,
  stateToText,
} from '../enforcer/remembered.ts';
import { Session } from '../enforcer/session.ts';
import { dueNow } from '../enforcer/watchdog.ts';
import { Witness, type WitnessMemory } from '../enforcer/witness.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import type { Link, LinkHandlers } from '../wire/link.ts';
import { FakeKernel, FakeMounts } from './fake-mounts.ts';
import type { SimClock, SimTime } from './sim-clock.ts';
import type { SeededRandom } from './sim-random.ts';

export interface SimNodeOptions {
  readonly name: string;
  readonly time: SimTime;
  readonly random: SeededRandom;
  readonly log: Log;
  /** Dials the gateway; undefined while it cannot be reached. */
  readonly dial: () => Link | undefined;
}

/** Where grants of a run put their files. */
export const targets = ['/run/secrets', '/run/coffer'] as const;

const reconnectMsMax = 2000;
/** A call into the kernel on a busy machine: time for everything else to come between. */
const mountMsMax = 80;
const watchdogEveryMs = 1000;
/** As the enforcer's own. */
const lookEveryMs = 15_000;
/** As `RememberedFile`: what changed is written a moment later, or lost with the process. */
const rememberMs = 50;
const watchdogGraceMs = 4000;

/** A link of a process that may be stopped: what arrives meanwhile waits. */
function stoppable(link: Link, clock: SimClock): Link {
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

export class SimNode {
  readonly name: string;
  readonly kernel = new FakeKernel();
  readonly containers = new Map<string, WorkloadFacts>();
  readonly #options: SimNodeOptions;
  readonly #signer;
  #witnessMemory: WitnessMemory | undefined;
  /** The file on a tmpfs, as text: what is not in it is lost with the process. */
  rememberedText: string | undefined;
  #enforcer:
    | { readonly clock: SimClock; readonly holdings: Holdings; readonly witness: Witness }
    | undefined;
  #session: Session | undefined;
  readonly #watchdogClock: SimClock;

  constructor(options: SimNodeOptions) {
    this.name = options.name;
    this.#options = options;
    const { privateKey } = generateKeyPairSync('ed25519');
    this.#signer = noteSigner('cosignature', `node/${options.name}`, privateKey);
    this.#watchdogClock = options.time.clock();
    this.#watch();
  }

  /** Its key, as its certificate would show it. */
  get witnessKey(): string {
    return formatVerifier(this.#signer);
  }

  get enforcerIsUp(): boolean {
    return this.#enforcer !== undefined;
  }

  get isConnected(): boolean {
    return this.#session !== undefined;
  }

  startEnforcer(): void {
    const { time, log } = this.#options;
    const clock = time.clock();
    const remembered =
      this.rememberedText === undefined ? undefined : stateFromText(this.rememberedText);
    const holdings: Holdings = new Holdings({
      clock,
      log,
      mounts: new FakeMounts(this.kernel, () =>
        clock.sleep(this.#options.random.fraction() * mountMsMax),
      ),
      signal: () => {},
      remember: (state, when) => {
        if (!clock.isAlive) return;
        if (when === 'now') this.#remember(state());
        else clock.setTimer(rememberMs, () => this.#remember(state()));
      },
      told: (receipt) => {
        if (clock.isAlive) this.#session?.receipt(receipt);
      },
    });
    if (remembered) holdings.resume(remembered);
    const witness = new Witness({
      clock,
      signer: this.#signer,
      remembered: this.#witnessMemory,
      remember: (memory) => (this.#witnessMemory = memory),
    });
    this.#enforcer = { clock, holdings, witness };
    const { containers } = this;
    const known = [...containers.values()].map((facts) => holdings.started(facts, remembered));
    // As the enforcer does: not before it can say what is here.
    void Promise.all(known).then(() => {
      if (this.#enforcer?.holdings === holdings) this.#connectSoon();
    });
    this.#lookAround(holdings, clock);
  }

  /** As the enforcer does: whether mounts are still as they were made. */
  #lookAround(holdings: Holdings, clock: SimClock): void {
    clock.setTimer(lookEveryMs, () => {
      void holdings.tampered().then(() => this.#lookAround(holdings, clock));
    });
  }

  killEnforcer(): void {
    this.#enforcer?.clock.stop();
    this.#enforcer = undefined;
    const session = this.#session;
    this.#session = undefined;
    session?.end('killed');
  }

  /** SIGSTOP, or SIGCONT. */
  stopEnforcer(on: boolean): void {
    if (on) this.#enforcer?.clock.pause();
    else this.#enforcer?.clock.resume();
  }

  startContainer(facts: WorkloadFacts): void {
    this.containers.set(facts.id, facts);
    const enforcer = this.#enforcer;
    enforcer?.clock.run(() => {
      void enforcer.holdings.started(facts, undefined).then(() => {
        if (this.#enforcer === enforcer) this.#session?.workloadStarted(facts);
      });
    });
  }

  stopContainer(id: string): void {
    const facts = this.containers.get(id);
    if (!facts) return;
    this.containers.delete(id);
    this.kernel.end(facts.process);
    const enforcer = this.#enforcer;
    enforcer?.clock.run(() => {
      void enforcer.holdings.stopped(id).then(() => {
        if (this.#enforcer === enforcer) this.#session?.workloadStopped(id);
      });
    });
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

  #remember(state: RememberedState): void {
    this.rememberedText = stateToText(state);
  }

  #connectSoon(): void {
    const enforcer = this.#enforcer;
    if (!enforcer) return;
    enforcer.clock.setTimer(this.#options.random.fraction() * reconnectMsMax, () => {
      if (this.#enforcer === enforcer) this.#connect();
    });
  }

  #connect(): void {
    const enforcer = this.#enforcer;
    const link = this.#options.dial();
    if (!enforcer) return;
    if (!link) {
      this.#connectSoon();
      return;
    }
    const session: Session = new Session({
      clock: enforcer.clock,
      log: this.#options.log,
      link: stoppable(link, enforcer.clock),
      holdings: enforcer.holdings,
      witness: enforcer.witness,
      version: 'sim',
      bootId: this.name,
      weakenings: () => [],
      report: (receipt) => this.#session?.receipt(receipt),
      renewed: () => {},
      notRenewed: () => {},
      ended: () => {
        if (this.#session !== session) return;
        this.#session = undefined;
        this.#connectSoon();
      },
    });
    this.#session = session;
  }

  /** The watchdog is another process: it lives while the enforcer is dead. */
  #watch(): void {
    this.#watchdogClock.setTimer(watchdogEveryMs, () => {
      void this.#wipeOverdue().finally(() => this.#watch());
    });
  }

  /** As `watchdog.ts`: of what is due, all but the sets whose own lease goes on. */
  async #wipeOverdue(): Promise<void> {
    if (this.rememberedText === undefined) return;
    const mounts = new FakeMounts(this.kernel);
    const state = stateFromText(this.rememberedText);
    const nowMs = this.#watchdogClock.bootMs();
    const kept = new Set(
      state.holdings
        .filter(({ leaseMs }) => nowMs - watchdogGraceMs < state.heardAtBootMs + leaseMs)
        .map(mountIdOf),
    );
    for (const { process } of dueNow(state, nowMs)) {
      for (const { id } of await mounts.find(process)) {
        // What the kernel refuses is tried again the next second.
        if (!kept.has(id)) await mounts.withdraw(id).catch(() => {});
      }
    }
  }
}
