/** Commands on the gateway itself: status, seal, root key, rollback, backup, version. */
import { readFileSync } from 'node:fs';
import { Fault } from '../base/fault.ts';
import { SecretValue } from '../model/secret-value.ts';
import { operationCommand } from './operation-command.ts';
import type { CommandSpec } from './command-spec.ts';
import { count } from '../base/count.ts';
import { showDone, showText } from './output.ts';
import { needed } from './permissions.ts';
import { Progress } from './progress.ts';
import { writeNewFile } from './private-file.ts';
import type { Session } from './session.ts';
import { formatRows } from './table.ts';
import { readPhrase } from './value-input.ts';
import { visible } from '../base/visible-text.ts';
import type { OperationOutput } from '../protocol/operations.ts';

type Status = OperationOutput<'system.status'>;

const status: CommandSpec = {
  name: 'status',
  summary: 'Show the state of the gateway: seal, storage, audit, nodes, weakenings',
  details: 'Exits with 8 if the gateway is sealed.',
  examples: ['coffer status', "coffer status -o jsonpath='{.audit.size}'"],
  permissions: () => [needed('system.status'), needed('system.seal-status')],
  async run(session) {
    if (!session.isExplaining) {
      const { output: seal } = await session.call('system.seal-status', {});
      if (seal.sealed) {
        await showText(session, seal, {
          name: 'sealed',
          text: () => `sealed (${visible(seal.kind)})${progressOf(seal)}\n`,
        });
        session.note('Unseal it with `coffer unseal`.');
        return 8;
      }
    }
    const { output } = await session.call('system.status', {});
    await showText(session, output, { name: output.state, text: () => statusText(output) });
    if (output.state === 'rollback-suspected') {
      session.warn(new Fault('audit.rollback-suspected').spec.hint);
    }
    return output.state === 'ready' ? 0 : 7;
  },
};

/** Of shares only: everything else opens at once. */
function progressOf(seal: { readonly sharesGiven: number; readonly sharesNeeded: number }): string {
  if (seal.sharesNeeded === 0) return '';
  return `: ${seal.sharesGiven} of ${seal.sharesNeeded} shares given`;
}

function statusText(status: Status): string {
  const { audit, storage, rewrap } = status;
  const rows = [
    ['State:', status.state],
    ['Version:', status.version],
    ['Installation:', status.installation],
    ['Seal:', status.seal],
    ['Storage:', `${storage.kind}, revision ${storage.revision}`],
    [
      'Audit:',
      `${audit.size} entries; ${audit.witnesses} witness${audit.witnesses === 1 ? '' : 'es'}`,
    ],
    ['Audit root:', audit.root],
    ['Secrets:', String(status.secrets)],
    ['Policy:', `${count(status.groups, 'group')}, ${count(status.grants, 'grant')}`],
    ['Nodes:', `${status.nodesConnected} of ${status.nodes} connected`],
    ['Containers:', String(status.workloads)],
    ['Lease:', `${status.leaseSeconds} s`],
    [
      'Root key:',
      rewrap.remaining === 0
        ? rewrap.keyId
        : `${rewrap.keyId}, ${rewrap.remaining} records to rewrap`,
    ],
    ['Weakenings:', weakeningsText(status.weakenings)],
    ...status.nodeWeakenings.map(({ node, weakenings }, index) => [
      index === 0 ? 'of nodes:' : '',
      `${node}: ${weakeningsText(weakenings)}`,
    ]),
  ];
  return formatRows(rows.map((row) => row.map(visible)));
}

function weakeningsText(weakenings: readonly string[]): string {
  return weakenings.length === 0 ? 'none' : weakenings.join(', ');
}

const unseal: CommandSpec = {
  name: 'unseal',
  summary: 'Supply the passphrase or one share: typed without echo, or piped in',
  details: 'With shares, each keeper runs this once, from anywhere.',
  examples: ['coffer unseal', 'coffer unseal < share.txt'],
  permissions: () => [needed('system.unseal'), needed('system.seal-status')],
  async run(session) {
    await session.explain('system.unseal', {});
    const { output: before } = await session.call('system.seal-status', {});
    if (!before.sealed) {
      session.note('The gateway is not sealed.');
      return 0;
    }
    const what = before.kind === 'shares' ? 'Share' : 'Passphrase';
    // The key file opens it without anybody: there is nothing to type.
    const isOpenedAlone = before.kind === 'keyfile';
    using material = isOpenedAlone
      ? SecretValue.copy(Buffer.alloc(0))
      : await readPhrase(session, `${what} (hidden)`);
    const { output } = await session.call('system.unseal', {}, { value: material });
    await showText(session, output, {
      name: output.sealed ? 'sealed' : 'unsealed',
      text: () => (output.sealed ? `sealed${progressOf(output)}\n` : 'unsealed\n'),
    });
    return 0;
  },
};

const backupCreate: CommandSpec = {
  name: 'backup create',
  summary: 'Download a consistent copy of the store, encrypted as it is on disk',
  details:
    'An existing file is never overwritten. Check the backup with `coffer backup verify FILE`.',
  examples: [
    'coffer backup create backup-2026-03-01.coffer',
    'coffer backup create "backup-$(date +%F).coffer" --quiet',
  ],
  words: [{ name: 'file', about: 'a new file', kind: 'file' }],
  permissions: () => [needed('system.backup')],
  async run(session, given) {
    await session.explain('system.backup', {});
    const path = given.word('file');
    const bytes = await download(session, path);
    await showText(
      session,
      { path, bytes },
      { name: path, text: () => `${visible(path)}: ${bytes} bytes\n` },
    );
  },
};

async function download(session: Session, path: string): Promise<number> {
  return await writeNewFile(path, async (append) => {
    const client = await session.client();
    const { pieces } = await client.download('system.backup', {}, { signal: session.signal });
    let bytes = 0;
    using progress = new Progress(session);
    for await (const piece of pieces) {
      await append(piece);
      bytes += piece.length;
      progress.say(`${(bytes / 1_048_576).toFixed(1)} MiB received`);
    }
    return bytes;
  });
}

const version: CommandSpec = {
  name: 'version',
  summary: 'Print the version of this program and, if it answers, of the gateway',
  examples: ['coffer version', 'coffer version -o json'],
  // Without system.status it says what it knows.
  permissions: () => [],
  async run(session) {
    const client = clientVersion();
    const { server } = await session.settings();
    const format = await session.format();
    const isData = ['json', 'yaml', 'jsonpath'].includes(format.kind);
    const asks = server.value !== undefined && (isData || session.isExplaining);
    const gateway = asks ? await gatewayVersion(session) : undefined;
    await showText(
      session,
      { client, ...(gateway === undefined ? {} : { gateway }) },
      {
        name: client,
        text: () => `coffer ${client}\n`,
      },
    );
  },
};

async function gatewayVersion(session: Session): Promise<string | undefined> {
  try {
    return (await session.call('system.status', {})).output.version;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    session.note(`The version of the gateway is not known (${error.code}).`);
    return undefined;
  }
}

export function clientVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version?: string }).version ?? 'unknown';
}

export const commands: readonly CommandSpec[] = [
  status,
  version,
  unseal,
  operationCommand({
    operation: 'system.seal',
    name: 'seal',
    examples: ['coffer seal', 'coffer seal --yes'],
    loses: () => ({
      name: 'seal',
      what: [
        'Nothing is written or delivered until the gateway is unsealed. Containers keep their secrets until their leases end.',
      ],
    }),
    show: async (session, output) => await showDone(session, output, { subject: 'sealed' }),
  }),
  operationCommand({
    operation: 'system.rotate-root-key',
    name: 'rotate-root-key',
    examples: ['coffer rotate-root-key', 'coffer rotate-root-key --dry-run'],
    show: async (session, output) =>
      await showDone(session, output, {
        subject: `root-key/${output.keyId}`,
        done: `made; ${count(output.remaining, 'record')} to rewrap`,
      }),
  }),
  operationCommand({
    operation: 'system.accept-rollback',
    name: 'accept-rollback',
    details: 'The reason is recorded in the audit log permanently.',
    examples: [
      'coffer accept-rollback --reason "restored the backup of 1 March"',
      'coffer accept-rollback --reason "disk of gw-1 failed" --dry-run',
    ],
    loses: () => ({
      name: 'accept-rollback',
      what: [
        'This store is older than a checkpoint that a node or person remembers. Go on only if you restored a backup yourself.',
      ],
    }),
    show: async (session, output) => await showDone(session, output, { subject: output.state }),
  }),
  backupCreate,
];
