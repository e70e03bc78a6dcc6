/** How many containers hold a secret, or one version of it: said before it is taken away from them. */
import { count } from '../base/count.ts';
import { isFault } from '../base/fault.ts';
import type { SecretName } from '../model/name.ts';
import type { Session } from './session.ts';

/** @returns a sentence; also when it cannot be known. */
export async function holdersOf(
  session: Session,
  secret: SecretName,
  version?: number,
): Promise<string> {
  const containers = new Set<string>();
  const nodes = new Set<string>();
  let cursor: string | undefined;
  try {
    do {
      const more = cursor === undefined ? {} : { cursor };
      const { output } = await session.call('holding.list', { secret, limit: 500, ...more });
      for (const holding of output.items) {
        if (holding.version === 0 || (version ?? holding.version) !== holding.version) continue;
        containers.add(holding.workloadId);
        nodes.add(holding.node);
      }
      cursor = output.nextCursor;
    } while (cursor !== undefined);
  } catch (error) {
    // Who may take it away need not be allowed to see who has it.
    if (!isFault(error) || error.spec.status !== 403) throw error;
    return `You are not permitted to see how many containers hold it (${error.code}).`;
  }
  if (containers.size === 0) return 'No container holds it now.';
  return `${count(containers.size, 'container')} on ${count(nodes.size, 'node')} ${containers.size === 1 ? 'holds' : 'hold'} it now.`;
}
