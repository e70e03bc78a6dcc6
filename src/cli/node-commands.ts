/** `coffer node …`, `coffer workload …`. */
import { Fault } from '../base/fault.ts';
import { type CommandSpec, usage, type WordSpec } from './command-spec.ts';
import { count } from '../base/count.ts';
import { listCommand } from './list-command.ts';
import { checkInput, operationCommand } from './operation-command.ts';
import { showDone, showOne, showText } from './output.ts';
import { needed } from './permissions.ts';
import type { Session } from './session.ts';
import { type NodeItem, nodeView, type WorkloadItem, workloadView } from './views.ts';
import { visible } from '../base/visible-text.ts';

const nodeWord: WordSpec = { name: 'name', about: 'of the node', kind: 'node' };

export async function findNode(session: Session, name: string): Promise<NodeItem | undefined> {
  let cursor: string | undefined;
  do {
    const { output } = await session.call(
      'node.list',
      checkInput('node.list', { limit: 500, cursor }),
    );
    const found = output.items.find((node) => node.name === name);
    if (found) return found;
    cursor = output.nextCursor;
  } while (cursor !== undefined);
  return undefined;
}

const getNode: CommandSpec = {
  name: 'node get',
  summary: 'Show a node',
  examples: ['coffer node get node-1', 'coffer node get node-1 -o wide'],
  words: [nodeWord],
  permissions: () => [needed('node.list')],
  async run(session, given) {
    const name = given.word('name');
    const node = await findNode(session, name);
    if (!node) throw new Fault('resource.unknown', { resource: `nodes/${name}` });
    await showOne(session, nodeView, node);
  },
};

/** All workloads with a name, which need not be unique, or the one with an id. */
export async function findWorkloads(
  session: Session,
  nameOrId: string,
): Promise<readonly WorkloadItem[]> {
  const filter = nameOrId.startsWith('wld_') ? {} : { prefix: nameOrId.slice(0, 256) };
  const found: WorkloadItem[] = [];
  let cursor: string | undefined;
  do {
    const input = checkInput('workload.list', { ...filter, limit: 500, cursor });
    const { output } = await session.call('workload.list', input);
    found.push(...output.items.filter(({ name, id }) => name === nameOrId || id === nameOrId));
    cursor = output.nextCursor;
  } while (cursor !== undefined);
  return found;
}

const getWorkload: CommandSpec = {
  name: 'workload get',
  summary: 'Show a running container, as attested',
  examples: ['coffer workload get payments-api-1', 'coffer workload get payments-api-1 -o yaml'],
  words: [{ name: 'workload', about: 'name or id of a running container', kind: 'workload' }],
  permissions: () => [needed('workload.list')],
  async run(session, given) {
    const named = given.word('workload');
    const [workload, ...others] = await findWorkloads(session, named);
    if (!workload) throw new Fault('resource.unknown', { resource: `workloads/${named}` });
    if (others.length > 0) {
      const ids = [workload, ...others].map(({ id, node }) => `${id} on ${node}`);
      throw usage(
        `several containers have this name; give an id instead: ${visible(ids.join(', '))}`,
      );
    }
    await showOne(session, workloadView, workload);
  },
};

const token = operationCommand({
  operation: 'node.token',
  words: [nodeWord],
  details: 'The token is shown once. It can be used once, for this node, within ten minutes.',
  examples: [
    'coffer node token node-1',
    "coffer node token node-1 -o jsonpath='{.token}' > join-token",
  ],
  show: async (session, output) => {
    await showText(session, output, {
      name: output.name,
      text: () => `${visible(output.token)}\n`,
    });
    session.note(`On that node, before ${visible(output.endsAt)}:`);
    session.note('  coffer enforcer --join-token-file FILE');
  },
});

const revoke = operationCommand({
  operation: 'node.revoke',
  words: [nodeWord],
  examples: ['coffer node revoke node-1', 'coffer node revoke node-1 --yes'],
  alsoNeeds: () => [needed('node.list')],
  loses: async (session, { name }) => {
    const node = await findNode(session, name);
    const held = node
      ? `Secrets in ${count(node.workloads, 'container')} there will be wiped, at the latest when leases end`
      : 'It is not listed';
    return {
      name,
      what: [
        `The node ${name} will be revoked: its connection closes at once, and it cannot come back.`,
        `${held}.`,
      ],
    };
  },
  show: async (session, node) =>
    await showDone(session, node, { subject: `node/${node.name}`, done: 'revoked' }),
});

export const commands: readonly CommandSpec[] = [
  listCommand({
    operation: 'node.list',
    summary: 'List nodes',
    view: nodeView,
    examples: ['coffer node list', 'coffer node list --state disconnected'],
    options: [
      {
        flags: '--state <state>',
        about: 'only in this state',
        choices: ['joining', 'connected', 'disconnected', 'revoked'],
      },
    ],
    filter: (given) => ({ state: given.option('state') }),
    watched: 'node',
  }),
  getNode,
  token,
  revoke,
  listCommand({
    operation: 'workload.list',
    summary: 'List running containers as attested',
    view: workloadView,
    examples: ['coffer workload list', 'coffer workload list --node node-1 -o wide'],
    options: [
      { flags: '--node <name>', about: 'only on this node', kind: 'node' },
      { flags: '--group <name>', about: 'only containers in this group', kind: 'group' },
      { flags: '--prefix <prefix>', about: 'only names that begin with this' },
      {
        flags: '-l, --selector <selector>',
        about: 'only with these labels, such as tier=backend,stage!=test',
      },
    ],
    named: (given) => ({ node: given.text('node'), group: given.text('group') }),
    filter: (given) => ({
      node: given.option('node'),
      group: given.option('group'),
      prefix: given.option('prefix'),
      selector: given.option('selector'),
    }),
  }),
  getWorkload,
];
