/** `coffer token …`: who may ask the gateway for what. */
import { visible } from '../base/visible-text.ts';
import type { OperationOutput } from '../protocol/operations.ts';
import type { CommandSpec, WordSpec } from './command-spec.ts';
import { listCommand } from './list-command.ts';
import { operationCommand } from './operation-command.ts';
import { showDone, showText } from './output.ts';
import { formatRows } from './table.ts';
import { tokenView } from './views.ts';

const create = operationCommand({
  operation: 'token.create',
  words: [{ name: 'name', about: 'of the person or program it is for, as shown in the audit log' }],
  flags: {
    paths: { flags: '--path <pattern>', about: 'such as secrets/payments/**', many: true },
  },
  details:
    'The token is shown once. Without --hours it is valid until it is revoked. You can only give permissions that you have yourself.',
  examples: [
    "coffer token create ci-payments --role writer --path 'secrets/payments/**' --hours 2160",
    "coffer token create watch --role auditor --path '**'",
  ],
  show: async (session, output) => {
    await showText(session, output, {
      name: output.name,
      text: () => `${visible(output.token)}\n`,
    });
    session.note(
      output.endsAt === undefined
        ? 'It is valid until it is revoked.'
        : `It expires ${visible(output.endsAt)}.`,
    );
  },
});

const tokenWord: WordSpec = { name: 'name', about: 'of the person or program', kind: 'token' };

const revoke = operationCommand({
  operation: 'token.revoke',
  words: [tokenWord],
  examples: ['coffer token revoke ci-payments', 'coffer token revoke ci-payments --dry-run'],
  loses: (_session, { name }) => ({
    name,
    what: [`The token of ${name} will stop working.`],
  }),
  show: async (session, token) =>
    await showDone(session, token, { subject: `token/${token.name}`, done: 'revoked' }),
});

type Self = OperationOutput<'token.whoami'>;

const whoami = operationCommand({
  operation: 'token.whoami',
  name: 'whoami',
  examples: ['coffer whoami', "coffer whoami -o jsonpath='{.name}'"],
  show: async (session, self) =>
    await showText(session, self, {
      name: `${self.kind}/${self.name}`,
      text: () => selfText(self),
    }),
});

function selfText({ name, kind, bindings, endsAt, method, source }: Self): string {
  const rows = [
    ['Name:', `${name} (${kind})`],
    ...bindings.map(({ role, paths }) => ['Role:', `${role} on ${paths.join(', ')}`]),
    ['Valid until:', endsAt ?? 'it is revoked'],
    ['Identified:', `by ${method}, from ${source}`],
  ];
  return formatRows(rows.map((row) => row.map(visible)));
}

export const commands: readonly CommandSpec[] = [
  whoami,
  listCommand({
    operation: 'token.list',
    summary: 'List tokens: for whom, with which role and paths, and until when',
    view: tokenView,
    examples: ['coffer token list', 'coffer token list -o wide'],
  }),
  create,
  revoke,
];
