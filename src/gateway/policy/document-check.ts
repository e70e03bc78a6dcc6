/**
 * What a group or grant must be beyond its schema, and what about it deserves a second look. Pure.
 *
 * Errors are for documents that could only disappoint; warnings are for those that may be meant.
 */
import type { FaultError } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { isSegment } from '../../base/segment.ts';
import type { Grant } from '../../model/grant.ts';
import type { Group } from '../../model/group.ts';
import { nameRule, type SecretName } from '../../model/name.ts';
import { compileSelector, imageDigestPattern } from './selector.ts';
import { fileNameOf } from './wanted.ts';

/** Kernel file systems: nothing may be mounted over them, nor anything be put where they look. */
const reservedRoots = new Set(['proc', 'sys', 'dev']);

/** @param at - Pointer of the group in the input. */
export function groupErrors(group: Group, at: string): readonly FaultError[] {
  const errors: FaultError[] = [];
  const { image, node, kubernetes } = group.match;
  const looksLikeDigest =
    image !== undefined && (image.includes('@') || image.startsWith('sha256:'));
  if (looksLikeDigest && !imageDigestPattern.test(image)) {
    errors.push({
      pointer: `${at}/match/image`,
      detail:
        'must be repository@sha256:… or sha256:… with 64 lower-case hexadecimal digits, or a glob without @',
    });
  }
  const exact = {
    node,
    'kubernetes/namespace': kubernetes?.namespace,
    'kubernetes/serviceAccount': kubernetes?.serviceAccount,
    'kubernetes/container': kubernetes?.container,
  };
  for (const [place, value] of Object.entries(exact)) {
    if (value?.includes('*') !== true) continue;
    errors.push({
      pointer: `${at}/match/${place}`,
      detail: 'is compared exactly: * stands for itself here; only images and names are patterns',
    });
  }
  if (node?.includes('*') === false && !isSegment(node)) {
    errors.push({ pointer: `${at}/match/node`, detail: `must be ${nameRule}` });
  }
  return errors;
}

/** @param at - Pointer of the grant in the input. */
export function grantErrors(grant: Grant, at: string): readonly FaultError[] {
  const errors: FaultError[] = [];
  const first = new Map<string, number>();
  grant.secrets.forEach((granted, index) => {
    const file = fileNameOf(granted);
    const earlier = first.get(file);
    if (earlier === undefined) {
      first.set(file, index);
      return;
    }
    errors.push({
      pointer: `${at}/secrets/${index}/file`,
      detail: `grant.file-collision: the file ${file} is the one of /secrets/${earlier} already; name another file`,
    });
  });
  const segments = grant.target?.split('/').slice(1) ?? [];
  if (segments.some((segment) => segment === '.' || segment === '..')) {
    errors.push({ pointer: `${at}/target`, detail: 'must not contain . or .. as a directory' });
  }
  if (reservedRoots.has(segments[0] ?? '')) {
    errors.push({ pointer: `${at}/target`, detail: 'must not be below /proc, /sys or /dev' });
  }
  return errors;
}

/**
 * `matches-everything`: no condition, or only on the runtime, or by patterns that any name meets.
 * `labels-only`: only conditions that whoever creates a container can satisfy (names, labels, image
 * references). `matches-nothing`: no running workload matches.
 * `kubernetes-unreported`: it asks for a pod, and no node reports any, so that nothing could match.
 *
 * `target-nested`: as of its grant, where members come or go; who reads the group asks the grant.
 *
 * @param running - Workloads that match, all that are reported as containers of pods, and targets of other
 *   grants that are inside its grant's or around it.
 */
export function groupWarnings(
  group: Group,
  running: {
    readonly members: number;
    readonly pods: number;
    readonly nested?: readonly string[];
  },
): readonly string[] {
  const { members, pods, nested = [] } = running;
  const { conditions } = compileSelector(group.match);
  const warnings: string[] = [];
  if (!conditions.some(({ narrows }) => narrows)) warnings.push('matches-everything');
  else if (!conditions.some((condition) => condition.strong)) warnings.push('labels-only');
  if (members === 0) warnings.push('matches-nothing');
  if (group.match.kubernetes !== undefined && pods === 0) warnings.push('kubernetes-unreported');
  return [...warnings, ...nestedWarnings(nested)];
}

/**
 * `target-nested: DIRECTORY` for each target of another grant that is inside this one's, or around it, in a
 * workload of both; `secret-unknown: NAME` for each secret that does not exist (yet).
 */
export function grantWarnings(
  grant: Grant,
  known: {
    readonly secretExists: (name: SecretName) => boolean;
    readonly nested: readonly string[];
  },
): readonly string[] {
  const nested = nestedWarnings(known.nested);
  const missing = grant.secrets
    .filter((granted) => !known.secretExists(granted.secret))
    .map((granted) => secretUnknown(granted.secret));
  const room = limits.warningsMax - nested.length;
  if (missing.length <= room) return [...nested, ...missing];
  const kept = missing.slice(0, room - 1);
  return [...nested, ...kept, `secret-unknown: and ${missing.length - kept.length} more`];
}

/** Few, so that what else is to be said has room. */
function nestedWarnings(targets: readonly string[]): readonly string[] {
  return targets.slice(0, limits.warningsMax / 2).map((target) => `target-nested: ${target}`);
}

export function secretUnknown(name: SecretName): string {
  return `secret-unknown: ${name}`;
}
