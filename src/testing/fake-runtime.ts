/**
 * A runtime without containers, for the simulator: scripted, in memory, and as truthful as the real
 * ones (it passes `runtime.suite.ts`). Its containers have process numbers that name nothing here.
 */
import { createHash } from 'node:crypto';
import { Changes } from '../enforcer/runtime/changes.ts';
import { differences, type Known } from '../enforcer/runtime/known.ts';
import type { Runtime, RuntimeContainer, RuntimeEvent } from '../enforcer/runtime/runtime.ts';
import { type AttestorOptions, proofs, workloadIdOf } from '../enforcer/attest/attest.ts';
import type { ProcessFacts } from '../enforcer/attest/process-facts.ts';
import { Fault } from '../base/fault.ts';
import type { RuntimeKind, WorkloadFacts } from '../model/workload.ts';

export type FakeContainer = Partial<Omit<RuntimeContainer, 'pid' | 'startedAtMs'>> & {
  readonly name: string;
};

export class FakeRuntime implements Runtime {
  readonly kind: RuntimeKind;
  readonly #containers = new Map<string, RuntimeContainer>();
  #changes: Changes | undefined;
  #lastPid = 1_000;
  #unreachable = false;

  constructor(kind: RuntimeKind = 'docker') {
    this.kind = kind;
  }

  get containers(): readonly RuntimeContainer[] {
    return [...this.#containers.values()];
  }

  /** Starts a container; its id follows from its name unless given. */
  start(options: FakeContainer): RuntimeContainer {
    const id = options.id ?? digestOf(`container ${options.name}`);
    const reference = options.image?.reference ?? 'fake/image:1';
    this.#lastPid += 1;
    const container: RuntimeContainer = {
      image: { reference, id: `sha256:${digestOf(reference)}`, digests: [] },
      labels: {},
      user: '',
      readOnlyRoot: false,
      privileged: false,
      hostPid: false,
      sandboxed: false,
      ...options,
      id,
      pid: this.#lastPid,
      // Rises with every start and is the same in every run.
      startedAtMs: this.#lastPid * 1_000,
    };
    this.#set(id, container);
    return container;
  }

  stop(id: string): void {
    this.#set(id, undefined);
  }

  restart(id: string): RuntimeContainer {
    return this.start(this.#running(id));
  }

  rename(id: string, name: string): void {
    this.#set(id, { ...this.#running(id), name });
  }

  get isUnreachable(): boolean {
    return this.#unreachable;
  }

  /** While true, `inspect` throws and no change is told; afterwards the differences are. */
  setUnreachable(unreachable: boolean): void {
    this.#unreachable = unreachable;
    for (const id of this.#containers.keys()) this.#changes?.add(id);
    this.#changes?.add(nothing);
  }

  async inspect(id: string): Promise<RuntimeContainer | undefined> {
    if (this.#unreachable) throw new Fault('runtime.unreachable');
    return this.#containers.get(id);
  }

  async *watch(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const known: Known = new Map();
    const changes = new Changes();
    this.#changes = changes;
    const onAbort = (): void => changes.end();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) changes.end();
    changes.add(nothing);
    for (let synced = false; ; ) {
      const ids = await changes.take(1);
      if (typeof ids === 'string') return;
      if (this.#unreachable) continue;
      for (const id of new Set([...known.keys(), ...this.#containers.keys()])) {
        yield* differences(known, { id, container: this.#containers.get(id) });
      }
      if (!synced) yield { kind: 'synced' };
      synced = true;
    }
  }

  #running(id: string): RuntimeContainer {
    const container = this.#containers.get(id);
    if (container === undefined) throw new Error(`no container ${id}`);
    return container;
  }

  #set(id: string, container: RuntimeContainer | undefined): void {
    if (container === undefined) this.#containers.delete(id);
    else this.#containers.set(id, container);
    this.#changes?.add(id);
  }
}

const nothing = '(look)';

const hostUserNamespace = 4_026_531_837;

/** What a kernel shows of a runtime's containers, for the attestor. */
export function fakeProcesses(
  runtime: FakeRuntime,
  machine: string,
): NonNullable<AttestorOptions['kernel']> {
  return {
    readProcess: (pid) => {
      const container = runtime.containers.find((one) => one.pid === pid);
      return container && processOf(container);
    },
    readHost: () => ({
      bootId: bootIdOf(machine),
      mountNamespaces: new Set([4_026_531_841]),
      pidNamespaces: new Set([4_026_531_836]),
      userNamespaces: new Set([hostUserNamespace]),
    }),
  };
}

/** What the attestor makes of it. */
export function fakeFacts(
  container: RuntimeContainer,
  { kind, node }: { readonly kind: RuntimeKind; readonly node: string },
): WorkloadFacts {
  const { pidNamespace: _, mayAdminister: _not, cgroups, ...process } = processOf(container);
  const { pid, startTicks } = process;
  const of = { containerId: container.id, bootId: bootIdOf(node), pid, startTicks };
  return {
    id: workloadIdOf(kind, of),
    runtime: kind,
    containerId: container.id,
    name: container.name,
    node,
    image: container.image,
    labels: container.labels,
    ...(container.kubernetes === undefined ? {} : { kubernetes: container.kubernetes }),
    startedAtMs: container.startedAtMs,
    process: { ...process, cgroup: cgroups[0] ?? '', userNamespaced: false },
    isolation: {
      privileged: container.privileged,
      hostPid: container.hostPid,
      readOnlyRoot: container.readOnlyRoot,
    },
    proof: proofs[kind],
  };
}

function bootIdOf(machine: string): string {
  return `boot of ${machine}`;
}

function processOf({ id, pid, user }: RuntimeContainer): ProcessFacts {
  const [uid = 0, gid = uid] = user.split(':').map((part) => Number(part) || 0);
  return {
    pid,
    startTicks: pid,
    mountNamespace: 4_026_540_000 + pid,
    userNamespace: hostUserNamespace,
    pidNamespace: 4_026_550_000 + pid,
    uid,
    gid,
    cgroups: [`/docker/${id}`],
    mayAdminister: false,
  };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
