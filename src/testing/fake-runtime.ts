/**
 * A runtime without containers, for the simulator: scripted, in memory, and as truthful as the real
 * ones (it passes `runtime.suite.ts`). Its containers have process numbers that name nothing here.
 */
import { createHash } from 'node:crypto';
import { Changes } from '../enforcer/runtime/changes.ts';
import { differences, type Known } from '../enforcer/runtime/known.ts';
import type { Runtime, RuntimeContainer, RuntimeEvent } from '../enforcer/runtime/runtime.ts';
import { type Attestor, proofs, workloadIdOf } from '../enforcer/attest/attest.ts';
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

  async restart(id: string): Promise<void> {
    this.start(this.#running(id));
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

/** Attests fake containers with made-up kernel facts that follow from the container. */
export function fakeAttestor(runtime: FakeRuntime, node: string): Attestor {
  return {
    async attest(container) {
      const again = await runtime.inspect(container.id);
      if (again?.pid !== container.pid) {
        throw new Fault('attest.gone', { container: container.id });
      }
      return fakeFacts(again, { kind: runtime.kind, node });
    },
  };
}

export function fakeFacts(
  container: RuntimeContainer,
  { kind, node }: { readonly kind: RuntimeKind; readonly node: string },
): WorkloadFacts {
  const { pid } = container;
  const [uid = 0, gid = uid] = container.user.split(':').map((part) => Number(part) || 0);
  const of = { containerId: container.id, bootId: `boot of ${node}`, pid, startTicks: pid };
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
    process: {
      pid,
      startTicks: pid,
      mountNamespace: 4_026_540_000 + pid,
      userNamespace: 4_026_531_837,
      cgroup: `/docker/${container.id}`,
      uid,
      gid,
      userNamespaced: false,
    },
    isolation: {
      privileged: container.privileged,
      hostPid: container.hostPid,
      readOnlyRoot: container.readOnlyRoot,
    },
    proof: proofs[kind],
  };
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
