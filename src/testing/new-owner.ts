/**
 * An owner for a gateway's core, where nothing asks for a token: what is to be committed, and who it is then.
 */
import type { AuditRequest } from '../gateway/audit/audit.ts';
import type { Core } from '../gateway/core.ts';
import { parseName, parsePathPattern } from '../model/name.ts';
import { gatewayPrincipal, type Principal } from '../model/principal.ts';

export function newOwner(
  core: Core,
  text = 'owner',
): { readonly request: AuditRequest; readonly owner: Principal } {
  const name = parseName(text);
  const bindings = [{ role: parseName('owner'), paths: [parsePathPattern('**')] }];
  const user = { kind: 'user', name, bindings } as const;
  const { writes, expectations, detail } = core.identity.planPrincipal(user);
  const entry = {
    principal: gatewayPrincipal,
    action: 'principal.create',
    resource: 'system',
    outcome: 'ok',
    rule: '',
    requestId: '',
    detail,
  };
  return {
    request: { writes, expectations, entries: [entry] },
    owner: { kind: 'user', id: detail['principal'] ?? '', name, method: 'token', source: 'local' },
  };
}
