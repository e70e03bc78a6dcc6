/** Real holdings over a kernel in memory and virtual time, with what a test of them needs at hand. */
import { silentLog } from '../base/log.ts';
import { Holdings } from '../enforcer/holdings.ts';
import type { RememberedState } from '../enforcer/remembered.ts';
import type { AssignedFile, AssignedSet, SetReceipt } from '../model/assignment.ts';
import { makeId, type SecretId } from '../model/id.ts';
import { SecretValue } from '../model/secret-value.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { FakeKernel, FakeMounts } from './fake-mounts.ts';
import { fakeFacts, FakeRuntime } from './fake-runtime.ts';
import { type SimClock, SimTime } from './sim-clock.ts';
import { SeededRandom } from './sim-random.ts';

export const leaseMs = 10_000;
const target = '/run/secrets';

/** One node: its kernel and containers outlive the enforcers that `start` makes, one after the other. */
export class EnforcerRig {
  readonly random = new SeededRandom(1);
  readonly time = new SimTime(this.random);
  readonly kernel = new FakeKernel();
  readonly runtime = new FakeRuntime();
  readonly told: SetReceipt[] = [];
  readonly signalled: string[] = [];
  /** Every change of a mount: what and when. */
  readonly changes: string[] = [];
  /** Throws from here fail a change of a mount. */
  failing: (what: 'place' | 'withdraw' | 'adopt') => void = () => {};
  remembered: RememberedState | undefined;
  /** When what is remembered has been written down. */
  written: () => Promise<void> = async () => {};
  clock: SimClock = this.time.clock();
  holdings: Holdings;
  #revision = 100;
  readonly #secrets = new Map<string, SecretId>();

  constructor() {
    this.kernel.before = (what) => {
      this.failing(what);
      this.changes.push(`${what} ${this.time.nowMs}`);
    };
    this.holdings = this.start();
  }

  /** A new enforcer, on a clock of its own; the one before it dies. */
  start(clock: SimClock = this.time.clock()): Holdings {
    this.clock.stop();
    this.clock = clock;
    const holdings: Holdings = new Holdings({
      clock,
      log: silentLog,
      mounts: new FakeMounts(this.kernel),
      signal: (workload, name) => this.signalled.push(`${workload.name} ${name}`),
      remember: (state) => {
        if (this.holdings === undefined || this.holdings === holdings) this.remembered = state();
      },
      remembered: () => this.written(),
      told: (receipt) => void this.told.push(receipt),
    });
    if (this.remembered) holdings.resume(this.remembered);
    return (this.holdings = holdings);
  }

  /** Kills the enforcer and starts another, which finds the containers that run. */
  async restart(...running: readonly WorkloadFacts[]): Promise<Holdings> {
    const holdings = this.start();
    await Promise.all(running.map((workload) => holdings.started(workload)));
    return holdings;
  }

  async container(name = 'app'): Promise<WorkloadFacts> {
    const container = this.runtime.start({ name });
    const facts = fakeFacts(container, { kind: 'docker', node: 'node-1' });
    await this.holdings.started(facts);
    return facts;
  }

  read(workload: WorkloadFacts, where = target): Record<string, string> {
    return Object.fromEntries(this.kernel.read(workload.process, where));
  }

  secretId(name: string): SecretId {
    const known =
      this.#secrets.get(name) ?? makeId('secret', { clock: this.clock, random: this.random });
    this.#secrets.set(name, known);
    return known;
  }

  /** A file of one secret, which is named like the file; without content it is kept. */
  file(name: string, version: number, content?: string): AssignedFile {
    const value = content === undefined ? 'keep' : SecretValue.copy(Buffer.from(content));
    return { name, secretId: this.secretId(name), version, mode: 0o400, content: value };
  }

  set(
    workload: Pick<WorkloadFacts, 'id'>,
    files: readonly AssignedFile[],
    rest: Partial<AssignedSet> = {},
  ): AssignedSet {
    this.#revision += 1;
    return {
      workloadId: workload.id,
      target,
      setRevision: this.#revision,
      files,
      signals: [],
      keepOnLeaseLoss: false,
      leaseMs,
      urgent: false,
      terms: files.length === 0 ? '' : 'terms',
      ...rest,
    };
  }
}
