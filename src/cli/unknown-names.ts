/**
 * Filters that name something: where nothing was found, a name that does not exist is refused, because
 * "none found" would read as an all-clear.
 */
import { Fault, isFault } from '../base/fault.ts';
import { findNode, findWorkloads } from './node-commands.ts';
import { checkInput } from './operation-command.ts';
import type { Session } from './session.ts';
import { nearestName } from './suggestion.ts';

export type NamedKind = 'secret' | 'group' | 'node' | 'workload';

/** @throws Fault `resource.unknown` for the first that does not exist, as far as the caller may know. */
export async function refuseUnknown(
  session: Session,
  named: Readonly<Partial<Record<NamedKind, string | undefined>>>,
): Promise<void> {
  for (const [kind, name] of Object.entries(named) as [NamedKind, string | undefined][]) {
    if (name === undefined || (await mayExist(session, kind, name))) continue;
    const didYouMean = await nearestName(session, kind, name);
    throw new Fault('resource.unknown', { resource: `${kind}s/${name}`, didYouMean });
  }
}

async function mayExist(session: Session, kind: NamedKind, name: string): Promise<boolean> {
  try {
    switch (kind) {
      case 'secret':
        await session.call('secret.get', checkInput('secret.get', { name }));
        return true;
      case 'group':
        await session.call('group.get', checkInput('group.get', { name }));
        return true;
      case 'node':
        return (await findNode(session, name)) !== undefined;
      case 'workload':
        return (await findWorkloads(session, name)).length > 0;
    }
  } catch (error) {
    if (isFault(error, 'resource.unknown')) return false;
    if (isFault(error, 'policy.denied')) return true;
    throw error;
  }
}
