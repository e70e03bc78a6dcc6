/** Operations on tokens. */
import { assert } from '../../base/assert.ts';
import { Fault } from '../../base/fault.ts';
import { parseName } from '../../model/name.ts';
import type { Binding, Principal } from '../../model/principal.ts';
import type { SelfView, TokenView, tokenOperations } from '../../protocol/operations-token.ts';
import type { TokenHolder } from '../identity/identity.ts';
import { covers } from '../policy/policy.ts';
import type { HandlersOf, Tools } from './handlers.ts';
import { answer } from './plan.ts';
import { timestampOf } from './timestamp.ts';

const hourMs = 3_600_000;

export function tokenHandlers({
  identity,
  paging,
  clock,
}: Tools): HandlersOf<typeof tokenOperations> {
  const { tokens } = identity;
  return {
    'token.whoami': (_input, { principal }) => {
      const endsAtMs = tokens.holder(principal.id)?.endsAtMs;
      return answer(selfViewOf(principal, identity.bindingsOf(principal), endsAtMs));
    },
    'token.list': (input, { principal, permits }) => {
      const scope = { operation: 'token.list', principal, input };
      const isPermitted = permits('token.list');
      const after = paging.start(scope);
      return answer(
        paging.page({
          scope,
          items: tokens.list().filter((holder) => holder.principal.name > after),
          placeOf: (holder) => holder.principal.name,
          isShown: (holder) => isPermitted(`tokens/${holder.principal.name}`),
          view: viewOf,
        }),
      );
    },
    'token.create': ({ name, role, paths, hours }, { principal }) => {
      const binding = { role: parseName(role), paths };
      // Nobody gives what they do not have: the right to make tokens is no right to everything.
      if (!covers(identity.bindingsOf(principal), binding)) {
        throw new Fault('policy.denied', { action: 'token.create', role });
      }
      const endsAtMs = hours === undefined ? undefined : clock.wallMs() + hours * hourMs;
      const { token, ...plan } = tokens.planCreate({ name, binding, endsAtMs });
      const ends = endsAtMs === undefined ? {} : { endsAt: timestampOf(endsAtMs) };
      return { ...plan, output: () => ({ name, token, ...ends }) };
    },
    'token.revoke': ({ name }) => {
      const { holder, ...plan } = tokens.planRevoke(name);
      return { ...plan, output: () => viewOf(holder) };
    },
  };
}

function selfViewOf(
  { id, name, kind, method, source }: Principal,
  bindings: readonly Binding[],
  endsAtMs: number | undefined,
): SelfView {
  assert(kind === 'user' || kind === 'machine', 'no other principal has a token');
  const ends = endsAtMs === undefined ? {} : { endsAt: timestampOf(endsAtMs) };
  return { id, name: parseName(name), kind, method, source, bindings, ...ends };
}

function viewOf({ principal, endsAtMs }: TokenHolder): TokenView {
  const { id, name, kind, bindings, createdAtMs } = principal;
  return {
    id,
    name,
    kind,
    bindings,
    createdAt: timestampOf(createdAtMs),
    ...(endsAtMs === undefined ? {} : { endsAt: timestampOf(endsAtMs) }),
  };
}
