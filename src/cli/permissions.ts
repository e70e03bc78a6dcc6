/** `--policy`: what a command needs to be allowed, before anything is asked. */
import { visible } from '../base/visible-text.ts';
import * as schema from '../base/schema.ts';
import type { PolicyDocument } from '../protocol/operations-policy.ts';
import { type OperationName, operationNamed } from '../protocol/operations.ts';
import { asksNobody, type CommandSpec, usage } from './command-spec.ts';
import type { Given } from './given.ts';
import { showText } from './output.ts';
import type { Session } from './session.ts';

export interface Permission {
  readonly action: OperationName;
  readonly resource: string;
  /** Nobody has to be permitted to ask for it, and why. */
  readonly publicBecause?: string;
}

/** @throws Fault `request.invalid` */
export function needed(action: OperationName, input: object = {}): Permission {
  const { access, resource, input: inputSchema } = operationNamed(action);
  const given = Object.entries(input).filter(([, value]) => value !== undefined);
  const parsed = schema.parse(inputSchema, Object.fromEntries(given), 'arguments');
  const permission = { action, resource: resource(parsed) };
  if (access === 'permission') return permission;
  if (access === 'self') return { ...permission, publicBecause: 'it shows only who you are' };
  return { ...permission, ...access };
}

/** A whole policy, everything that it names, and the secrets that it gives: should all of it change. */
export function neededToApply(documents: readonly PolicyDocument[]): readonly Permission[] {
  const resources = documents.flatMap((document) =>
    document.kind === 'Group'
      ? [`groups/${document.name}`]
      : [`grants/${document.group}`, ...document.secrets.map(({ secret }) => `secrets/${secret}`)],
  );
  return ['policy', ...resources].map((resource) => ({ action: 'policy.apply', resource }));
}

/**
 * What there is to say before a command runs, if it is only to explain itself.
 *
 * @returns whether that was all: with `--curl` the command goes on to its call.
 */
export async function isExplained(
  session: Session,
  spec: CommandSpec,
  given: Given,
): Promise<boolean> {
  if (session.flags.policy === true) {
    await showPermissions(session, await spec.permissions(session, given));
    return true;
  }
  if (spec.permissions === asksNobody) {
    throw usage('this command makes no HTTP call');
  }
  return false;
}

async function showPermissions(
  session: Session,
  permissions: readonly Permission[],
): Promise<void> {
  const lines = permissions.map(({ action, resource, publicBecause }) =>
    publicBecause === undefined
      ? `${action} ${resource}`
      : `${action}: no permission is needed: ${publicBecause}`,
  );
  const needs = lines.length === 0 ? ['none'] : [...new Set(lines)];
  await showText(
    session,
    { items: permissions },
    { name: 'permissions', text: () => needs.map((line) => `${visible(line)}\n`).join('') },
  );
}
