/**
 * Runtimes: who runs the containers on this node, and what they say about them.
 *
 * One small interface, a literal list of the built-in kinds, one file per kind, and one suite that
 * each of them passes (`runtime.suite.ts`). What a runtime says is not yet trusted: `enforcer/attest`
 * checks it against the kernel.
 *
 * Promises (every runtime)
 *   - `watch` first yields each running container as `started`, then one `synced`, then changes as
 *     they happen. It outlives the engine: while the engine is away nothing is yielded; afterwards
 *     only the differences are, and no second `synced`.
 *   - `started` and `stopped` of one id alternate. A restart in place (same id, new process) is a
 *     `stopped` followed by a `started`; so the mounts of the old process are never taken for those
 *     of the new one.
 *   - `renamed` between them: the same process, and another name. Nothing else of a container changes while
 *     it runs.
 *   - A container that stops, or is renamed, is reported even if the engine lost the event (a list every
 *     minute).
 *   - One that is paused runs: it keeps its mounts and takes updates, so nothing is told of it.
 * Does not promise
 *   - That each short life is seen: a container that ended before it could be inspected is left out.
 *   - Order between different containers.
 */
import { unreachable } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { KubernetesFacts, RuntimeKind, WorkloadImage } from '../../model/workload.ts';
import { DockerRuntime } from './docker.ts';
import { ProcessRuntime } from './process.ts';

export interface RuntimeContainer {
  readonly id: string;
  readonly name: string;
  /** Of the main process, in the enforcer's PID namespace. Always above zero. */
  readonly pid: number;
  readonly image: WorkloadImage;
  readonly labels: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch. For display. */
  readonly startedAtMs: number;
  /** As configured, e.g. `1000:1000`, `app` or empty. The kernel's word is in the attested facts. */
  readonly user: string;
  readonly readOnlyRoot: boolean;
  readonly privileged: boolean;
  readonly hostPid: boolean;
  /** Its programs do not run on this kernel (gVisor, Kata): they see nothing that is mounted from here. */
  readonly sandboxed: boolean;
  /** From the labels that the kubelet sets, where it does. */
  readonly kubernetes?: KubernetesFacts;
}

export type RuntimeEvent =
  | { readonly kind: 'started' | 'renamed'; readonly container: RuntimeContainer }
  | { readonly kind: 'synced' }
  | { readonly kind: 'stopped'; readonly id: string };

export interface Runtime {
  readonly kind: RuntimeKind;
  /** Ends, without throwing, once `signal` aborts. One watch at a time. */
  watch(signal: AbortSignal): AsyncIterable<RuntimeEvent>;
  /**
   * The container as it is now, or undefined if it does not run.
   *
   * @throws Fault `runtime.unreachable` if the engine does not answer.
   */
  inspect(id: string): Promise<RuntimeContainer | undefined>;
}

/** What every runtime is made with. */
export interface RuntimeContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export type RuntimeOptions =
  | { readonly kind: 'docker'; readonly socketPath: string }
  | { readonly kind: 'process'; readonly directory: string };

/** The built-in kinds. A new one is a file, a row here, and a run of `runtime.suite.ts`. */
export function createRuntime(options: RuntimeOptions, context: RuntimeContext): Runtime {
  switch (options.kind) {
    case 'docker':
      return new DockerRuntime({ ...context, socketPath: options.socketPath });
    case 'process':
      return new ProcessRuntime({ ...context, directory: options.directory });
    default:
      return unreachable(options);
  }
}
