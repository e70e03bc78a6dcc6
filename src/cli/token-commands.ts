/** `coffer token …`: who may ask the gateway for what. */
import { visible } from '../base/visible-text.ts';
import type { CommandSpec, WordSpec } from './command-spec.ts';
import { listCommand } from './list-command.ts';
import { operationCommand } from './operation-command.ts';
import { showDone, showText } from './output.ts';
import { tokenView } from './views.ts';

const create = operationCommand({
  operation: 'token.create',
  words: [{ name: 'name', about: 'of whom it is for: shown in the audit log' }],
  flags: {
    paths: { flags: '--path <pattern>', about: 'such as secrets/payments/**', many: true },
  },
  details:
    'Shown once. Without --hours it is good until it is revoked. You can give no more than you have yourself.',
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
        ? 'It is good until it is revoked.'
        : `It ends ${visible(output.endsAt)}.`,
    );
  },
});

const tokenWord: WordSpec = { name: 'name', about: 'whose token it is', kind: 'token' };

const revoke = operationCommand({
  operation: 'token.revoke',
  words: [tokenWord],
  examples: ['coffer token revoke ci-payments'],
  loses: (_session, { name }) => ({
    name,
    what: [`Whoever uses the token of ${name} is refused from now on.`],
  }),
  show: async (session, token) =>
    await showDone(session, token, { subject: `token/${token.name}`, done: 'revoked' }),
});

export const commands: readonly CommandSpec[] = [
  listCommand({
    operation: 'token.list',
    summary: 'List who has a token, with which role on what, and until when',
    view: tokenView,
    examples: ['coffer token list', 'coffer token list -o wide'],
  }),
  create,
  revoke,
];
