/**
 * Which containers run here, and what each of them is: follows the runtime, has each container attested,
 * and hands what it turns out to be to the holdings, then to the gateway.
 *
 * Promises
 *   - A container that stops while it is attested leaves nothing behind, also when it starts again under
 *     the same id before that is known.
 *   - What goes wrong with one container ends nothing for the others.
 *   - A container is attested again, for as long as it runs, while its engine cannot be asked: the engine
 *     may restart without it, and will then tell of no new start.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, isFault } from '../base/fault.ts';
import { errorFields, type Log, type LogFields } from '../base/log.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { isSayable } from '../protocol/stream-workload.ts';
import type { Attestor } from './attest/attest.ts';
import type { Holdings } from './holdings.ts';
import type { Runtime, RuntimeContainer } from './runtime/runtime.ts';

export interface ContainersOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly runtime: Pick<Runtime, 'watch'>;
  readonly attestor: Attestor;
  readonly holdings: Pick<Holdings, 'started' | 'stopped'>;
  /** The holdings know of one more: what they remember must be written before anything is mounted there. */
  readonly admitted: () => Promise<void>;
  readonly started: (workload: WorkloadFacts) => void;
  readonly stopped: (workloadId: string) => void;
}

const attestTries = 3;
const attestAgainAfterMs = 100;
const attestAgainAfterMsMax = 30_000;

export class Containers {
  readonly #options: ContainersOptions;
  /** Container id to the workload that it is now. */
  readonly #running = new Map<string, Promise<WorkloadFacts | undefined>>();
  #ending: AbortSignal | undefined;

  constructor(options: ContainersOptions) {
    this.#options = options;
  }

  /** @param synced - Called once everything that runs already is known. */
  async watch(signal: AbortSignal, synced: () => void): Promise<void> {
    this.#ending = signal;
    let first: Promise<unknown>[] | undefined = [];
    for await (const event of this.#options.runtime.watch(signal)) {
      if (event.kind === 'synced') {
        void Promise.allSettled(first ?? []).then(synced);
        first = undefined;
        continue;
      }
      const happening =
        event.kind === 'stopped' ? this.#stopped(event.id) : this.#seen(event.container);
      const happened = happening.catch((error: unknown) =>
        this.#options.log.error('workload.failed', errorFields(error)),
      );
      first?.push(happened);
    }
    synced();
  }

  /** It has started; or it has another name, and by that, perhaps, a right to other secrets. */
  async #seen(container: RuntimeContainer): Promise<void> {
    const { holdings, admitted, started } = this.#options;
    const isRunning = (): boolean => this.#running.get(container.id) === attested;
    const attested = this.#attestAfter(this.#running.get(container.id), container, isRunning);
    this.#running.set(container.id, attested);
    const workload = await attested;
    if (!workload) return;
    await Promise.all([holdings.started(workload), admitted()]);
    started(workload);
  }

  /** What was known is told first, and stays known where nothing newer can be attested. */
  async #attestAfter(
    earlier: Promise<WorkloadFacts | undefined> | undefined,
    container: RuntimeContainer,
    isRunning: () => boolean,
  ): Promise<WorkloadFacts | undefined> {
    const known = await earlier;
    return (await this.#attest(container, isRunning)) ?? known;
  }

  async #stopped(containerId: string): Promise<void> {
    const attested = this.#running.get(containerId);
    // At once: the same container may start again before we know what it was.
    this.#running.delete(containerId);
    const workload = await attested;
    if (!workload) return;
    await this.#options.holdings.stopped(workload.id);
    this.#options.log.info('workload.ended', aboutOf(workload));
    this.#options.stopped(workload.id);
  }

  async #attest(
    container: RuntimeContainer,
    isRunning: () => boolean,
  ): Promise<WorkloadFacts | undefined> {
    const { clock, log, attestor } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const facts = await attestor.attest(container);
        // A gateway hangs up on a node that says more, and none of its containers is served any more.
        if (!isSayable(facts)) throw new Fault('limit.exceeded', { what: 'facts' });
        log.info('workload.attested', aboutOf(facts));
        return facts;
      } catch (error) {
        // Gone is ordinary; a disagreement may be a restart half seen, so it is looked at again.
        const isGone = isFault(error, 'attest.gone');
        const about = { container: container.id, ...errorFields(error) };
        log[isGone ? 'debug' : 'warn']('workload.not-attested', about);
        const isFinal = isGone || (attempt >= attestTries && !isUnasked(error));
        if (isFinal || !isRunning()) return undefined;
        const pauseMs = Math.min(attestAgainAfterMs * 2 ** (attempt - 1), attestAgainAfterMsMax);
        await clock.sleep(pauseMs, this.#ending).catch(() => undefined);
        if (this.#ending?.aborted || !isRunning()) return undefined;
      }
    }
  }
}

function aboutOf({ id, containerId, name }: WorkloadFacts): LogFields {
  return { workload: id, container: containerId, name };
}

/** The engine did not answer, or had no answer: that says nothing about the container. */
function isUnasked(error: unknown): boolean {
  return isFault(error, 'runtime.unreachable') || isFault(error, 'runtime.refused');
}
