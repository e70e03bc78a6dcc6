/** Operations on the gateway itself: its seal, its keys, its state, its backup. */
import { defined } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { systemOperations } from '../../protocol/operations-system.ts';
import type { OperationOutput } from '../../protocol/operations.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { answer } from './plan.ts';

type SystemHandlers = Omit<
  HandlersOf<typeof systemOperations>,
  'audit.list' | 'audit.tail' | 'audit.checkpoint' | 'audit.prove' | 'event.watch'
>;

export function systemHandlers(tools: Tools): SystemHandlers {
  const { system, audit, secrets, policy, identity, presence } = tools;
  return {
    'system.status': async (_input, { permits }) => {
      const status = await system.status();
      const { keyId, remaining } = system.rewrapStatus();
      return answer({
        ...status,
        state: audit.state,
        audit: { ...status.audit, size: audit.size },
        secrets: secrets.reader.size,
        groups: policy.groupCount,
        grants: policy.grantCount,
        nodes: identity.nodes.names().length,
        nodesConnected: presence.connected,
        workloads: policy.entitlements.workloadCount,
        rewrap: { keyId, remaining },
        nodeWeakenings: nodeWeakenings(tools, permits('node.list')),
      });
    },
    'system.seal-status': () => answer(system.sealStatus()),
    'system.unseal': async (_input, { value }) => {
      await system.unseal(defined(value, 'an operation with a value body has its value'));
      const { sealed, sharesGiven, sharesNeeded } = system.sealStatus();
      return answer({ sealed, sharesGiven, sharesNeeded });
    },
    'system.seal': () => ({ output: () => ({ sealed: true }), after: () => system.seal() }),
    'system.rotate-root-key': () => {
      const maintenance = system.rotateRootKey();
      const { detail } = maintenance;
      // Not what there is now: the answer is made before the commit, to be kept with it.
      const output = { keyId: detail['to'] ?? '', remaining: Number(detail['rows'] ?? 0) };
      return { output: () => output, maintenance, detail };
    },
    'system.accept-rollback': ({ reason }) => ({
      output: () => ({ state: audit.state }),
      detail: { reason },
      commit: (entry) => audit.acceptRollback(entry),
    }),
    'system.backup': () => answer(system.backup()),
  };
}

/** So many weak nodes at most are one finding: `node.list` shows every one. */
function nodeWeakenings(
  { identity, presence }: Pick<Tools, 'identity' | 'presence'>,
  isPermitted: (resource: string) => boolean,
): OperationOutput<'system.status'>['nodeWeakenings'] {
  const weak: OperationOutput<'system.status'>['nodeWeakenings'][number][] = [];
  for (const node of identity.nodes.names()) {
    const weakenings = presence.of(node)?.weakenings ?? [];
    if (weakenings.length === 0 || !isPermitted(`nodes/${node}`)) continue;
    weak.push({ node, weakenings });
    if (weak.length === limits.weakNodesMax) break;
  }
  return weak;
}
