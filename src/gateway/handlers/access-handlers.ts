/** Questions to policy: why a workload receives a secret, and who receives it. */
import { limits } from '../../base/limits.ts';
import type { SecretName } from '../../model/name.ts';
import { deliverableVersion } from '../../model/secret.ts';
import type { policyOperations } from '../../protocol/operations-policy.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { answer } from './plan.ts';

type AccessHandlers = Pick<
  HandlersOf<typeof policyOperations>,
  'access.explain' | 'access.who-can'
>;

export function accessHandlers({ policy, secrets }: Tools): AccessHandlers {
  /** Why nobody receives it, whatever grants say; undefined if there is a version to deliver. */
  const withheld = (name: SecretName): string | undefined => {
    const secret = secrets.reader.find(name)?.secret;
    if (secret === undefined || deliverableVersion(secret) !== undefined) return undefined;
    if (secret.deletedAtMs !== undefined) return 'it is deleted';
    if (secret.current === 0) return 'it has no current version';
    return `version ${secret.current}, the current one, is revoked or destroyed`;
  };
  return {
    'access.explain': ({ workload, secret }) => {
      const { allowed, steps } = policy.explainAccess(policy.findWorkload(workload).id, secret);
      const because = withheld(secret);
      if (because === undefined) return answer({ allowed, steps });
      const step = { rule: `secret ${secret}`, verdict: 'denies', because } as const;
      return answer({ allowed: false, steps: [step, ...steps].slice(0, limits.explainStepsMax) });
    },
    'access.who-can': ({ secret }) => {
      const { warnings, ...receivers } = policy.whoReceives(secret);
      const because = withheld(secret);
      const more = because === undefined ? [] : [`secret-withheld: ${because}`];
      return answer({ ...receivers, warnings: [...warnings, ...more] });
    },
  };
}
