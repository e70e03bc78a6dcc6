/**
 * Who may do what: the expected answers of the access matrix, reviewed by eye.
 *
 * One pair per asker, in the order of `askers`: for things of the team that some are bound to (`payments`),
 * and for another's. `Y` allowed; `-` denied; `T` asked for a proof of its own (the join token) and refused
 * without it. Nodes and the gateway itself have no rights here: they use the node stream.
 */

export const askers = [
  'nobody',
  'stranger',
  'node',
  'gateway',
  /** These have their role on everything. */
  'owner',
  'operator',
  'auditor',
  'writer',
  /** Role writer on `secrets/payments/**`. */
  'team-writer',
  /** Role operator on the group and the grant `payments-api`, and on `secrets/payments/**`. */
  'team-operator',
] as const;
export type Asker = (typeof askers)[number];

export const accessTable: Readonly<Record<string, string>> = {
  'access.explain': '-- -- -- -- YY YY YY -- -- Y-',
  'access.who-can': '-- -- -- -- YY YY YY -- -- Y-',
  'audit.checkpoint': '-- -- -- -- YY -- YY -- -- --',
  'audit.list': '-- -- -- -- YY -- YY -- -- --',
  'audit.prove': '-- -- -- -- YY -- YY -- -- --',
  'audit.tail': '-- -- -- -- YY -- YY -- -- --',
  'event.watch': '-- -- -- -- YY YY YY -- -- --',
  'grant.delete': '-- -- -- -- YY YY -- -- -- Y-',
  'grant.get': '-- -- -- -- YY YY YY -- -- Y-',
  'grant.list': '-- -- -- -- YY YY YY -- -- YY',
  'grant.put': '-- -- -- -- YY YY -- -- -- Y-',
  'group.delete': '-- -- -- -- YY YY -- -- -- --',
  'group.get': '-- -- -- -- YY YY YY -- -- Y-',
  'group.list': '-- -- -- -- YY YY YY -- -- YY',
  'group.put': '-- -- -- -- YY YY -- -- -- Y-',
  'holding.list': '-- -- -- -- YY YY YY -- -- Y-',
  'node.join': 'TT TT TT TT TT TT TT TT TT TT',
  'node.list': '-- -- -- -- YY YY YY -- -- --',
  'node.revoke': '-- -- -- -- YY YY -- -- -- --',
  'node.token': '-- -- -- -- YY YY -- -- -- --',
  'policy.apply': '-- -- -- -- YY YY -- -- -- --',
  'policy.diff': '-- -- -- -- YY YY YY -- -- --',
  'secret.delete': '-- -- -- -- YY -- -- -- -- --',
  'secret.destroy': '-- -- -- -- YY -- -- -- -- --',
  'secret.generate': '-- -- -- -- YY -- -- YY Y- --',
  'secret.get': '-- -- -- -- YY YY YY YY Y- Y-',
  'secret.list': '-- -- -- -- YY YY YY YY YY YY',
  'secret.promote': '-- -- -- -- YY -- -- YY Y- --',
  'secret.put': '-- -- -- -- YY -- -- YY Y- --',
  'secret.restore': '-- -- -- -- YY -- -- -- -- --',
  'secret.revoke': '-- -- -- -- YY YY -- YY Y- Y-',
  'secret.rollback': '-- -- -- -- YY -- -- YY Y- --',
  'secret.update': '-- -- -- -- YY -- -- YY Y- --',
  'system.accept-rollback': '-- -- -- -- YY -- -- -- -- --',
  'system.backup': '-- -- -- -- YY -- -- -- -- --',
  'system.rotate-root-key': '-- -- -- -- YY -- -- -- -- --',
  'system.seal': '-- -- -- -- YY -- -- -- -- --',
  'system.seal-status': 'YY YY YY YY YY YY YY YY YY YY',
  'system.status': '-- -- -- -- YY YY YY -- -- --',
  'system.unseal': 'YY YY YY YY YY YY YY YY YY YY',
  'token.create': '-- -- -- -- YY -- -- -- -- --',
  'token.list': '-- -- -- -- YY -- YY -- -- --',
  'token.revoke': '-- -- -- -- YY -- -- -- -- --',
  'token.whoami': '-- YY -- -- YY YY YY YY YY YY',
  'workload.list': '-- -- -- -- YY YY YY -- -- --',
};
