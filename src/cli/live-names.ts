/** Names of what the gateway has, as far as the caller may see them: for completion and suggestions. */
import type { WordKind } from './command-spec.ts';
import type { Session } from './session.ts';

export async function liveNames(
  session: Session,
  kind: Exclude<WordKind, 'file' | 'context'>,
  prefix: string,
): Promise<readonly string[]> {
  const limit = 500;
  switch (kind) {
    case 'secret':
    case 'deleted-secret': {
      const deleted = kind === 'deleted-secret' ? { deleted: true } : {};
      const { output } = await session.call('secret.list', { limit, prefix, ...deleted });
      return output.items.map(({ name }) => name);
    }
    case 'group':
      return (await session.call('group.list', { limit })).output.items.map(({ name }) => name);
    case 'grant':
      return (await session.call('grant.list', { limit })).output.items.map(({ group }) => group);
    case 'node':
      return (await session.call('node.list', { limit })).output.items.map(({ name }) => name);
    case 'token':
      return (await session.call('token.list', { limit })).output.items.map(({ name }) => name);
    case 'workload':
      return (await session.call('workload.list', { limit })).output.items.map(({ name }) => name);
  }
}
