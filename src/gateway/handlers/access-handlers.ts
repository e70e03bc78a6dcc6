/** Questions to policy: why a workload receives a secret, and who receives it. */
import type { policyOperations } from '../../protocol/operations-policy.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { answer } from './plan.ts';

type AccessHandlers = Pick<
  HandlersOf<typeof policyOperations>,
  'access.explain' | 'access.who-can'
>;

export function accessHandlers({ policy }: Tools): AccessHandlers {
  return {
    'access.explain': ({ workload, secret }) =>
      answer(policy.explainAccess(policy.findWorkload(workload).id, secret)),
    'access.who-can': ({ secret }) => answer(policy.whoReceives(secret)),
  };
}
