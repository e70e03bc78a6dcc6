/**
 * Selectors: a group's match, compiled. All conditions that are given must hold, so adding one can
 * only take workloads away.
 *
 * A condition holds only where its fact means something. `docker` and `process` are for workloads of
 * that runtime. `kubernetes` is for workloads that containerd reports: elsewhere a pod's name and
 * namespace are labels, and anyone who may start a container can write them. `image` is never for
 * plain processes, which have none but what they claim.
 *
 * Strong conditions (an image by digest, the node, a Kubernetes namespace) can found an entitlement.
 * Everything else is chosen by whoever creates the container: names, labels, and image references
 * too, because anybody can tag anything on the node.
 */
import type { GroupMatch } from '../../model/group.ts';
import { compileGlob } from './glob.ts';
import type { SelectableFacts } from './policy.ts';

export interface Condition {
  /** Where it stands in the match, as people write it: `docker.labels.tier`. */
  readonly about: string;
  readonly strong: boolean;
  /** Whether it leaves out anything of its runtime: `*` as a name does not. */
  readonly narrows: boolean;
  holds(facts: SelectableFacts): boolean;
  /** A sentence on why it holds or does not. */
  because(facts: SelectableFacts): string;
}

export interface Selector {
  readonly match: GroupMatch;
  readonly conditions: readonly Condition[];
  /** Whether all conditions hold: without any, for every workload. */
  matches(facts: SelectableFacts): boolean;
}

export function compileSelector(match: GroupMatch): Selector {
  const conditions = [
    ...imageConditions(match.image),
    ...(match.node === undefined ? [] : [exactly('node', match.node, (facts) => facts.node, true)]),
    ...dockerConditions(match.docker),
    ...kubernetesConditions(match.kubernetes),
    ...processConditions(match.process),
  ];
  return {
    match,
    conditions,
    matches(facts) {
      for (const condition of conditions) if (!condition.holds(facts)) return false;
      return true;
    },
  };
}

/** `sha256:…` of an image, alone or behind a repository. */
export const imageDigestPattern = /^(?:[^@\s*]+@)?sha256:[0-9a-f]{64}$/;

function imageConditions(image: string | undefined): readonly Condition[] {
  if (image === undefined) return [];
  const contained = isContainer('image');
  if (image.startsWith('sha256:')) return [contained, imageContent(image)];
  if (image.includes('@')) return [contained, imageDigest(image)];
  return [contained, globbed('image', image, (facts) => facts.image.reference)];
}

function isContainer(about: string): Condition {
  return {
    about,
    strong: false,
    narrows: false,
    holds: (facts) => facts.runtime !== 'process',
    because: (facts) =>
      facts.runtime === 'process' ? 'a plain process has no image' : 'it runs from an image',
  };
}

/** `repository@sha256:…`: that digest from that repository. */
function imageDigest(wanted: string): Condition {
  const content = wanted.slice(wanted.indexOf('@'));
  return {
    about: 'image',
    strong: true,
    narrows: true,
    holds: (facts) => facts.image.digests.includes(wanted),
    because(facts) {
      if (facts.image.digests.includes(wanted)) return `the image is ${shown(wanted)}`;
      const same = facts.image.digests.find((digest) => digest.endsWith(content));
      if (same !== undefined) {
        return `the image has that digest, but its repository is ${shown(same.slice(0, -content.length))}`;
      }
      const [first] = facts.image.digests;
      return first === undefined
        ? `the image ${shown(facts.image.reference)} has no registry digest: it was built on the node`
        : `the image is ${shown(first)}, not ${shown(wanted)}`;
    },
  };
}

/** `sha256:…` alone: that content, whatever it is called. */
function imageContent(wanted: string): Condition {
  const holds = (facts: SelectableFacts): boolean =>
    facts.image.id === wanted ||
    facts.image.digests.some((digest) => digest.endsWith(`@${wanted}`));
  return {
    about: 'image',
    strong: true,
    narrows: true,
    holds,
    because: (facts) =>
      `the image's id is ${shown(facts.image.id)}${holds(facts) ? '' : `, not ${shown(wanted)}`}`,
  };
}

function dockerConditions(docker: GroupMatch['docker']): readonly Condition[] {
  if (docker === undefined) return [];
  return [
    runtimeIs('docker', 'docker'),
    ...(docker.name === undefined
      ? []
      : [globbed('docker.name', docker.name, (facts) => facts.name)]),
    ...labelConditions('docker.labels', docker.labels),
  ];
}

function kubernetesConditions(kubernetes: GroupMatch['kubernetes']): readonly Condition[] {
  if (kubernetes === undefined) return [];
  const { namespace, serviceAccount, pod, container, labels } = kubernetes;
  const about = (member: string): string => `kubernetes.${member}`;
  return [
    attestedPod,
    ...(namespace === undefined
      ? []
      : [exactly(about('namespace'), namespace, (facts) => facts.kubernetes?.namespace, true)]),
    ...(serviceAccount === undefined
      ? []
      : [
          exactly(
            about('serviceAccount'),
            serviceAccount,
            (facts) => facts.kubernetes?.serviceAccount,
            // Whoever owns any namespace can make a service account of any name in it.
            namespace !== undefined,
          ),
        ]),
    ...(pod === undefined
      ? []
      : [globbed(about('pod'), pod, (facts) => facts.kubernetes?.pod ?? '')]),
    ...(container === undefined
      ? []
      : [exactly(about('container'), container, (facts) => facts.kubernetes?.container, false)]),
    ...labelConditions(about('labels'), labels),
  ];
}

function processConditions(process: GroupMatch['process']): readonly Condition[] {
  if (process === undefined) return [];
  return [
    runtimeIs('process', 'process'),
    ...(process.name === undefined
      ? []
      : [globbed('process.name', process.name, (facts) => facts.name)]),
    ...labelConditions('process.labels', process.labels),
  ];
}

/** Whether a runtime that knows pods says that it belongs to one. */
export function isPod({ runtime, kubernetes }: SelectableFacts): boolean {
  return runtime === 'containerd' && kubernetes !== undefined;
}

const attestedPod: Condition = {
  about: 'kubernetes',
  strong: false,
  narrows: false,
  holds: isPod,
  because(facts) {
    if (facts.kubernetes === undefined) return 'it belongs to no pod';
    return facts.runtime === 'containerd'
      ? 'it belongs to a pod'
      : `${facts.runtime} knows pods by labels only, which anyone can write`;
  },
};

function runtimeIs(about: string, runtime: SelectableFacts['runtime']): Condition {
  return {
    about,
    strong: false,
    narrows: false,
    holds: (facts) => facts.runtime === runtime,
    because: (facts) =>
      `its runtime is ${facts.runtime}${facts.runtime === runtime ? '' : `, not ${runtime}`}`,
  };
}

function exactly(
  about: string,
  wanted: string,
  factOf: (facts: SelectableFacts) => string | undefined,
  strong: boolean,
): Condition {
  return {
    about,
    strong,
    narrows: true,
    holds: (facts) => factOf(facts) === wanted,
    because(facts) {
      const fact = factOf(facts);
      if (fact === wanted) return `${about} is ${shown(wanted)}`;
      return fact === undefined
        ? `${about} is not known, and must be ${shown(wanted)}`
        : `${about} is ${shown(fact)}, not ${shown(wanted)}`;
    },
  };
}

function globbed(
  about: string,
  pattern: string,
  factOf: (facts: SelectableFacts) => string,
): Condition {
  const glob = compileGlob(pattern);
  return {
    about,
    strong: false,
    // Names hardly ever have slashes in them; references of images do.
    narrows: !(about === 'image' ? /^\*{2,}$/ : /^\*+$/).test(pattern),
    holds: (facts) => glob.matches(factOf(facts)),
    because(facts) {
      const fact = factOf(facts);
      const verb = glob.matches(fact) ? 'matches' : 'does not match';
      return `${about} ${shown(fact)} ${verb} ${shown(pattern)}`;
    },
  };
}

function labelConditions(
  about: string,
  labels: Readonly<Record<string, string>> | undefined,
): readonly Condition[] {
  return Object.entries(labels ?? {}).map(([key, value]) =>
    exactly(
      `${about}.${key}`,
      value,
      // A label named like a member of every object must not be found where there is none.
      (facts) => (Object.hasOwn(facts.labels, key) ? facts.labels[key] : undefined),
      false,
    ),
  );
}

/** Facts come from outside and sentences have an end. */
function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
