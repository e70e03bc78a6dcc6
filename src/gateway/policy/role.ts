/**
 * Roles and decisions: what principals may do. Pure, default deny.
 *
 * A role is a set of actions; a binding gives a role on the resources that its path patterns match. An
 * action is allowed on a resource if one binding's role has the action and one of its patterns matches
 * the resource. There are no denials that outweigh, so the order of bindings means nothing.
 *
 * A list (`secret.list` on `secrets`) is allowed to whoever may see anything in it; the handler then
 * shows only the items that `permits` lets through.
 *
 * Promises: resources are compared byte for byte; one that is not in canonical spelling is denied,
 * so that no two spellings of a thing can be decided differently (THREAT-MODEL, V1).
 */
import { isFault } from '../../base/fault.ts';
import { type Name, type PathPattern, parsePathPattern } from '../../model/name.ts';
import type { Binding } from '../../model/principal.ts';
import type { ExplainStep } from './policy.ts';

export interface Role {
  readonly name: Name;
  readonly summary: string;
  /** Names of operations; `group.*` stands for all that begin with `group.`, `*` for all. */
  readonly actions: readonly string[];
}

export interface Asked {
  readonly action: string;
  readonly resource: string;
}

export interface Decision {
  readonly allowed: boolean;
  /** The role that allowed it; empty if none did. */
  readonly rule: string;
  readonly steps: readonly ExplainStep[];
}

const named = (name: string): Name => name as Name;

/** Writing a value and giving it to containers are different rights: no role but owner has both. */
export const roles: readonly Role[] = [
  { name: named('owner'), summary: 'everything', actions: ['*'] },
  {
    name: named('operator'),
    summary: 'groups, grants and nodes: who receives what, never what it is',
    actions: [
      'group.*',
      'grant.*',
      'policy.*',
      'node.*',
      'workload.*',
      'holding.*',
      'access.*',
      'secret.list',
      'secret.get',
      // To stop a leak is whose watch it is, and takes nothing that cannot be put again.
      'secret.revoke',
      'event.watch',
      'system.status',
    ],
  },
  {
    name: named('writer'),
    summary: 'values of secrets: sets and rotates them, grants them to nobody',
    actions: [
      'secret.put',
      'secret.generate',
      'secret.update',
      'secret.list',
      'secret.get',
      'secret.promote',
      'secret.rollback',
      'secret.revoke',
    ],
  },
  {
    name: named('auditor'),
    summary: 'reads everything that can be read, and changes nothing',
    actions: [
      'audit.*',
      'access.*',
      'secret.list',
      'secret.get',
      'group.list',
      'group.get',
      'grant.list',
      'grant.get',
      'policy.diff',
      'node.list',
      'workload.list',
      'holding.list',
      'event.watch',
      'system.status',
      'token.list',
    ],
  },
];

const rolesByName: ReadonlyMap<string, Role> = new Map(roles.map((role) => [role.name, role]));

/** Decides, and says which rule did or how each binding fell short. */
export function decide(bindings: readonly Binding[], asked: Asked): Decision {
  const { action, resource } = asked;
  if (!isCanonical(resource)) {
    return denied([
      { rule: 'spelling', verdict: 'denies', because: 'the resource is not spelled canonically' },
    ]);
  }
  const steps: ExplainStep[] = [];
  for (const binding of bindings) {
    const step = stepOf(binding, asked);
    steps.push(step);
    if (step.verdict === 'allows') return { allowed: true, rule: binding.role, steps };
  }
  const because =
    bindings.length === 0
      ? 'the principal has no role at all'
      : `no role of the principal allows ${clip(action)} on ${clip(resource)}`;
  return denied([...steps, { rule: 'default', verdict: 'denies', because }]);
}

/** The same answer as `decide`, without the reasons and prepared for many resources: for lists. */
export function permits(
  bindings: readonly Binding[],
  action: string,
): (resource: string) => boolean {
  const tests = bindings
    .filter((binding) => roleHas(rolesByName.get(binding.role), action))
    .flatMap((binding) => binding.paths)
    .map((path) => resourceTest(path, action));
  return (resource) => isCanonical(resource) && tests.some((test) => test(resource));
}

/** Whether what somebody has covers what they would give: a role that has no less, on paths that reach as far. */
export function covers(bindings: readonly Binding[], given: Binding): boolean {
  const role = rolesByName.get(given.role);
  if (role === undefined) return false;
  const wide = bindings.filter((binding) => {
    const own = rolesByName.get(binding.role);
    return role.actions.every((action) => roleHas(own, action));
  });
  return given.paths.every((path) =>
    wide.some((binding) => binding.paths.some((own) => reachesAsFar(own, path))),
  );
}

/** Whether all that the second pattern matches is matched by the first. */
function reachesAsFar(wide: PathPattern, narrow: PathPattern): boolean {
  const outer = wide.split('/');
  const inner = narrow.split('/');
  const isOuterOpen = outer.at(-1) === '**';
  const isInnerOpen = inner.at(-1) === '**';
  if (isInnerOpen && !isOuterOpen) return false;
  const fixed = isOuterOpen ? outer.slice(0, -1) : outer;
  if (isOuterOpen ? inner.length <= fixed.length : inner.length !== fixed.length) return false;
  return fixed.every((segment, index) =>
    segment === '*' ? inner[index] !== '**' : segment === inner[index],
  );
}

function denied(steps: readonly ExplainStep[]): Decision {
  return { allowed: false, rule: '', steps };
}

function stepOf(binding: Binding, { action, resource }: Asked): ExplainStep {
  const rule = clip(`role ${binding.role} on ${binding.paths.join(', ')}`);
  const role = rolesByName.get(binding.role);
  if (role === undefined) {
    return { rule, verdict: 'does-not-match', because: 'there is no role of this name' };
  }
  if (!roleHas(role, action)) {
    return { rule, verdict: 'does-not-match', because: `the role is for ${role.summary}` };
  }
  const path = binding.paths.find((candidate) => resourceTest(candidate, action)(resource));
  return path === undefined
    ? { rule, verdict: 'does-not-match', because: `no path of it matches ${clip(resource)}` }
    : { rule, verdict: 'allows', because: `${path} matches ${clip(resource)}` };
}

function roleHas(role: Role | undefined, action: string): boolean {
  return (
    role?.actions.some(
      (pattern) =>
        pattern === '*' ||
        pattern === action ||
        (pattern.endsWith('.*') && action.startsWith(pattern.slice(0, -1))),
    ) ?? false
  );
}

/**
 * `*` matches exactly one segment, `**` at the end one or more. A list is for whoever may see something
 * in it.
 */
function resourceTest(path: PathPattern, action: string): (resource: string) => boolean {
  const wanted = path.split('/');
  const open = wanted.at(-1) === '**';
  const fixed = open ? wanted.slice(0, -1) : wanted;
  const listing = action.endsWith('.list');
  return (resource) => {
    const given = resource.split('/');
    if (listing && given.length === 1 && wanted.length > 1) {
      return wanted[0] === '*' || wanted[0] === given[0];
    }
    if (open ? given.length <= fixed.length : given.length !== fixed.length) return false;
    return fixed.every((segment, index) => segment === '*' || segment === given[index]);
  };
}

/** Spelled as a pattern would have to be, with nothing in it that a pattern would mean by more. */
function isCanonical(resource: string): boolean {
  if (resource.includes('*')) return false;
  try {
    parsePathPattern(resource);
    return true;
  } catch (error) {
    if (isFault(error, 'name.invalid')) return false;
    throw error;
  }
}

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
