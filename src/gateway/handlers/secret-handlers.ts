/** Operations on secrets: reading metadata, and plans that put, move and withdraw versions. */
import { defined } from '../../base/assert.ts';
import { Fault } from '../../base/fault.ts';
import type { Secret } from '../../model/secret.ts';
import type { secretOperations, SecretView } from '../../protocol/operations-secret.ts';
import { generateValue, parseLabelSelector, type SecretPlan } from '../secrets/secrets.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { answer, type Plan } from './plan.ts';
import { timestampOf } from './timestamp.ts';

export function secretHandlers(tools: Tools): HandlersOf<typeof secretOperations> {
  const { secrets, paging, random } = tools;
  return {
    'secret.list': (input, { principal, permits }) => {
      const scope = { operation: 'secret.list', principal, input };
      const isPermitted = permits('secret.list');
      const selects =
        input.selector === undefined ? () => true : parseLabelSelector(input.selector);
      const items = secrets.reader.list({
        prefix: input.prefix ?? '',
        after: paging.start(scope),
      });
      return answer(
        paging.page({
          scope,
          items,
          placeOf: ({ secret }) => secret.name,
          // All of it here, where how many are looked at is bounded.
          isShown: ({ secret }) =>
            (secret.deletedAtMs !== undefined) === (input.deleted ?? false) &&
            selects(secret.labels) &&
            isPermitted(`secrets/${secret.name}`),
          view: ({ secret, revision }) => secretViewOf(secret, revision),
        }),
      );
    },
    'secret.get': ({ name }) => {
      const found = secrets.reader.find(name);
      if (!found) throw new Fault('resource.unknown', { resource: `secrets/${name}` });
      return answer(secretViewOf(found.secret, found.revision), found.revision);
    },
    'secret.put': (input, { value, principal }) => {
      const given = defined(value, 'an operation with a value body has its value');
      return change(secrets.planPut({ ...input, value: given, by: principal.name }));
    },
    'secret.generate': ({ rules, ...input }, { principal }) => {
      using value = generateValue(rules ?? {}, random);
      return change(secrets.planPut({ ...input, value, by: principal.name }));
    },
    'secret.update': ({ name, ...members }) => change(secrets.planUpdate(name, members)),
    'secret.promote': ({ name }) => change(secrets.planPromote(name)),
    'secret.rollback': ({ name, version }) => change(secrets.planRollback(name, version)),
    'secret.revoke': ({ name, version }) => change(secrets.planRevoke(name, version)),
    'secret.destroy': ({ name, version }) => change(secrets.planDestroy(name, version)),
    'secret.delete': ({ name }) => change(secrets.planDelete(name)),
    'secret.restore': ({ name }) => change(secrets.planRestore(name)),
  };
}

function change(plan: SecretPlan): Plan<SecretView> {
  const { secret, seen, writes, expectations, detail } = plan;
  const output: Plan<SecretView>['output'] = ({ revision }) => secretViewOf(secret, revision);
  return { output, seen, writes, expectations, detail };
}

function secretViewOf(secret: Secret, revision: number): SecretView {
  const { id, name, description, labels, current, previous, pending } = secret;
  const stages = new Map([
    [previous, 'previous'],
    [pending, 'pending'],
    [current, 'current'],
  ] as const);
  return {
    id,
    name,
    revision,
    description,
    labels,
    current,
    previous,
    pending,
    versions: secret.versions.map((version) => ({
      number: version.number,
      stage: stages.get(version.number) ?? 'none',
      state: version.state,
      createdAt: timestampOf(version.createdAtMs),
      createdBy: version.createdBy,
    })),
    createdAt: timestampOf(secret.createdAtMs),
    ...(secret.deletedAtMs === undefined ? {} : { deletedAt: timestampOf(secret.deletedAtMs) }),
  };
}
