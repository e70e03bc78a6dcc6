/** `coffer secret …`. No command here shows a value; there is none that could. */
import { limits } from '../base/limits.ts';
import { parseSecretName, type SecretName } from '../model/name.ts';
import type { OperationInput } from '../protocol/operations.ts';
import { type CommandSpec, usage, type WordSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import { holdersOf } from './holders.ts';
import type { Loss } from './interaction.ts';
import { listCommand } from './list-command.ts';
import {
  change,
  checkInput,
  operationCommand,
  type OperationCommand,
  pairsOf,
  revisionNow,
} from './operation-command.ts';
import { showDone, showOne, showText } from './output.ts';
import { needed } from './permissions.ts';
import type { Session } from './session.ts';
import { formatRows } from './table.ts';
import { readValue, valueOptions } from './value-input.ts';
import { labelsText, type SecretItem, secretView, stateOfVersion, versionText } from './views.ts';
import { ageOf } from './relative-time.ts';
import { visible } from '../base/visible-text.ts';

const nameWord: WordSpec = { name: 'name', about: 'such as payments/db-password', kind: 'secret' };

const versionFlag = {
  version: {
    flags: '--version <n>',
    about: 'which version',
    whole: { min: 1, max: 1_000_000_000 },
  },
} as const;

const stageFlag = {
  flags: '--stage <stage>',
  about: 'pending: store it without delivering it',
  choices: ['current', 'pending'],
} as const;

async function showSecret(session: Session, secret: SecretItem): Promise<void> {
  await showOne(session, secretView, secret);
}

/** What happened, in one line; data when data was asked for. */
function showStage(done: string): (session: Session, secret: SecretItem) => Promise<void> {
  return async (session, secret) => {
    const stages = (['current', 'pending', 'previous'] as const)
      .filter((stage) => secret[stage] !== 0)
      .map((stage) => {
        const state = stateOfVersion(secret, secret[stage]);
        return `${stage} ${secret[stage]}${state === 'stored' ? '' : ` ${state}`}`;
      });
    const tail = stages.length === 0 ? 'no version in use' : stages.join(', ');
    const subject = `secret/${secret.name}`;
    await showDone(session, secret, { subject, done: `${done} (${tail})` });
  };
}

async function getSecret(session: Session, name: string): Promise<SecretItem> {
  return (await session.call('secret.get', checkInput('secret.get', { name }))).output;
}

async function lossOf(
  session: Session,
  name: SecretName,
  { what, version }: { readonly what: string; readonly version?: number | undefined },
): Promise<Loss> {
  return { name, what: [what, await holdersOf(session, name, version)] };
}

/** What is said first, so that a value that was typed as an argument is not repeated. */
function refuseValueInArguments(word: string): void {
  const name = word.slice(0, word.indexOf('='));
  if (!word.includes('=')) return;
  let known = 'NAME';
  try {
    known = parseSecretName(name);
  } catch {
    // What stands before the equals sign is no name, and may be a part of the value.
  }
  throw usage(
    'a value in an argument is visible to every process on this machine, and stays in the history of the ' +
      `shell: run \`coffer secret put ${known}\` and type the value or pipe it in. Choose a new value`,
  );
}

function putInput(given: Given): OperationInput<'secret.put'> {
  refuseValueInArguments(given.word('name'));
  return checkInput('secret.put', {
    name: given.word('name'),
    stage: given.option('stage'),
    createOnly: given.option('createOnly'),
  });
}

function generateInput(given: Given): OperationInput<'secret.generate'> {
  const rules = Object.fromEntries(
    ['length', 'charset', 'exclude']
      .map((key) => [key, given.option(key)] as const)
      .filter(([, value]) => value !== undefined),
  );
  return checkInput('secret.generate', {
    name: given.word('name'),
    stage: given.option('stage'),
    createOnly: given.option('createOnly'),
    rules: Object.keys(rules).length === 0 ? undefined : rules,
  });
}

function updateInput(given: Given): OperationInput<'secret.update'> {
  const noLabels = given.option('labels') === false;
  const labels = pairsOf('--label', given.list('label')) ?? (noLabels ? {} : undefined);
  if (noLabels && given.list('label').length > 0)
    throw usage('--label and --no-labels exclude each other');
  if (labels === undefined && given.text('description') === undefined) {
    throw usage('say what to change: --label, --no-labels or --description');
  }
  return checkInput('secret.update', {
    name: given.word('name'),
    labels,
    description: given.option('description'),
  });
}

const put: CommandSpec = {
  name: 'secret put',
  aliases: ['set'],
  summary: 'Set a new value: typed without echo, piped in, or from a file or variable',
  details:
    'The value becomes a new version, which every entitled running container receives at once. Standard ' +
    'input is taken byte for byte, except that one newline at the end is removed, with a notice. A value ' +
    `may have up to ${limits.secretValueBytesMax / 1024} KiB.`,
  examples: [
    'coffer secret put payments/db-password',
    'openssl rand -base64 24 | coffer secret put payments/db-password --strip-newline',
    'coffer secret put payments/tls-key --from-file tls.key --stage pending',
  ],
  words: [nameWord],
  options: [
    ...valueOptions,
    stageFlag,
    { flags: '--create-only', about: 'fail if the secret already exists' },
  ],
  changes: true,
  permissions: (_session, given) => [needed('secret.put', putInput(given))],
  async run(session, given) {
    const input = putInput(given);
    await session.explain('secret.put', input);
    using value = await readValue(session, given, `Value for ${input.name}`);
    if (value.length === 0) throw usage('the value is empty; nothing was sent');
    const secret = await change(session, 'secret.put', input, { value });
    if (secret)
      await showStage(input.stage === 'pending' ? 'has a new version waiting' : 'has a new value')(
        session,
        secret,
      );
  },
};

const generate: CommandSpec = {
  name: 'secret generate',
  summary: 'Generate a new random value, without showing it',
  examples: [
    'coffer secret generate payments/db-password',
    'coffer secret generate payments/pin --length 8 --charset digits',
  ],
  words: [nameWord],
  options: [
    {
      flags: '--length <n>',
      about: 'number of characters; 32 by default',
      whole: { min: 8, max: 4096 },
    },
    {
      flags: '--charset <charset>',
      about: 'which characters; alphanumeric by default',
      choices: ['alphanumeric', 'printable', 'hex', 'base64url', 'digits', 'bytes'],
    },
    { flags: '--exclude <characters>', about: 'characters to leave out' },
    stageFlag,
    { flags: '--create-only', about: 'fail if the secret already exists' },
  ],
  changes: true,
  permissions: (_session, given) => [needed('secret.generate', generateInput(given))],
  async run(session, given) {
    const secret = await change(session, 'secret.generate', generateInput(given));
    if (secret) await showStage('has a new random value')(session, secret);
  },
};

const update: CommandSpec = {
  name: 'secret update',
  summary: 'Change labels or description, not the value',
  examples: [
    'coffer secret update payments/db-password --label tier=backend --label owner=payments',
    'coffer secret update payments/db-password --description "Payments database, main user"',
  ],
  words: [nameWord],
  options: [
    { flags: '--label <key=value>', about: 'a label; replaces all existing labels', many: true },
    { flags: '--no-labels', about: 'remove all labels' },
    { flags: '--description <text>', about: 'a description; never put a value here' },
  ],
  changes: true,
  permissions(_session, given) {
    const input = updateInput(given);
    return [needed('secret.update', input), needed('secret.get', { name: input.name })];
  },
  async run(session, given) {
    const input = updateInput(given);
    const asks = session.isExplaining || session.dryRun === 'client';
    const ifRevision = asks
      ? undefined
      : await revisionNow(session, 'secret.get', { name: input.name });
    const secret = await change(session, 'secret.update', input, {
      ...(ifRevision === undefined ? {} : { ifRevision }),
    });
    if (secret) await showStage('updated')(session, secret);
  },
};

const describe: CommandSpec = {
  name: 'secret describe',
  summary: 'Show everything about a secret except its value: versions, stages, holders',
  examples: [
    'coffer secret describe payments/db-password',
    'coffer secret describe payments/db-password -o yaml',
  ],
  words: [nameWord],
  permissions: (_session, given) => [needed('secret.get', { name: given.word('name') })],
  async run(session, given) {
    const secret = await getSecret(session, given.word('name'));
    const holders = await holdersOf(session, secret.name);
    await showText(session, secret, {
      name: `secret/${secret.name}`,
      text: () => describeSecret(secret, holders, session.io.clock.wallMs()),
    });
  },
};

function describeSecret(secret: SecretItem, holders: string, nowMs: number): string {
  const facts = [
    ['Name:', secret.name],
    ['Id:', secret.id],
    ['Description:', secret.description || '<none>'],
    ['Labels:', labelsText(secret.labels) || '<none>'],
    ['Created:', `${secret.createdAt} (${ageOf(secret.createdAt, nowMs)} ago)`],
    ...(secret.deletedAt === undefined ? [] : [['Deleted:', secret.deletedAt]]),
    ['Revision:', String(secret.revision)],
    ['Held:', holders],
    ['Value:', 'write-only: it can be replaced, but not read'],
  ];
  const rows = secret.versions.map((version) => [
    `  ${versionText(version.number)}`,
    version.stage,
    version.state,
    version.createdBy,
    ageOf(version.createdAt, nowMs),
  ]);
  const heading = ['  VERSION', 'STAGE', 'STATE', 'BY', 'AGE'];
  const shown = (cells: readonly (readonly string[])[]) => cells.map((row) => row.map(visible));
  return `${formatRows(shown(facts))}Versions:\n${formatRows(shown([heading, ...rows]))}`;
}

type StageOperation = 'secret.promote' | 'secret.rollback' | 'secret.restore';

function stageCommand<Name extends StageOperation>(
  operation: Name,
  done: string,
  more: Partial<OperationCommand<Name>> & { readonly examples: readonly string[] },
): CommandSpec {
  return operationCommand({
    operation,
    words: [nameWord],
    show: (session, output) => showStage(done)(session, output as SecretItem),
    ...more,
  });
}

export const commands: readonly CommandSpec[] = [
  listCommand({
    operation: 'secret.list',
    summary: 'List secrets, without their values',
    view: secretView,
    examples: [
      'coffer secret list',
      'coffer secret list --prefix payments/ -l tier=backend',
      `coffer secret list -A -o jsonpath='{range .items[*]}{.name}{"\\n"}{end}'`,
    ],
    options: [
      { flags: '--prefix <prefix>', about: 'only names that begin with this' },
      {
        flags: '-l, --selector <selector>',
        about: 'only with these labels, such as tier=backend,stage!=test',
      },
      { flags: '--deleted', about: 'only deleted secrets' },
    ],
    filter: (given) => ({
      prefix: given.option('prefix'),
      selector: given.option('selector'),
      deleted: given.option('deleted'),
    }),
    watched: 'secret',
  }),
  operationCommand({
    operation: 'secret.get',
    words: [nameWord],
    examples: [
      'coffer secret get payments/db-password',
      'coffer secret get payments/db-password -o json',
    ],
    show: showSecret,
  }),
  describe,
  put,
  generate,
  update,
  stageCommand('secret.promote', 'promoted', {
    examples: [
      'coffer secret promote payments/db-password',
      'coffer secret promote payments/db-password --dry-run',
    ],
  }),
  stageCommand('secret.rollback', 'rolled back', {
    flags: versionFlag,
    examples: [
      'coffer secret rollback payments/db-password',
      'coffer secret rollback payments/db-password --version 3',
    ],
  }),
  operationCommand({
    operation: 'secret.revoke',
    words: [nameWord],
    flags: versionFlag,
    examples: [
      'coffer secret revoke payments/db-password --version 3',
      'coffer secret revoke payments/db-password    # every version',
    ],
    show: showStage('revoked'),
    loses: async (session, input) => {
      const version =
        input.version === undefined ? 'Every stored version' : `Version ${input.version}`;
      return await lossOf(session, input.name, {
        what: `${version} of ${input.name} will be withdrawn from every container and never delivered again.`,
        version: input.version,
      });
    },
  }),
  operationCommand({
    operation: 'secret.destroy',
    words: [nameWord],
    flags: versionFlag,
    examples: [
      'coffer secret destroy payments/db-password --version 2',
      'coffer secret destroy payments/db-password --version 2 --dry-run',
    ],
    show: showStage('destroyed'),
    loses: async (session, input) => {
      return await lossOf(session, input.name, {
        what: `Version ${input.version} of ${input.name} will be destroyed: its key and ciphertext. This cannot be undone.`,
        version: input.version,
      });
    },
  }),
  operationCommand({
    operation: 'secret.delete',
    aliases: ['rm'],
    words: [nameWord],
    examples: [
      'coffer secret delete payments/db-password',
      'coffer secret delete payments/db-password --dry-run',
    ],
    show: showStage('deleted'),
    basedOn: 'secret.get',
    loses: async (session, input) => {
      return await lossOf(session, input.name, {
        what: `${input.name} will be withdrawn from every container and hidden. \`coffer secret restore\` brings it back.`,
      });
    },
  }),
  stageCommand('secret.restore', 'restored', {
    words: [{ ...nameWord, kind: 'deleted-secret' }],
    examples: [
      'coffer secret restore payments/db-password',
      'coffer secret list --deleted    # what can be restored',
    ],
  }),
];
