/**
 * Reads Docker's JSON: takes the fields that are needed, refuses those that have another type, ignores
 * the rest. Works for Docker 20.10 and later and for Podman's Docker-compatible API.
 */
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { KubernetesFacts } from '../../model/workload.ts';
import type { RuntimeContainer } from './runtime.ts';

export type DockerRecord = Readonly<Record<string, unknown>>;

export function parseJson(bytes: Buffer | string): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw new Fault('runtime.invalid', { field: 'json' }, { cause });
  }
}

export function record(value: unknown, field: string): DockerRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Fault('runtime.invalid', { field });
  }
  return value as DockerRecord;
}

export function text(from: DockerRecord, field: string): string {
  const value = from[field];
  if (typeof value !== 'string') throw new Fault('runtime.invalid', { field });
  return value;
}

export function texts(from: DockerRecord, field: string): readonly string[] {
  const value = from[field] ?? [];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw new Fault('runtime.invalid', { field });
  }
  return value;
}

/** A name or reference longer than any that is meant seriously: then nothing is said about its bearer. */
function shortText(from: DockerRecord, field: string): string {
  const value = text(from, field);
  if (value.length > limits.factCharsMax) throw new Fault('runtime.invalid', { field });
  return value;
}

function flag(from: DockerRecord, field: string): boolean {
  return from[field] === true;
}

/** Labels in alphabetical order, within bounds. What is left out can only narrow what is granted. */
function labelsOf(value: unknown): Record<string, string> {
  const labels = Object.entries(record(value ?? {}, 'Labels'))
    .filter(
      (entry): entry is [string, string] =>
        typeof entry[1] === 'string' &&
        entry[0].length <= limits.containerLabelCharsMax &&
        entry[1].length <= limits.containerLabelCharsMax,
    )
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .slice(0, limits.containerLabelsMax);
  return Object.fromEntries(labels);
}

/** What cri-dockerd and the dockershim wrote on each container. */
export function kubernetesOf(
  labels: Readonly<Record<string, string>>,
): KubernetesFacts | undefined {
  const namespace = labels['io.kubernetes.pod.namespace'];
  const pod = labels['io.kubernetes.pod.name'];
  const podUid = labels['io.kubernetes.pod.uid'];
  const container = labels['io.kubernetes.container.name'];
  if (!namespace || !pod || !podUid || !container) return undefined;
  return { namespace, pod, podUid, container };
}

/** What a container's own record does not say. */
export interface EngineKnowledge {
  /** Repository digests of an image id. */
  digestsOf(imageId: string): Promise<readonly string[]>;
  /** Whether what the engine calls so runs programs in a sandbox: see `isSandbox`. */
  isSandbox(ociRuntime: string): Promise<boolean>;
}

/**
 * @param inspected - The answer of `GET /containers/{id}/json`.
 * @returns undefined if it does not run: stopped, created, or between two lives.
 */
export async function containerOf(
  inspected: unknown,
  engine: EngineKnowledge,
): Promise<RuntimeContainer | undefined> {
  const root = record(inspected, 'container');
  const state = record(root['State'], 'State');
  const pid = state['Pid'];
  // Podman does not count what is paused as running.
  const isRunning = flag(state, 'Running') || flag(state, 'Paused');
  if (!isRunning || typeof pid !== 'number' || pid <= 0) return undefined;

  const config = record(root['Config'], 'Config');
  const host = record(root['HostConfig'] ?? {}, 'HostConfig');
  const labels = labelsOf(config['Labels']);
  const kubernetes = kubernetesOf(labels);
  const imageId = qualified(text(root, 'Image'));
  return {
    id: text(root, 'Id'),
    name: shortText(root, 'Name').replace(/^\//, ''),
    pid,
    image: {
      reference: shortText(config, 'Image'),
      id: imageId,
      // As with labels, what is left out can only narrow.
      digests: (await engine.digestsOf(imageId)).slice(0, limits.imageDigestsMax),
    },
    labels,
    startedAtMs: timeOf(text(state, 'StartedAt')),
    user: typeof config['User'] === 'string' ? config['User'] : '',
    readOnlyRoot: flag(host, 'ReadonlyRootfs'),
    privileged: flag(host, 'Privileged') || mayAdminister(host),
    hostPid: host['PidMode'] === 'host',
    sandboxed: await engine.isSandbox(typeof host['Runtime'] === 'string' ? host['Runtime'] : ''),
    ...(kubernetes === undefined ? {} : { kubernetes }),
  };
}

/** Of what its processes were started with: one may give it up for itself, and leave it to another. */
function mayAdminister(host: DockerRecord): boolean {
  return texts(host, 'CapAdd').some((name) => /^(?:ALL|(?:CAP_)?SYS_ADMIN)$/i.test(name));
}

/** Whether this is gVisor, Kata or the like. @param names - What it is called, and its program and kind. */
export function isSandbox(names: readonly string[]): boolean {
  return names.some((name) => /runsc|gvisor|kata|firecracker|krun/i.test(name));
}

/** Podman writes image ids without their algorithm. */
function qualified(imageId: string): string {
  return /^[0-9a-f]{64}$/.test(imageId) ? `sha256:${imageId}` : imageId;
}

function timeOf(rfc3339: string): number {
  const milliseconds = Date.parse(rfc3339);
  return Number.isFinite(milliseconds) ? milliseconds : 0;
}
