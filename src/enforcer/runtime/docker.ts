/**
 * The runtime for Docker, and for Podman through its Docker-compatible API.
 *
 * Works level-triggered: an event only says which container to look at, and what is told is the
 * difference between two looks. So repeated, late, lost and reordered events do no harm.
 *
 * Events may be lost all the same, a stop and a start together too, and an engine may be stuck on one
 * container. So the list is compared with what is known every minute, and looked at is also what could
 * not be read before, what has no process any more, and what has another name.
 *
 * Nothing is missed at the start: the events are asked for from a time before the list is made (the
 * engine answers that request before it has subscribed, so asking first alone would not do).
 */
import { existsSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import { Fault, isFault } from '../../base/fault.ts';
import { errorFields } from '../../base/log.ts';
import { Changes } from './changes.ts';
import { DockerClient, looksAtOnce } from './docker-client.ts';
import { differences, type Known, type Look } from './known.ts';
import type { Runtime, RuntimeContainer, RuntimeContext, RuntimeEvent } from './runtime.ts';

/** How often the list is compared with what is known, though no event came. */
const resyncMs = 60_000;
const retryMsMin = 100;
const retryMsMax = 5_000;

/** Filtered here and not by the engine, since Podman has names of its own (`died`). */
const tellingActions: ReadonlySet<string> = new Set(['start', 'restart', 'rename', 'die', 'died']);

export interface DockerRuntimeOptions extends RuntimeContext {
  readonly socketPath: string;
}

export class DockerRuntime implements Runtime {
  readonly kind = 'docker';
  readonly #options: DockerRuntimeOptions;
  readonly #clock: Clock;
  readonly #client: DockerClient;
  /** What the last look at could not read. */
  readonly #unread = new Set<string>();
  /** That it does not answer is logged once, not with each try. */
  #isDown = false;

  constructor(options: DockerRuntimeOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#client = new DockerClient(options);
  }

  inspect(id: string): Promise<RuntimeContainer | undefined> {
    return this.#client.inspect(id);
  }

  async *watch(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const known: Known = new Map();
    const progress = { synced: false, failures: 0 };
    while (!signal.aborted) {
      try {
        yield* this.#session(known, progress, signal);
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof Fault)) throw error;
        if (!this.#isDown) {
          this.#options.log.warn('runtime.down', { kind: this.kind, ...errorFields(error) });
        }
        this.#isDown = true;
        progress.failures += 1;
      }
      await this.#pause(progress.failures, signal);
    }
  }

  /** One connection to the engine: from the list to the end of its event stream. */
  async *#session(
    known: Known,
    progress: { synced: boolean; failures: number },
    signal: AbortSignal,
  ): AsyncIterable<RuntimeEvent> {
    const engine = await this.#client.connect(signal);
    const changes = new Changes();
    const ending = new AbortController();
    const both = AbortSignal.any([signal, ending.signal]);
    const reading = this.#readEvents(changes, engine.seconds, both);
    try {
      await this.#addListed(changes, known, { all: true, signal });
      changes.add(listed);
      let resyncAt = this.#clock.monotonicMs() + resyncMs;
      for (;;) {
        if (this.#clock.monotonicMs() >= resyncAt) {
          await this.#addListed(changes, known, { all: false, signal });
          resyncAt = this.#clock.monotonicMs() + resyncMs;
        }
        const quietMs = Math.max(0, resyncAt - this.#clock.monotonicMs());
        const ids = await changes.take(looksAtOnce, { clock: this.#clock, quietMs });
        if (ids === 'ended') return;
        if (ids === 'quiet') continue;
        const looks = ids.filter((id) => id !== listed).map((id) => this.#look(id, signal));
        for (const look of await Promise.all(looks)) {
          if (look !== 'unreadable') yield* differences(known, look);
        }
        if (!ids.includes(listed)) continue;
        progress.failures = 0;
        this.#isDown = false;
        this.#options.log.info('runtime.up', { kind: this.kind, version: engine.engine });
        if (!progress.synced) yield { kind: 'synced' };
        progress.synced = true;
      }
    } finally {
      ending.abort();
      await reading;
    }
  }

  async #readEvents(changes: Changes, seconds: number, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of this.#client.events(seconds, signal)) {
        if (event.type === 'image') this.#client.forgetImages();
        else if (tellingActions.has(event.action)) changes.add(event.id);
      }
      changes.end(new Fault('runtime.unreachable', { reason: 'events ended' }));
    } catch (error) {
      changes.end(signal.aborted ? undefined : (error as Error));
    }
  }

  /** Marks what to look at: everything, or only what the list and the known disagree about. */
  async #addListed(
    changes: Changes,
    known: Known,
    { all, signal }: { readonly all: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const list = await this.#client.listRunning(signal);
    const running = new Map(list.map(({ id, names }) => [id, names]));
    for (const id of running.keys()) if (all || !known.has(id)) changes.add(id);
    for (const [id, { pid, name }] of known) {
      // Other containers' links to it are among its names.
      const isNamed = running.get(id)?.includes(name) === true;
      const isUnchanged = isNamed && !this.#unread.has(id) && existsSync(`/proc/${pid}`);
      if (all || !isUnchanged) changes.add(id);
    }
  }

  /**
   * One container that cannot be read must not blind us to the others; nor does it count as stopped,
   * for that would withdraw its secrets. The next list looks again at it.
   */
  async #look(id: string, signal: AbortSignal): Promise<Look | 'unreadable'> {
    try {
      const container = await this.#client.inspect(id, signal);
      this.#unread.delete(id);
      return { id, container };
    } catch (error) {
      if (!isAboutOne(error)) throw error;
      this.#unread.add(id);
      this.#options.log.warn('runtime.unreadable', { container: id, ...errorFields(error) });
      return 'unreadable';
    }
  }

  async #pause(failures: number, signal: AbortSignal): Promise<void> {
    const longest = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(failures, 10));
    const delayMs = longest * (0.5 + this.#options.random.fraction() / 2);
    // Rejects only if the signal aborts, and then the caller looks at the signal.
    await this.#clock.sleep(delayMs, signal).catch(() => undefined);
  }
}

/** An engine may hold one container's lock for long, and answer for all others. */
function isAboutOne(error: unknown): boolean {
  if (isFault(error, 'runtime.unreachable')) return error.detail['reason'] === 'ETIMEDOUT';
  const codes = ['runtime.invalid', 'runtime.refused', 'limit.exceeded'] as const;
  return codes.some((code) => isFault(error, code));
}

/** Stands for the end of the list among the ids; no engine gives an id like this. */
const listed = '(listed)';
