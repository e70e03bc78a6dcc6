/** Attested facts to and from the node stream: `model/workload.ts`, field by field. */
import { Fault, isFault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import type { FactProof, RuntimeKind, WorkloadFacts, WorkloadProof } from '../model/workload.ts';
import type { WireWorkload } from './stream-schema.ts';

const runtimes: readonly RuntimeKind[] = ['docker', 'containerd', 'process'];
const proofs: readonly FactProof[] = ['kernel', 'runtime', 'declared'];
const proofNames = [
  'containerId',
  'name',
  'node',
  'imageReference',
  'imageId',
  'imageDigests',
  'labels',
  'kubernetes',
  'process',
  'isolation',
] as const satisfies (keyof WorkloadProof)[];

export function workloadToWire(facts: WorkloadFacts): WireWorkload {
  const { process, isolation } = facts;
  return {
    id: facts.id,
    runtime: facts.runtime,
    containerId: facts.containerId,
    name: facts.name,
    imageReference: facts.image.reference,
    imageId: facts.image.id,
    imageDigests: [...facts.image.digests],
    labels: { ...facts.labels },
    ...(facts.kubernetes ? { kubernetes: { serviceAccount: '', ...facts.kubernetes } } : {}),
    startedAtMs: Math.max(0, Math.floor(facts.startedAtMs)),
    process: {
      pid: process.pid,
      startTicks: process.startTicks,
      mountNamespace: process.mountNamespace,
      userNamespace: process.userNamespace,
      cgroup: process.cgroup,
      uid: process.uid,
      gid: process.gid,
      userNamespaced: process.userNamespaced,
    },
    privileged: isolation.privileged,
    hostPid: isolation.hostPid,
    readOnlyRoot: isolation.readOnlyRoot,
    proof: { ...facts.proof },
  };
}

/** Whether a gateway takes them for what a node may say: it hangs up on one that says more. */
export function isSayable(facts: WorkloadFacts): boolean {
  try {
    workloadFromWire(workloadToWire(facts));
    return true;
  } catch (error) {
    if (isFault(error, 'stream.malformed')) return false;
    throw error;
  }
}

/** The node is not taken from the wire: the session fills in the one that the certificate names. */
export function workloadFromWire(wire: WireWorkload): WorkloadFacts {
  const { process } = wire;
  const runtime = runtimes.find((kind) => kind === wire.runtime);
  if (!process || !runtime || !/^wld_[0-9a-f]{32}$/.test(wire.id)) throw malformed();
  if (
    wire.imageDigests.length > limits.imageDigestsMax ||
    Object.keys(wire.labels).length > limits.containerLabelsMax
  ) {
    throw malformed();
  }
  const { kubernetes } = wire;
  return {
    id: wire.id as WorkloadFacts['id'],
    runtime,
    containerId: bounded(wire.containerId),
    name: bounded(wire.name),
    node: '',
    image: {
      reference: bounded(wire.imageReference),
      id: bounded(wire.imageId),
      digests: wire.imageDigests.map(bounded),
    },
    labels: labelsOf(wire.labels),
    ...(kubernetes
      ? {
          kubernetes: {
            namespace: bounded(kubernetes.namespace),
            pod: bounded(kubernetes.pod),
            podUid: bounded(kubernetes.podUid),
            container: bounded(kubernetes.container),
            ...(kubernetes.serviceAccount === ''
              ? {}
              : { serviceAccount: bounded(kubernetes.serviceAccount) }),
          },
        }
      : {}),
    startedAtMs: wire.startedAtMs,
    process: {
      pid: process.pid,
      startTicks: process.startTicks,
      mountNamespace: process.mountNamespace,
      userNamespace: process.userNamespace,
      cgroup: bounded(process.cgroup),
      uid: process.uid,
      gid: process.gid,
      userNamespaced: process.userNamespaced,
    },
    isolation: {
      privileged: wire.privileged,
      hostPid: wire.hostPid,
      readOnlyRoot: wire.readOnlyRoot,
    },
    proof: Object.fromEntries(
      proofNames.map((name) => [
        name,
        proofs.find((proof) => proof === wire.proof[name]) ?? 'declared',
      ]),
    ) as unknown as WorkloadProof,
  };
}

/** A label that is too long is left out by an honest node; a selector could not name it. */
function labelsOf(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(labels)) {
    const longest = Math.max(name.length, value.length);
    if (longest > limits.containerLabelCharsMax) throw malformed();
  }
  return labels;
}

function bounded(text: string): string {
  if (text.length > limits.factCharsMax) throw malformed();
  return text;
}

function malformed(): Fault {
  return new Fault('stream.malformed', { what: 'workload' });
}
