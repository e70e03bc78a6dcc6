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
  /** Verbs of this noun that another program does, with what each is. */
  readonly elsewhere?: readonly (readonly [verb: string, summary: string])[];
}

const policy = (): Promise<CommandModule> => import('./policy-commands.ts');
const documents = (): Promise<CommandModule> => import('./document-commands.ts');
const system = (): Promise<CommandModule> => import('./system-commands.ts');
const nodes = (): Promise<CommandModule> => import('./node-commands.ts');

function entry(
  group: string,
  noun: string,
  summary: string,
  load?: () => Promise<CommandModule>,
): CatalogueEntry {
  return { group, noun, summary, load };
}

export const catalogue: readonly CatalogueEntry[] = [
  entry(
    'Secrets',
    'secret',
    'Set, generate, stage, withdraw and list secrets; never show one',
    () => import('./secret-commands.ts'),
  ),
  entry(
    'Secrets',
    'where',
    'Which containers hold which version, and how fresh',
    () => import('./where-command.ts'),
  ),
  entry('Policy', 'group', 'Groups of containers, by what they are', policy),
  entry('Policy', 'grant', 'Which group receives which secrets, and how', policy),
  entry('Policy', 'apply', 'Apply groups and grants from YAML files', documents),
  entry('Policy', 'diff', 'Show what applying files would change', documents),
  entry('Policy', 'explain', 'Why a container receives a secret, or why it does not', policy),
  entry('Policy', 'who-can', 'Which groups and containers receive a secret', policy),
  entry('Nodes', 'node', 'Nodes: list, make a join token, revoke', nodes),
  entry('Nodes', 'workload', 'Running containers as attested', nodes),
  entry(
    'Audit',
    'audit',
    'List, follow, verify and prove the audit log',
    () => import('./audit-commands.ts'),
  ),
  entry(
    'Gateway',
    'token',
    'Tokens for programs: make, list, revoke',
    () => import('./token-commands.ts'),
  ),
  entry('Gateway', 'status', 'Whether the gateway is well', system),
  entry(
    'Gateway',
    'doctor',
    'Check each step from here to the gateway, and this node',
    () => import('./doctor-command.ts'),
  ),
  entry('Gateway', 'seal', 'Forget the root key: nothing is delivered until unsealed', system),
  entry('Gateway', 'unseal', 'Supply the passphrase or one share', system),
  entry(
    'Gateway',
    'rotate-root-key',
    'Make a new root key and rewrap everything, while running',
    system,
  ),
  entry(
    'Gateway',
    'accept-rollback',
    'Acknowledge that this store is older than somebody remembers',
    system,
  ),
  {
    ...entry('Gateway', 'backup', 'Make, verify and restore backups', system),
    elsewhere: [
      ['verify <file>', 'Check a backup, without a gateway'],
      ['restore <file>', 'Put a backup where there is no store yet'],
    ],
  },
  entry('Programs', 'init', 'Set up a new gateway on this machine'),
  entry('Programs', 'gateway', 'Run the gateway'),
  entry('Programs', 'enforcer', 'Run the node agent'),
  entry(
    'This command',
    'context',
    'Gateways that you work with, by name',
    () => import('./context-commands.ts'),
  ),
  entry(
    'This command',
    'config',
    'Show each setting and where it comes from',
    () => import('./context-commands.ts'),
  ),
  entry(
    'This command',
    'completion',
    'Print shell completion',
    () => import('./completion-commands.ts'),
  ),
  entry('This command', 'version', 'Print the version', system),
  entry('This command', 'help', 'Help about a command, or `coffer help exit-codes`'),
];

export function catalogueEntry(noun: string): CatalogueEntry | undefined {
  return catalogue.find((candidate) => candidate.noun === noun);
}
