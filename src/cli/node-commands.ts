/** `coffer node …`, `coffer workload …`, `coffer where`. */
import { type CommandSpec, type OptionSpec, usage, type WordSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import { count } from './holders.ts';
import { confirmByName } from './interaction.ts';
import { listCommand, listOptions, readList, sorted } from './list-command.ts';
import { checkInput, operationCommand } from './operation-command.ts';
import { showList, showRow, showText } from './output.ts';
import type { Session } from './session.ts';
import { type HoldingItem, holdingView, type NodeItem, nodeView, workloadView } from './views.ts';
import { visible } from '../base/visible-text.ts';

const nodeWord: WordSpec = { name: 'name', about: 'of the node', kind: 'node' };

async function findNode(session: Session, name: string): Promise<NodeItem | undefined> {
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

const token = operationCommand({
  operation: 'node.token',
  words: [nodeWord],
  details: 'Shown once: one use, one node, ten minutes.',
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
  examples: ['coffer node revoke node-1'],
  confirm: async (session, { name }, given) => {
    const node = await findNode(session, name);
    const held = node
      ? `${count(node.workloads, 'container')} there lose what they hold, at the latest when the lease ends`
      : 'It is not listed';
    await confirmByName(session, {
      name,
      what: [
        `The node ${name} will be revoked: its stream closes at once and it never comes back.`,
        `${held}.`,
      ],
      yes: given.flag('yes'),
    });
  },
  show: async (session, node) =>
    await showText(session, node, {
      name: `node/${node.name}`,
      text: () => `node/${visible(node.name)} revoked\n`,
    }),
});

const whereOptions: readonly OptionSpec[] = [
  { flags: '--node <name>', about: 'only on this node' },
  { flags: '--workload <name>', about: 'only in this container' },
  {
    flags: '--state <state>',
    about: 'only in this state',
    choices: ['current', 'updating', 'withdrawing', 'failed', 'unknown'],
  },
  ...listOptions,
  { flags: '-w, --watch', about: 'go on with what changes' },
  {
    flags: '--interval <seconds>',
    about: 'how often to look while watching; 1 when left out',
    whole: { min: 1, max: 3600 },
  },
];

const where: CommandSpec = {
  name: 'where',
  summary: 'List which containers hold which version of which secret, and how fresh',
  examples: [
    'coffer where payments/db-password',
    'coffer where --state failed',
    'coffer where payments/db-password --watch',
  ],
  words: [{ name: 'secret', about: 'all secrets when left out', kind: 'secret', optional: true }],
  options: whereOptions,
  async run(session, given) {
    if (given.flag('watch') && given.text('sortBy') !== undefined) {
      throw usage('--watch shows changes as they come: leave --sort-by out');
    }
    const read = async (): Promise<readonly HoldingItem[]> =>
      (await readList(session, 'holding.list', holdingFilter(given), given)).items;
    const items = await read();
    await showList(session, holdingView, sorted(holdingView, { items }, given.text('sortBy')));
    if (given.flag('watch')) await watchHoldings(session, given, { items, read });
  },
};

function holdingFilter(given: Given): Readonly<Record<string, unknown>> {
  return {
    secret: given.maybeWord('secret'),
    node: given.option('node'),
    workload: given.option('workload'),
    state: given.option('state'),
  };
}

/** Holdings have no stream of their own: looks again, and shows the rows that differ. */
async function watchHoldings(
  session: Session,
  given: Given,
  start: {
    readonly items: readonly HoldingItem[];
    readonly read: () => Promise<readonly HoldingItem[]>;
  },
): Promise<void> {
  const keyOf = (item: HoldingItem): string => `${item.workloadId} ${item.secret} ${item.file}`;
  const mapOf = (items: readonly HoldingItem[]): Map<string, HoldingItem> =>
    new Map(items.map((item) => [keyOf(item), item]));
  const intervalMs = (given.number('interval') ?? 1) * 1000;
  let known = mapOf(start.items);
  session.isFollowing = true;
  for (;;) {
    await session.io.clock.sleep(intervalMs, session.signal);
    const now = mapOf(await start.read());
    for (const [key, item] of now) {
      if (JSON.stringify(known.get(key)) !== JSON.stringify(item))
        await showRow(session, holdingView, item);
    }
    for (const [key, item] of known) {
      if (!now.has(key)) session.note(visible(`${item.workload} no longer holds ${item.secret}`));
    }
    known = now;
  }
}

export const commands: readonly CommandSpec[] = [
  listCommand({
    operation: 'node.list',
    summary: 'List nodes',
    view: nodeView,
    examples: ['coffer node list', 'coffer node list -o wide'],
    watched: { kind: 'node', get: findNode },
  }),
  token,
  revoke,
  listCommand({
    operation: 'workload.list',
    summary: 'List running containers as attested',
    view: workloadView,
    examples: ['coffer workload list', 'coffer workload list --node node-1 -o wide'],
    options: [{ flags: '--node <name>', about: 'only on this node' }],
    filter: (given) => ({ node: given.option('node') }),
  }),
  where,
];
