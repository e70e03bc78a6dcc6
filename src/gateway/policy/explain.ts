/**
 * Explanations: why a workload receives a secret, or why not and what comes nearest. Pure; the same
 * index and the same merging that delivery uses, so an explanation cannot differ from what is done.
 */
import { limits } from '../../base/limits.ts';
import type { SecretName } from '../../model/name.ts';
import type { EntitlementIndex, IndexedGroup, IndexedWorkload } from './entitlement-index.ts';
import type { AccessExplanation, ExplainStep, Receivers, WantedSet } from './policy.ts';
import { firstInOrder } from './first-in-order.ts';
import { grantsOf, order, wantedSets } from './wanted.ts';

export function explainAccess(
  index: EntitlementIndex,
  asked: {
    readonly workload: IndexedWorkload;
    readonly secret: SecretName;
    readonly secretExists: boolean;
  },
): AccessExplanation {
  const { workload, secret, secretExists } = asked;
  const sets = setsOf(workload);
  const granted = index.groupsGranted(secret);
  const matching = granted.filter((group) => group.members.has(workload));
  const decided = matching.flatMap((group) => decidedSteps(group, secret, sets));
  const delivered = decided.some((step) => step.verdict === 'allows');
  const steps: ExplainStep[] = [];
  if (!secretExists) steps.push(denies(`secret ${secret}`, 'there is no secret of this name'));
  steps.push(...decided);
  if (matching.length === 0) {
    const because =
      granted.length === 0
        ? 'no grant names this secret'
        : 'no group whose grant names this secret matches this workload';
    steps.push(denies('default', because));
  }
  steps.push(...nearMisses(index, granted, workload));
  if (!delivered) steps.push(...otherGroups(workload, matching));
  return {
    allowed: delivered && secretExists,
    steps: steps.slice(0, limits.explainStepsMax).map(clip),
  };
}

export function whoReceives(
  index: EntitlementIndex,
  secret: SecretName,
): Omit<Receivers, 'warnings'> {
  const groups = index.groupsGranted(secret).filter((group) => group.selector !== undefined);
  const members = new Set(groups.flatMap((group) => [...group.members]));
  const page = firstInOrder(members, (workload) => workload.facts.id, limits.receiversMax);
  const workloads = page.flatMap((workload) => {
    const { id, name, node } = workload.facts;
    const files = setsOf(workload).flatMap((set) => set.files);
    return files
      .filter((file) => file.secret === secret)
      .map(({ group, file }) => ({ id, name, node, group, file }));
  });
  return {
    groups: groups.slice(0, limits.receiversMax).map((group) => group.name),
    workloads: workloads.slice(0, limits.receiversMax),
  };
}

function setsOf(workload: IndexedWorkload): readonly WantedSet[] {
  return wantedSets(grantsOf(workload.groups));
}

/** For a grant that reaches the workload: each file it asks for, and whether it got it. */
function decidedSteps(
  group: IndexedGroup,
  secret: SecretName,
  sets: readonly WantedSet[],
): readonly ExplainStep[] {
  const rule = ruleOf(group);
  const set = sets.find((candidate) => candidate.target === group.grant?.target);
  const wanted = group.grant?.files.filter((file) => file.secret === secret) ?? [];
  return wanted.map(({ file, mode }): ExplainStep => {
    const place = `${set?.target ?? ''}/${file}`;
    const refusal = set?.refused.find(
      (refused) => refused.file === file && refused.group === group.name,
    );
    if (refusal?.instead !== undefined) {
      const because = `grant.file-collision: ${place} is given by group ${refusal.instead}, whose name comes first`;
      return denies(rule, because);
    }
    if (refusal !== undefined)
      return denies(rule, `${refusal.fault}: the directory of ${place} is full`);
    const holder = set?.files.find((candidate) => candidate.file === file);
    const also = holder?.group === group.name ? '' : `, as group ${holder?.group ?? ''} also asks`;
    const octal = mode.toString(8).padStart(4, '0');
    const because = `every condition of the group holds: ${place} with mode ${octal}${also}`;
    return { rule, verdict: 'allows', because };
  });
}

/** Groups that are granted the secret and do not match, those that miss by least first. */
function nearMisses(
  index: EntitlementIndex,
  granted: readonly IndexedGroup[],
  workload: IndexedWorkload,
): readonly ExplainStep[] {
  const missed = granted
    .filter((group) => !group.members.has(workload))
    .map((group) => {
      const failing = group.selector?.conditions.filter((one) => !one.holds(workload.facts)) ?? [];
      const sentences = failing.map((condition) => condition.because(workload.facts));
      if (group.selector?.match.kubernetes !== undefined && index.podCount === 0) {
        sentences.unshift('kubernetes-unreported: no node reports pods');
      }
      const of = `${failing.length} of ${group.selector?.conditions.length ?? 0}`;
      const because =
        group.selector === undefined
          ? 'there is no group of this name'
          : `${of} conditions do not hold: ${sentences.join('; ')}`;
      const distance = group.selector === undefined ? Number.MAX_SAFE_INTEGER : failing.length;
      return { distance, name: group.name, step: doesNotMatch(ruleOf(group), because) };
    });
  return missed
    .toSorted((left, right) => left.distance - right.distance || order(left.name, right.name))
    .map((miss) => miss.step);
}

/** Groups that do match, but give other things. */
function otherGroups(
  workload: IndexedWorkload,
  matching: readonly IndexedGroup[],
): readonly ExplainStep[] {
  return workload.groups
    .filter((group) => !matching.includes(group))
    .toSorted((left, right) => order(left.name, right.name))
    .map((group) =>
      doesNotMatch(
        ruleOf(group),
        group.grant === undefined
          ? 'the group matches, but is granted nothing'
          : 'the group matches, but its grant does not name this secret',
      ),
    );
}

function ruleOf(group: IndexedGroup): string {
  return `grant ${group.name}`;
}

function denies(rule: string, because: string): ExplainStep {
  return { rule, verdict: 'denies', because };
}

function doesNotMatch(rule: string, because: string): ExplainStep {
  return { rule, verdict: 'does-not-match', because };
}

function clip(step: ExplainStep): ExplainStep {
  const { because } = step;
  if (because.length <= limits.answerTextCharsMax) return step;
  return { ...step, because: `${because.slice(0, limits.answerTextCharsMax - 1)}…` };
}
