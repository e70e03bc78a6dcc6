/**
 * A workload: one incarnation of one container (or plain process), as attested on its node.
 *
 * Plain data. `enforcer/attest` makes it from the runtime and the kernel, the stream carries it, and
 * policy matches groups against it. Each fact says how it was proven, because that decides what may
 * rest on it: a `declared` fact can be shaped by whoever creates the container, so it may narrow an
 * entitlement and never found one alone.
 *
 * Promises
 *   - Nothing in here was said by the workload itself.
 *   - A restarted container is a new incarnation with a new id; an unchanged one keeps its id for as
 *     long as it runs, across restarts of the enforcer and of the container engine.
 * Does not promise
 *   - That a workload still runs. Facts are a photograph; `process` pins what it was taken of.
 */

/** `wld_` and 32 hexadecimal digits: see `workloadIdOf` in `enforcer/attest/attest.ts`. */
export type WorkloadId = `wld_${string}`;

/** Who runs the container. Podman speaks Docker's API and counts as `docker`. */
export type RuntimeKind = 'docker' | 'containerd' | 'process';

/**
 * How a fact was proven.
 * `kernel`: read from /proc of the pinned process. `runtime`: the container engine's own record, which
 * the creator of the container cannot choose freely. `declared`: free text of the container's creator.
 */
export type FactProof = 'kernel' | 'runtime' | 'declared';

export interface WorkloadImage {
  /** As given when the container was created, e.g. `registry.example/payments/api:1.4`. Tags move. */
  readonly reference: string;
  /** `sha256:…` of the image's configuration, hence of its content. Empty where there is no image. */
  readonly id: string;
  /** `repository@sha256:…` as pulled from or pushed to registries. Empty for images built in place. */
  readonly digests: readonly string[];
}

/** The mount namespace of programs in a virtual machine, or on a kernel of their own: out of our reach. */
export const sandboxNamespace = 0;

export interface KubernetesFacts {
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly container: string;
  /** Absent where the runtime does not tell; the gateway can ask the API server. */
  readonly serviceAccount?: string;
}

/** The main process, as the kernel shows it in the enforcer's own namespaces. */
export interface WorkloadProcess {
  readonly pid: number;
  /** Clock ticks from boot to its start (field 22 of /proc/PID/stat). With `pid`, an identity. */
  readonly startTicks: number;
  /** Inode numbers of its namespaces; `sandboxNamespace` where it only runs the container's sandbox. */
  readonly mountNamespace: number;
  readonly userNamespace: number;
  /** The longest path among its control groups. */
  readonly cgroup: string;
  /** Effective ids, translated to the host, at the time of the look. Files belong to those of the moment. */
  readonly uid: number;
  readonly gid: number;
  /** True if it runs in a user namespace of its own, so that its root is not the host's root. */
  readonly userNamespaced: boolean;
}

/** What weakens the walls around the container, and with them what can be promised about a secret in it. */
export interface WorkloadIsolation {
  /** Started privileged, or CAP_SYS_ADMIN over the host is within its reach: it can unmount and trace. */
  readonly privileged: boolean;
  /** Sees the host's processes, and so (as root) everybody's files through /proc. */
  readonly hostPid: boolean;
  readonly readOnlyRoot: boolean;
}

export interface WorkloadFacts {
  readonly id: WorkloadId;
  readonly runtime: RuntimeKind;
  /** The runtime's own id: 64 hexadecimal digits for containers. The same after a restart. */
  readonly containerId: string;
  readonly name: string;
  /** Name of the node, as in its certificate. The gateway refuses facts that name another node. */
  readonly node: string;
  readonly image: WorkloadImage;
  readonly labels: Readonly<Record<string, string>>;
  readonly kubernetes?: KubernetesFacts;
  /** Milliseconds since the epoch, as the runtime says. For display. */
  readonly startedAtMs: number;
  readonly process: WorkloadProcess;
  readonly isolation: WorkloadIsolation;
  readonly proof: WorkloadProof;
}

/** Per fact that a group can select on: how it was proven on this node. */
export interface WorkloadProof {
  readonly containerId: FactProof;
  readonly name: FactProof;
  readonly node: FactProof;
  readonly imageReference: FactProof;
  readonly imageId: FactProof;
  readonly imageDigests: FactProof;
  readonly labels: FactProof;
  readonly kubernetes: FactProof;
  readonly process: FactProof;
  readonly isolation: FactProof;
}
