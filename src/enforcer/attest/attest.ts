/**
 * Attestation: from what a runtime says about a container to facts that policy may rest on.
 *
 * The process is pinned before the runtime is asked again and compared afterwards: number and start
 * time. In between the runtime must name the same process. Should the runtime be late in noticing that
 * its process died and the number went to another, then the control group tells: it must bear the
 * container's id.
 *
 * Promises
 *   - The facts are of one process that was the container's main process during the call, inside a
 *     mount namespace that is not the host's; or they say that it is a sandbox.
 *   - Nothing that a workload says is looked at: not its environment, arguments, name or files.
 * Does not promise
 *   - Anything against root on this host, or against who may speak to the container engine; both can
 *     create any container. Facts that such people choose freely are marked `declared`.
 *   - That ids stay as they are: a program may change its user later. Files follow it (`enforcer/mount`);
 *     what is said here is the user at the time of the call.
 */
import { createHash } from 'node:crypto';
import { joinPrefixed } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import {
  type RuntimeKind,
  sandboxNamespace,
  type WorkloadFacts,
  type WorkloadId,
  type WorkloadIsolation,
  type WorkloadProcess,
  type WorkloadProof,
} from '../../model/workload.ts';
import type { Runtime, RuntimeContainer } from '../runtime/runtime.ts';
import {
  cgroupsName,
  type HostFacts,
  type ProcessFacts,
  readHost,
  readProcess,
} from './process-facts.ts';

export interface Attestor {
  /**
   * @param container - As the runtime told it.
   * @throws Fault `attest.gone` if it stopped, or restarted: then a new start is about to be told.
   * @throws Fault `attest.mismatch` if the runtime and the kernel disagree; `field` says about what.
   * @throws Fault `runtime.unreachable` if the runtime cannot be asked.
   */
  attest(container: RuntimeContainer): Promise<WorkloadFacts>;
}

export interface AttestorOptions {
  readonly runtime: Pick<Runtime, 'kind' | 'inspect'>;
  /** As in the node's certificate. */
  readonly node: string;
  /** The kernel that is asked; this one when left out. */
  readonly kernel?: {
    readonly readProcess: typeof readProcess;
    readonly readHost: typeof readHost;
  };
}

export function createAttestor(options: AttestorOptions): Attestor {
  const { runtime, node, kernel = { readProcess, readHost } } = options;
  const host = kernel.readHost();
  return {
    async attest(container) {
      const before = kernel.readProcess(container.pid);
      const again = await runtime.inspect(container.id);
      const after = kernel.readProcess(container.pid);
      if (again === undefined || again.startedAtMs !== container.startedAtMs) {
        throw new Fault('attest.gone', { container: container.id });
      }
      checkSame(container, [container.pid, again.pid], 'pid');
      if (before === undefined || after === undefined) {
        throw new Fault('attest.gone', { container: container.id });
      }
      checkSame(container, [before.startTicks, after.startTicks], 'start-time');
      checkSame(container, [before.mountNamespace, after.mountNamespace], 'mount-namespace');
      // Of a sandbox all that is seen here is who runs it; nothing is ever mounted for it.
      if (!again.sandboxed) checkWalls(runtime.kind, { container: again, found: after, host });
      return factsOf(runtime.kind, { container: again, found: after, host, node });
    },
  };
}

/**
 * The id of one incarnation: SHA-256 over the runtime's kind, the container's id, this boot and the
 * main process's number and start time, the first 128 bits in hexadecimal. A restart gives a new id, a
 * restart of the enforcer or of the engine does not, and no two nodes give the same.
 */
export function workloadIdOf(
  kind: RuntimeKind,
  of: {
    readonly containerId: string;
    readonly bootId: string;
    readonly pid: number;
    readonly startTicks: number;
  },
): WorkloadId {
  const parts = [kind, of.containerId, of.bootId, String(of.pid), String(of.startTicks)];
  const digest = createHash('sha256').update(joinPrefixed(['coffer workload 1', ...parts]));
  return `wld_${digest.digest('hex').slice(0, 32)}`;
}

interface Seen {
  readonly container: RuntimeContainer;
  readonly found: ProcessFacts;
  readonly host: HostFacts;
}

function checkSame(
  container: RuntimeContainer,
  [one, other]: readonly [number, number],
  field: string,
): void {
  if (one !== other) throw new Fault('attest.mismatch', { container: container.id, field });
}

function checkWalls(kind: RuntimeKind, { container, found, host }: Seen): void {
  const fail = (field: string): never => {
    throw new Fault('attest.mismatch', { container: container.id, field, pid: found.pid });
  };
  // Plain processes have no control group of their own; their registration names the start time.
  if (kind !== 'process' && !cgroupsName(found.cgroups, container.id)) fail('cgroup');
  // Whatever were mounted there would be mounted on the host, for everybody to see.
  if (host.mountNamespaces.has(found.mountNamespace)) fail('host-mount-namespace');
}

function factsOf(
  kind: RuntimeKind,
  { container, found, host, node }: Seen & { readonly node: string },
): WorkloadFacts {
  return {
    id: workloadIdOf(kind, {
      containerId: container.id,
      bootId: host.bootId,
      pid: found.pid,
      startTicks: found.startTicks,
    }),
    runtime: kind,
    containerId: container.id,
    name: container.name,
    node,
    image: container.image,
    labels: container.labels,
    ...(container.kubernetes === undefined ? {} : { kubernetes: container.kubernetes }),
    startedAtMs: container.startedAtMs,
    process: {
      ...processOf(found, host),
      ...(container.sandboxed ? { mountNamespace: sandboxNamespace } : {}),
    },
    isolation: isolationOf(container, found, host),
    proof: proofs[kind],
  };
}

function processOf(found: ProcessFacts, host: HostFacts): WorkloadProcess {
  const { pid, startTicks, mountNamespace, userNamespace, uid, gid } = found;
  const longest = found.cgroups.toSorted((left, right) => right.length - left.length)[0];
  return {
    pid,
    startTicks,
    mountNamespace,
    userNamespace,
    uid,
    gid,
    cgroup: longest ?? '',
    userNamespaced: !host.userNamespaces.has(userNamespace),
  };
}

/** The weaker of what the runtime says and what the kernel shows. */
function isolationOf(
  container: RuntimeContainer,
  found: ProcessFacts,
  host: HostFacts,
): WorkloadIsolation {
  const ownUsers = !host.userNamespaces.has(found.userNamespace);
  return {
    privileged: container.privileged || (found.mayAdminister && !ownUsers),
    hostPid: container.hostPid || host.pidNamespaces.has(found.pidNamespace),
    readOnlyRoot: container.readOnlyRoot,
  };
}

/**
 * Docker keeps the image reference as it was typed, and tags can be put on anything on the node; only
 * the id and the digests, which come of a pull, say what runs. Kubernetes' facts are labels there, too.
 */
export const proofs: Readonly<Record<RuntimeKind, WorkloadProof>> = {
  docker: {
    containerId: 'kernel',
    name: 'declared',
    node: 'runtime',
    imageReference: 'declared',
    imageId: 'runtime',
    imageDigests: 'runtime',
    labels: 'declared',
    kubernetes: 'declared',
    process: 'kernel',
    isolation: 'kernel',
  },
  containerd: {
    containerId: 'kernel',
    name: 'runtime',
    node: 'runtime',
    imageReference: 'runtime',
    imageId: 'runtime',
    imageDigests: 'runtime',
    labels: 'declared',
    kubernetes: 'runtime',
    process: 'kernel',
    isolation: 'kernel',
  },
  process: {
    containerId: 'runtime',
    name: 'declared',
    node: 'runtime',
    imageReference: 'declared',
    imageId: 'declared',
    imageDigests: 'declared',
    labels: 'declared',
    kubernetes: 'declared',
    process: 'kernel',
    isolation: 'kernel',
  },
};
