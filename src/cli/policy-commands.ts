/** `coffer group …`, `coffer grant …`, `coffer explain`, `coffer who-can`. */
import { isFault } from '../base/fault.ts';
import * as schema from '../base/schema.ts';
import { modeSchema, signals } from '../model/grant.ts';
import type { OperationInput } from '../protocol/operations.ts';
import { type CommandSpec, type OptionSpec, usage, type WordSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import { listCommand } from './list-command.ts';
import { change, checkInput, operationCommand, pairsOf } from './operation-command.ts';
import { documentsHelp, showDone, showOne, showText } from './output.ts';
import { needed, type Permission } from './permissions.ts';
import { noteWarnings } from './policy-impact.ts';
import { putPolicy } from './policy-put.ts';
import type { Session } from './session.ts';
import { formatRows } from './table.ts';
import { type GrantItem, grantView, type GroupItem, groupView } from './views.ts';
import { visible } from '../base/visible-text.ts';
import { count } from '../base/count.ts';

const groupWord: WordSpec = { name: 'name', about: 'of the group', kind: 'group' };
const grantWord: WordSpec = { name: 'group', about: 'whose grant it is', kind: 'grant' };
const secretWord: WordSpec = { name: 'secret', about: 'such as payments/db', kind: 'secret' };

const groupPut: CommandSpec = {
  name: 'group put',
  summary: 'Create or replace a group, by the conditions its containers must meet',
  details:
    'A container must meet all conditions. If the group exists, the difference is shown; if a running ' +
    'container would lose a secret, you are asked to confirm. For several groups use `coffer apply`.',
  examples: [
    "coffer group put payments-api --image 'registry.example/payments/api@sha256:…'",
    "coffer group put payments-api --image 'registry.example/payments/*' --docker-label tier=backend",
  ],
  words: [groupWord],
  options: [
    {
      flags: '--image <pattern>',
      about: 'repository@sha256:…, or a pattern for the image reference',
    },
    { flags: '--node <name>', about: 'only on this node', kind: 'node' },
    { flags: '--docker-name <pattern>', about: 'name of the container' },
    { flags: '--docker-label <key=value>', about: 'label of the container', many: true },
    { flags: '--kubernetes-namespace <name>', about: 'namespace of the pod' },
    { flags: '--kubernetes-service-account <name>', about: 'service account of the pod' },
    { flags: '--kubernetes-pod <pattern>', about: 'name of the pod' },
    { flags: '--kubernetes-container <name>', about: 'name of the container in the pod' },
    { flags: '--kubernetes-label <key=value>', about: 'label of the pod', many: true },
    { flags: '--process-name <name>', about: 'name of a plain process' },
    { flags: '--process-label <key=value>', about: 'label of a plain process', many: true },
  ],
  changes: true,
  destroys: true,
  permissions(_session, given) {
    const input = groupInput(given);
    return [needed('group.put', input), needed('group.get', { name: input.name })];
  },
  async run(session, given) {
    const input = groupInput(given);
    await putPolicy(session, given, {
      subject: `group/${input.name}`,
      name: input.name,
      read: () => session.call('group.get', { name: input.name }),
      put: (options) => change(session, 'group.put', input, options),
      documentOf: groupView.documentOf,
      show: (group) => showOne(session, groupView, group),
    });
  },
};

function groupInput(given: Given): OperationInput<'group.put'> {
  return checkInput('group.put', { name: given.word('name'), match: matchOf(given) });
}

function matchOf(given: Given): Readonly<Record<string, unknown>> {
  const match = compact({
    image: given.text('image'),
    node: given.text('node'),
    docker: compactOrNone({
      name: given.text('dockerName'),
      labels: pairsOf('--docker-label', given.list('dockerLabel')),
    }),
    kubernetes: compactOrNone({
      namespace: given.text('kubernetesNamespace'),
      serviceAccount: given.text('kubernetesServiceAccount'),
      pod: given.text('kubernetesPod'),
      container: given.text('kubernetesContainer'),
      labels: pairsOf('--kubernetes-label', given.list('kubernetesLabel')),
    }),
    process: compactOrNone({
      name: given.text('processName'),
      labels: pairsOf('--process-label', given.list('processLabel')),
    }),
  });
  if (Object.keys(match).length === 0) throw usage('a group needs at least one condition');
  return match;
}

function compact(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function compactOrNone(
  members: Readonly<Record<string, unknown>>,
): Record<string, unknown> | undefined {
  const given = compact(members);
  return Object.keys(given).length === 0 ? undefined : given;
}

async function showGroup(session: Session, group: GroupItem): Promise<void> {
  noteWarnings(session, `group/${group.name}`, group.warnings);
  await showOne(session, groupView, group);
}

async function showGrant(session: Session, grant: GrantItem): Promise<void> {
  noteWarnings(session, `grant/${grant.group}`, grant.warnings);
  await showOne(session, grantView, grant);
}

const grantPut: CommandSpec = {
  name: 'grant put',
  summary: 'Create or replace what a group receives',
  details:
    'Give each secret as NAME, NAME:FILE or NAME:FILE:MODE. Running containers receive it at once. If the ' +
    'grant exists, the difference is shown; if a running container would lose a secret, you are asked.',
  examples: [
    'coffer grant put payments-api --secret payments/db-password --signal SIGHUP',
    'coffer grant put payments-api --secret payments/tls-key:tls.key:0400 --target /run/coffer',
  ],
  words: [grantWord],
  options: [
    {
      flags: '--secret <name[:file[:mode]]>',
      about: 'a secret that the group receives',
      kind: 'secret',
      many: true,
    },
    { flags: '--target <directory>', about: 'directory in the container; /run/secrets by default' },
    {
      flags: '--signal <name>',
      about: 'signal for the main process when a file changes',
      suggests: signals,
    },
    {
      flags: '--on-lease-loss <what>',
      about: 'what happens if the node cannot reach the gateway for the length of a lease',
      choices: ['wipe', 'keep'],
    },
    {
      flags: '--lease-seconds <n>',
      about: 'how long a node may keep the files without the gateway',
      whole: { min: 5, max: 86_400 },
    },
  ],
  changes: true,
  destroys: true,
  permissions(_session, given) {
    const input = grantInput(given);
    return [
      needed('grant.put', input),
      needed('grant.get', { group: input.group }),
      // Whoever gives a secret away must be allowed to, for that secret, too.
      ...input.secrets.map(({ secret }): Permission => {
        return { action: 'grant.put', resource: `secrets/${secret}` };
      }),
    ];
  },
  async run(session, given) {
    const input = grantInput(given);
    await putPolicy(session, given, {
      subject: `grant/${input.group}`,
      name: input.group,
      read: () => session.call('grant.get', { group: input.group }),
      put: (options) => change(session, 'grant.put', input, options),
      documentOf: grantView.documentOf,
      show: (grant) => showOne(session, grantView, grant),
    });
  },
};

function grantInput(given: Given): OperationInput<'grant.put'> {
  const signal = given.text('signal');
  return checkInput('grant.put', {
    group: given.word('group'),
    secrets: given.list('secret').map(grantedSecretOf),
    target: given.option('target'),
    onLeaseLoss: given.option('onLeaseLoss'),
    leaseSeconds: given.option('leaseSeconds'),
    onChange: signal === undefined ? undefined : { signal },
  });
}

function grantedSecretOf(text: string): Readonly<Record<string, unknown>> {
  const [secret, file, mode, ...rest] = text.split(':');
  if (rest.length > 0) throw usage('--secret must be NAME, NAME:FILE or NAME:FILE:MODE');
  if (mode !== undefined) schema.parse(modeSchema, mode, '--secret mode');
  return compact({ secret, file: file || undefined, mode });
}

const explain = operationCommand({
  operation: 'access.explain',
  name: 'explain',
  words: [
    { name: 'workload', about: 'name or id of a running container', kind: 'workload' },
    secretWord,
  ],
  examples: [
    'coffer explain payments-api-1 payments/db-password',
    'coffer explain payments-api-1 payments/db-password -o json',
  ],
  alsoNeeds: ({ secret, workload }) => [needed('holding.list', { secret, workload })],
  show: async (session, explanation, given) => {
    const name = `${given.word('workload')} ${given.word('secret')}`;
    await showText(session, explanation, {
      name: explanation.allowed ? 'allowed' : 'denied',
      text: () => {
        const verb = explanation.allowed ? 'receives' : 'does not receive';
        const rows = explanation.steps.map(({ verdict, rule, because }) => [
          `  ${verdict}`,
          rule,
          because,
        ]);
        const [workload = '', secret = ''] = name.split(' ');
        return `${visible(workload)} ${verb} ${visible(secret)}\n${formatRows(rows.map((row) => row.map(visible)))}`;
      },
    });
    if (session.isForPeople) await noteHoldings(session, given);
  },
});

/** What is there is another question than what should be: a mount may have failed. */
async function noteHoldings(session: Session, given: Given): Promise<void> {
  const { output } = await session.call(
    'holding.list',
    checkInput('holding.list', { secret: given.word('secret'), workload: given.word('workload') }),
  );
  if (output.items.length === 0) session.note('It holds no version now.');
  for (const { file, version, state, fault } of output.items) {
    const holds = version === 0 ? 'is not there' : `holds version ${version}`;
    const because = fault === undefined ? '' : `: ${fault}`;
    session.note(visible(`The file ${file} ${holds} (${state}${because}).`));
  }
}

const whoCan = operationCommand({
  operation: 'access.who-can',
  name: 'who-can',
  words: [secretWord],
  examples: ['coffer who-can payments/db-password', 'coffer who-can payments/db-password -o json'],
  show: async (session, answer, given) => {
    const { groups, workloads, warnings } = answer;
    noteWarnings(session, 'who-can', warnings);
    await showText(session, answer, {
      name: given.word('secret'),
      text: () => {
        const rows = workloads.map(({ name, node, group, file }) => [name, node, group, file]);
        const table = [['CONTAINER', 'NODE', 'GROUP', 'FILE'], ...rows];
        const heading = `${count(groups.length, 'group')}: ${groups.join(', ') || 'none'}\n`;
        return rows.length === 0
          ? `${visible(heading.trim())}\nNo running container receives it.\n`
          : `${visible(heading.trim())}\n${formatRows(table.map((row) => row.map(visible)))}`;
      },
    });
  },
});

/** @returns a sentence; also when it cannot be known. */
async function membersOf(session: Session, name: GrantItem['group']): Promise<string> {
  try {
    const { members } = (await session.call('group.get', { name })).output;
    return members === 0
      ? 'No running container belongs to the group now.'
      : `Running containers that belong to the group now: ${members}.`;
  } catch (error) {
    if (!isFault(error, 'policy.denied')) throw error;
    return `You are not permitted to see how many containers belong to it (${error.code}).`;
  }
}

const prefixOption: OptionSpec = {
  flags: '--prefix <prefix>',
  about: 'only names that begin with this',
};

export const commands: readonly CommandSpec[] = [
  listCommand({
    operation: 'group.list',
    summary: 'List groups',
    view: groupView,
    examples: ['coffer group list', 'coffer group list --all -o yaml > groups.yaml'],
    options: [prefixOption],
    filter: (given) => ({ prefix: given.option('prefix') }),
    watched: 'group',
  }),
  operationCommand({
    operation: 'group.get',
    details: documentsHelp,
    words: [groupWord],
    examples: ['coffer group get payments-api', 'coffer group get payments-api -o yaml'],
    show: showGroup,
  }),
  groupPut,
  operationCommand({
    operation: 'group.delete',
    aliases: ['rm'],
    words: [groupWord],
    examples: ['coffer group delete payments-api', 'coffer group delete payments-api --dry-run'],
    basedOn: 'group.get',
    loses: async (session, { name }) => {
      const { output, revision } = await session.call('group.get', { name });
      // What would be refused is not worth asking for.
      const ifRevision = revision ?? output.revision;
      await session.call('group.delete', { name }, { ifRevision, dryRun: true });
      const matching = `containers that match it now: ${output.members}`;
      const what = [`The group ${name} will be deleted (${matching}).`];
      return { name, what };
    },
    show: async (session, group) =>
      await showDone(session, group, { subject: `group/${group.name}`, done: 'deleted' }),
  }),
  listCommand({
    operation: 'grant.list',
    summary: 'List grants',
    view: grantView,
    examples: [
      'coffer grant list --secret payments/db-password',
      'coffer grant list --all -o yaml > grants.yaml',
    ],
    options: [
      prefixOption,
      { flags: '--secret <name>', about: 'only grants of this secret', kind: 'secret' },
    ],
    named: (given) => ({ secret: given.text('secret') }),
    filter: (given) => ({ prefix: given.option('prefix'), secret: given.option('secret') }),
    watched: 'grant',
  }),
  operationCommand({
    operation: 'grant.get',
    details: documentsHelp,
    words: [grantWord],
    examples: ['coffer grant get payments-api', 'coffer grant get payments-api -o yaml'],
    show: showGrant,
  }),
  grantPut,
  operationCommand({
    operation: 'grant.delete',
    aliases: ['rm'],
    words: [grantWord],
    examples: ['coffer grant delete payments-api', 'coffer grant delete payments-api --dry-run'],
    basedOn: 'grant.get',
    loses: async (session, { group }) => {
      const { output } = await session.call('grant.get', { group });
      const secrets = output.secrets.map(({ secret }) => secret);
      return {
        name: group,
        what: [
          `Every container of the group ${group} will lose ${count(secrets.length, 'secret')}:`,
          ...secrets.map((secret) => `  ${secret}`),
          await membersOf(session, group),
        ],
      };
    },
    show: async (session, grant) =>
      await showDone(session, grant, { subject: `grant/${grant.group}`, done: 'deleted' }),
  }),
  explain,
  whoCan,
];
