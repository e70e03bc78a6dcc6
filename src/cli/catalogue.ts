/**
 * Every first word there is, with its group in the help and the file that holds its commands. Only
 * that file is loaded: help and completion of first words need nothing else.
 */
import type { CommandModule } from './command-spec.ts';

export interface CatalogueEntry {
  readonly noun: string;
  readonly group: string;
  readonly summary: string;
  /** Undefined for what another program does (`main.ts`). */
  readonly load: (() => Promise<CommandModule>) | undefined;
  /** Of a noun with verbs. */
  readonly examples?: readonly string[];
  /** Verbs of this noun that another program does, with what each is. */
  readonly elsewhere?: readonly (readonly [verb: string, summary: string])[];
}

const policy = (): Promise<CommandModule> => import('./policy-commands.ts');
const documents = (): Promise<CommandModule> => import('./document-commands.ts');
const system = (): Promise<CommandModule> => import('./system-commands.ts');
const nodes = (): Promise<CommandModule> => import('./node-commands.ts');

const nounExamples: Readonly<Record<string, readonly string[]>> = {
  secret: ['coffer secret put payments/db-password', 'coffer secret list --prefix payments/'],
  group: [
    "coffer group put payments-api --image 'registry.example/payments/api@sha256:…'",
    'coffer group list',
  ],
  grant: [
    'coffer grant put payments-api --secret payments/db-password --signal SIGHUP',
    'coffer grant get payments-api',
  ],
  node: ['coffer node token node-1', 'coffer node list'],
  workload: ['coffer workload list --node node-1', 'coffer workload list --group payments-api'],
  audit: ['coffer audit list --last 20', 'coffer audit verify'],
  token: [
    "coffer token create ci-payments --role writer --path 'secrets/payments/**' --hours 2160",
    'coffer token list',
  ],
  backup: [
    'coffer backup create backup-2026-03-01.coffer',
    'coffer backup verify backup-2026-03-01.coffer',
  ],
  context: [
    'coffer context add prod --server https://gateway.example:8443 --pin sha256:…',
    'coffer context use prod',
  ],
  config: ['coffer config explain', 'coffer config explain -o json'],
  completion: ['source <(coffer completion bash)', 'coffer completion fish | source'],
};

function entry(
  group: string,
  noun: string,
  summary: string,
  load?: () => Promise<CommandModule>,
): CatalogueEntry {
  const examples = nounExamples[noun];
  return { group, noun, summary, load, ...(examples === undefined ? {} : { examples }) };
}

export const catalogue: readonly CatalogueEntry[] = [
  entry(
    'Secrets',
    'secret',
    'Set, generate, stage, withdraw and list secrets; no command shows a value',
    () => import('./secret-commands.ts'),
  ),
  entry(
    'Secrets',
    'where',
    'Show which containers hold which version of a secret',
    () => import('./where-command.ts'),
  ),
  entry('Policy', 'group', 'Groups of containers, by what the containers are', policy),
  entry('Policy', 'grant', 'Which secrets a group receives, and as which files', policy),
  entry('Policy', 'apply', 'Apply groups and grants from YAML files', documents),
  entry('Policy', 'diff', 'Show what applying files would change', documents),
  entry('Policy', 'explain', 'Explain why a container receives a secret, or why not', policy),
  entry('Policy', 'who-can', 'Show which groups and containers receive a secret', policy),
  entry('Nodes', 'node', 'List and show nodes, create a join token, revoke a node', nodes),
  entry('Nodes', 'workload', 'List and show running containers, as attested', nodes),
  entry(
    'Audit',
    'audit',
    'List, follow, verify and export the audit log',
    () => import('./audit-commands.ts'),
  ),
  entry(
    'Gateway',
    'token',
    'Create, list and revoke tokens for people and programs',
    () => import('./token-commands.ts'),
  ),
  entry(
    'Gateway',
    'whoami',
    'Show whose token is in use, and what it permits',
    () => import('./token-commands.ts'),
  ),
  entry('Gateway', 'status', 'Show the state of the gateway', system),
  entry(
    'Gateway',
    'doctor',
    'Check each step from here to the gateway, and this node',
    () => import('./doctor-command.ts'),
  ),
  entry(
    'Gateway',
    'seal',
    'Forget the root key: nothing is delivered until it is unsealed',
    system,
  ),
  entry('Gateway', 'unseal', 'Supply the passphrase or one share', system),
  entry(
    'Gateway',
    'rotate-root-key',
    'Create a new root key and rewrap all keys under it, while running',
    system,
  ),
  entry(
    'Gateway',
    'accept-rollback',
    'Accept that the store was rolled back to an earlier state',
    system,
  ),
  {
    ...entry('Gateway', 'backup', 'Create, verify and restore backups', system),
    elsewhere: [
      ['verify <file>', 'Check a backup, without a gateway'],
      ['restore <file>', 'Restore a backup into an empty data directory'],
    ],
  },
  entry('Programs', 'init', 'Set up a new gateway on this machine'),
  entry('Programs', 'gateway', 'Run the gateway'),
  entry('Programs', 'enforcer', 'Run the node agent'),
  entry(
    'This command',
    'context',
    'The gateways that you work with, by name',
    () => import('./context-commands.ts'),
  ),
  entry(
    'This command',
    'config',
    'Show each setting, and where it comes from',
    () => import('./context-commands.ts'),
  ),
  entry(
    'This command',
    'completion',
    'Print completion for a shell',
    () => import('./completion-commands.ts'),
  ),
  entry('This command', 'version', 'Print the version', system),
  entry('This command', 'help', 'Explain a command, or the options, environment or exit-codes'),
];

export function catalogueEntry(noun: string): CatalogueEntry | undefined {
  return catalogue.find((candidate) => candidate.noun === noun);
}
