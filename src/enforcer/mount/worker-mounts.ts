/**
 * Mounts, by way of the thread that makes the calls (`mount-worker.ts`).
 *
 * What is asked for in one turn of the event loop travels as one batch, so that a secret that changes
 * in a hundred containers is shown in all of them before any is tidied. Contents travel in one buffer
 * per batch, which changes hands and is wiped on the other side.
 */
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { AssertionError, assert, defined } from '../../base/assert.ts';
import { wipe } from '../../base/bytes.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { errorFields, type Log } from '../../base/log.ts';
import { collectGarbage, Lull } from '../../base/lull.ts';
import { sandboxNamespace } from '../../model/workload.ts';
import type {
  Adopted,
  FileSet,
  FoundMount,
  MountPlace,
  MountProcess,
  Mounts,
  MountState,
  PlaceResult,
  WithdrawResult,
} from './mount.ts';
import type {
  CommandFile,
  CommandSet,
  MountAnswers,
  MountBatch,
  MountBatchDone,
  MountCommand,
  MountOutcome,
  MountWorkerOptions,
} from './mount-command.ts';
import { anyPrefix, checkSet, checkTarget, isMountId } from './target.ts';

export interface WorkerMountsOptions extends MountWorkerOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** How long a replaced value stays readable at least, in milliseconds. */
  readonly graceMs: number;
}

/** Until what could not be erased is tried again. */
const retireAgainAfterMs = 5_000;

/** The owner is looked at after this, after twice as long, and so on, until whoever holds the mount looks. */
const tendAfterMsFirst = 100;
const tendAfterMsMax = 15_000;

/** A hundred short values. */
const contentsBytesMin = 8 * 1024;

/**
 * Nothing of ours, but where compiled code is kept: without it the thread strips types itself, and what
 * it loads for that stays for good, some 20 MiB.
 */
function workerEnvironment(): NodeJS.ProcessEnv {
  const directory = getCompileCacheDir();
  return directory === undefined ? {} : { NODE_COMPILE_CACHE: dirname(directory) };
}

interface Grace extends Timer {
  /** The set that is in place by now. */
  latest: number;
}

interface Pending {
  readonly resolve: (outcome: MountOutcome) => void;
  readonly reject: (error: unknown) => void;
}

export class WorkerMounts implements Mounts {
  readonly #options: WorkerMountsOptions;
  readonly #worker: Worker;
  readonly #graces = new Map<string, Grace>();
  /** Mounts that are new. */
  readonly #tended = new Map<string, Timer>();
  readonly #lull: Lull;
  #isRested = false;
  /** The batch that is being gathered in this turn. */
  #commands: MountCommand[] = [];
  #contents = new Contents();
  #asking: Pending[] = [];
  /** Batches on their way, in order. */
  readonly #sent: Pending[][] = [];
  #watch: Timer | undefined;
  #isStuck = false;
  /** Why nothing can be asked any more. */
  #over: Error | undefined;
  readonly #end = Promise.withResolvers<never>();
  /** As it was told to, or with a bug that was said already. */
  #hasEnded = false;

  constructor(options: WorkerMountsOptions) {
    this.#options = options;
    const { clock, targetPrefixes } = options;
    this.#lull = new Lull(clock, limits.lullMs, () => this.#rest());
    const workerData: MountWorkerOptions = { targetPrefixes };
    const start = new URL('./mount-worker.ts', import.meta.url);
    this.#worker = new Worker(start, { workerData, env: workerEnvironment(), name: 'mount' });
    this.#worker.on('message', (done: MountBatchDone) => this.#settleBatch(done));
    this.#worker.on('error', (error: Error) => this.#threadEnded(error));
    this.#worker.on('exit', () => this.#threadEnded(new AssertionError('the mount thread runs')));
    // Whoever does not wait for it learns it from the next answer.
    this.#end.promise.catch(() => {});
  }

  async place(id: string, place: MountPlace, set: FileSet): Promise<PlaceResult> {
    this.#check(id, place, this.#options.targetPrefixes);
    checkSet(set);
    const command = { kind: 'place', id, place: plainPlace(place), set: this.#pack(set) } as const;
    const { retired, ...result } = await this.#ask(command);
    if (retired) this.#grantGrace(id, result.revision);
    else cancelTimer(this.#graces, id);
    if (result.outcome === 'mounted') this.#tendSoon(id, tendAfterMsFirst);
    return result;
  }

  async withdraw(id: string): Promise<WithdrawResult> {
    const result = await this.#ask({ kind: 'withdraw', id });
    for (const timers of [this.#graces, this.#tended]) cancelTimer(timers, id);
    return result;
  }

  async adopt(id: string, place: MountPlace): Promise<Adopted | undefined> {
    this.#check(id, place, anyPrefix);
    return this.#ask({ kind: 'adopt', id, place: plainPlace(place) });
  }

  async find(process: MountProcess): Promise<readonly FoundMount[]> {
    if (process.mountNamespace === sandboxNamespace) return [];
    return this.#ask({ kind: 'find', id: '', process: plainProcess(process) });
  }

  async inspect(id: string): Promise<MountState> {
    return this.#ask({ kind: 'inspect', id });
  }

  async tend(id: string): Promise<MountState> {
    return this.#ask({ kind: 'tend', id });
  }

  get isStuck(): boolean {
    return this.#isStuck;
  }

  get ended(): Promise<never> {
    return this.#end.promise;
  }

  async close(): Promise<void> {
    this.#stopTimers();
    if (this.#over !== undefined) return;
    const released = this.#ask({ kind: 'release', id: '' });
    this.#over = new AssertionError('mounts are used before they are closed');
    await released;
    this.#hasEnded = true;
    await this.#worker.terminate();
  }

  #check(id: string, place: MountPlace, prefixes: readonly string[]): void {
    assert(isMountId(id), 'a mount id has letters, digits, dots, underscores, colons and dashes');
    checkTarget(place.target, prefixes);
    if (place.process.mountNamespace === sandboxNamespace) throw new Fault('mount.sandboxed');
  }

  async #ask<Command extends MountCommand>(
    command: Command,
  ): Promise<MountAnswers[Command['kind']]> {
    if (this.#over !== undefined) throw this.#over;
    if (!idleCommands.has(command.kind)) this.#lull.stir();
    const outcome = await new Promise<MountOutcome>((resolve, reject) => {
      if (this.#commands.length === 0) queueMicrotask(() => this.#flush());
      this.#commands.push(command);
      this.#asking.push({ resolve, reject });
    });
    if ('fault' in outcome) throw new Fault(outcome.fault, outcome.detail);
    return outcome.answer as MountAnswers[Command['kind']];
  }

  #pack(set: FileSet): CommandSet {
    const files = set.files.map(({ name, mode, uid, gid, content }): CommandFile => {
      return {
        name,
        mode,
        uid,
        gid,
        content: content === 'keep' ? undefined : this.#contents.add(content),
      };
    });
    return { revision: set.revision, urgent: set.urgent === true, files };
  }

  #flush(): void {
    if (this.#commands.length === 0) return;
    const contents = this.#contents.take();
    const batch: MountBatch = { commands: this.#commands, contents };
    this.#sent.push(this.#asking);
    this.#commands = [];
    this.#asking = [];
    this.#worker.postMessage(batch, [contents]);
    this.#watch ??= this.#startWatch();
  }

  /** Says once that the thread does not answer. Nothing else can be done: the kernel holds it. */
  #startWatch(): Timer {
    const { clock, log } = this.#options;
    return clock.setTimer(limits.mountAnswerMsMax, () => {
      this.#isStuck = true;
      log.error('mount.stuck', { batches: this.#sent.length, ms: limits.mountAnswerMsMax });
    });
  }

  #settleBatch(done: MountBatchDone): void {
    this.#isStuck = false;
    this.#watch?.cancel();
    this.#watch = undefined;
    const batch = defined(this.#sent.shift(), 'a batch that is answered was sent');
    for (const [index, { resolve }] of batch.entries()) {
      resolve(defined(done.outcomes[index], 'every command of a batch is answered'));
    }
    if (this.#sent.length > 0) this.#watch = this.#startWatch();
  }

  /** Whatever was asked may have happened or not; the mounts are as they are. */
  #threadEnded(error: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#isStuck = true;
    this.#over = error;
    this.#stopTimers();
    this.#watch?.cancel();
    this.#options.log.error('mount.ended', errorFields(error));
    const asking = [...this.#sent.splice(0).flat(), ...this.#asking.splice(0)];
    this.#commands = [];
    for (const { reject } of asking) reject(error);
    this.#end.reject(error);
  }

  /** What was asked and answered is garbage on both sides. */
  #rest(): void {
    // The first time also the code that only a start needs.
    const what = this.#isRested ? 'objects' : 'code-too';
    this.#isRested = true;
    collectGarbage(what);
    this.#ask({ kind: 'rest', id: '', what }).catch((error: unknown) => {
      this.#options.log.warn('mount.rest-failed', errorFields(error));
    });
  }

  /**
   * What a set replaced is emptied when its grace is over. One timer at a time: what is replaced meanwhile
   * has the grace that begins when this one ends.
   */
  #grantGrace(id: string, revision: number): void {
    const running = this.#graces.get(id);
    if (running === undefined) this.#startGrace(id, revision, this.#options.graceMs);
    else running.latest = revision;
  }

  #startGrace(id: string, before: number, afterMs: number): void {
    const timer = this.#options.clock.setTimer(afterMs, () => {
      this.#graces.delete(id);
      if (grace.latest > before) this.#startGrace(id, grace.latest, this.#options.graceMs);
      this.#ask({ kind: 'retire', id, before }).catch((error: unknown) => {
        this.#options.log.warn('mount.retire-failed', { id, ...errorFields(error) });
        // Unless something newer came between, which retires this one too.
        if (this.#over === undefined && !this.#graces.has(id)) {
          this.#startGrace(id, before, retireAgainAfterMs);
        }
      });
    });
    const grace: Grace = { cancel: () => timer.cancel(), latest: before };
    this.#graces.set(id, grace);
  }

  /** Many images start as root, and become another user on the way to their program. */
  #tendSoon(id: string, afterMs: number): void {
    if (afterMs > tendAfterMsMax) return;
    cancelTimer(this.#tended, id);
    const timer = this.#options.clock.setTimer(afterMs, () => {
      this.#tended.delete(id);
      this.tend(id).then(
        (state) => {
          const isOurs = this.#over === undefined && !this.#tended.has(id);
          if (isOurs && state !== 'gone') this.#tendSoon(id, afterMs * 2);
        },
        (error: unknown) => {
          this.#options.log.warn('mount.tend-failed', { id, ...errorFields(error) });
        },
      );
    });
    this.#tended.set(id, timer);
  }

  #stopTimers(): void {
    for (const timers of [this.#graces, this.#tended]) {
      for (const id of timers.keys()) cancelTimer(timers, id);
    }
    this.#lull[Symbol.dispose]();
  }
}

/** They come round by themselves, and leave next to nothing. */
const idleCommands: ReadonlySet<MountCommand['kind']> = new Set(['inspect', 'tend', 'rest']);

function cancelTimer(timers: Map<string, Timer>, id: string): void {
  timers.get(id)?.cancel();
  timers.delete(id);
}

/** Copies of the contents of one batch, one after the other. */
class Contents {
  #bytes = new Uint8Array(contentsBytesMin);
  #used = 0;

  add(content: Uint8Array): { readonly offset: number; readonly length: number } {
    this.#makeRoom(content.length);
    this.#bytes.set(content, this.#used);
    const offset = this.#used;
    this.#used += content.length;
    return { offset, length: content.length };
  }

  /** The buffer, to be handed over; then begins anew. */
  take(): ArrayBuffer {
    const { buffer } = this.#bytes;
    this.#bytes = new Uint8Array(contentsBytesMin);
    this.#used = 0;
    return buffer;
  }

  #makeRoom(length: number): void {
    if (this.#used + length <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#used + length));
    larger.set(this.#bytes);
    wipe(this.#bytes);
    this.#bytes = larger;
  }
}

/** Only what the other side needs: callers may pass richer objects. */
function plainProcess({ pid, startTicks, mountNamespace }: MountProcess): MountProcess {
  return { pid, startTicks, mountNamespace };
}

function plainPlace({ process, target }: MountPlace): MountPlace {
  return { process: plainProcess(process), target };
}
