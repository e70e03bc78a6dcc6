/** `coffer apply -f` and `coffer diff -f`: policy as files, with what it does to running containers. */
import { isFault } from '../base/fault.ts';
import type { PolicyChange } from '../protocol/operations-policy.ts';
import type { CommandSpec, OptionSpec } from './command-spec.ts';
import { type Documents, readDocuments } from './documents.ts';
import type { Given } from './given.ts';
import { count } from '../base/count.ts';
import { confirmByName } from './interaction.ts';
import { showText } from './output.ts';
import { needed, neededToApply } from './permissions.ts';
import type { Colour } from '../base/paint.ts';
import { impactLines, noteWarnings, warningText } from './policy-impact.ts';
import type { Session } from './session.ts';
import { unifiedDiff } from './unified-diff.ts';
import { visible, visibleLines } from '../base/visible-text.ts';

const differencesExit = 10;

const fileOptions: readonly OptionSpec[] = [
  { flags: '-f, --file <path>', about: 'a file, a directory, or - for standard input', many: true },
  { flags: '-R, --recursive', about: 'also search subdirectories' },
  { flags: '--prune', about: 'also delete groups and grants that the files do not mention' },
];

const diff: CommandSpec = {
  name: 'diff',
  summary: 'Show what applying files would change, and in which running containers',
  details: 'Exits with 10 if there are differences.',
  examples: ['coffer diff -f policy/', 'coffer diff -f policy.yaml --prune -o json'],
  options: fileOptions,
  permissions: () => [needed('policy.diff', { documents: [] })],
  async run(session, given) {
    const documents = await documentsOf(session, given);
    const change = await ask(session, 'policy.diff', documents, given);
    if (!differs(change)) session.note('No differences.');
    await showText(session, change, {
      name: changed(change).map(subjectOf),
      text: () => diffText(session, change),
    });
    return differs(change) ? differencesExit : 0;
  },
};

const apply: CommandSpec = {
  name: 'apply',
  summary: 'Apply groups and grants from files, all or none',
  details: 'Asks for confirmation if something is deleted or a running container loses a secret.',
  examples: [
    'coffer apply -f policy/',
    'coffer apply -f - --dry-run=server --exit-code < policy.yaml',
    'coffer apply -f policy/ --prune --yes',
  ],
  options: [
    ...fileOptions,
    { flags: '--exit-code', about: 'with a dry run: exit with 10 if something would change' },
  ],
  changes: true,
  destroys: true,
  permissions: async (session, given) =>
    neededToApply((await documentsOf(session, given)).documents),
  async run(session, given) {
    const documents = await documentsOf(session, given);
    const { dryRun } = session;
    if (dryRun === 'client') {
      const found = count(documents.documents.length, 'document');
      session.note(`dry run (client): ${found} well formed; nothing was sent`);
      return 0;
    }
    if (session.isExplaining && dryRun !== 'server') {
      await ask(session, 'policy.apply', documents, given);
    }
    const preview = await ask(session, 'policy.apply', documents, given, { dryRun: true });
    if (dryRun === 'server') {
      await showText(session, preview, {
        name: changed(preview).map(subjectOf),
        text: () => diffText(session, preview),
      });
      session.note('dry run (server): nothing was changed');
      return given.flag('exitCode') && differs(preview) ? differencesExit : 0;
    }
    await confirmLosses(session, given, preview);
    const change = await ask(session, 'policy.apply', documents, given);
    for (const one of change.changes) noteWarnings(session, subjectOf(one), one.warnings);
    await showText(session, change, {
      name: change.changes.map(subjectOf),
      text: () => appliedText(change),
    });
    return 0;
  },
};

async function documentsOf(session: Session, given: Given): Promise<Documents> {
  return await readDocuments(session, given.list('file'), { recursive: given.flag('recursive') });
}

async function ask(
  session: Session,
  name: 'policy.diff' | 'policy.apply',
  { documents, located }: Documents,
  given: Given,
  options: { readonly dryRun?: boolean } = {},
): Promise<PolicyChange> {
  const input = { documents, ...(given.flag('prune') ? { prune: true } : {}) };
  try {
    return (await session.call(name, input, options)).output;
  } catch (error) {
    throw isFault(error) && error.errors.length > 0 ? located(error) : error;
  }
}

function differs(change: PolicyChange): boolean {
  return changed(change).length > 0;
}

function changed({ changes }: PolicyChange): PolicyChange['changes'] {
  return changes.filter((one) => one.change !== 'unchanged');
}

async function confirmLosses(session: Session, given: Given, change: PolicyChange): Promise<void> {
  const deleted = change.changes.filter((one) => one.change === 'delete');
  const losing = change.impact.filter(({ loses }) => loses.length > 0);
  if (deleted.length === 0 && losing.length === 0) return;
  await confirmByName(session, {
    name: 'apply',
    what: [
      ...deleted.map(({ kind, name }) => `${kind.toLowerCase()}/${name} will be deleted`),
      ...impactLines({ ...change, impact: losing }),
    ],
    yes: given.flag('yes'),
  });
}

function diffText(session: Session, change: PolicyChange): string {
  if (!differs(change)) return '';
  const paint = session.paint('stdout');
  const colours: Readonly<Record<string, Colour>> = { '-': 'red', '+': 'green', '@': 'cyan' };
  const parts = changed(change).map(({ kind, name, before = '', after = '', warnings }) => {
    const file = `${kind.toLowerCase()}/${name}`;
    const names = {
      before: before === '' ? '/dev/null' : `a/${file}`,
      after: after === '' ? '/dev/null' : `b/${file}`,
    };
    const said = warnings
      .map((warning) => `# warning: ${file}: ${warningText(warning)}\n`)
      .join('');
    return said + unifiedDiff(before, after, names);
  });
  const impact = impactLines(change).map((line) => `# ${line}\n`);
  return visibleLines([...parts, ...impact].join('')).replaceAll(/^[-+@].*$/gm, (line) =>
    paint(colours[line[0] ?? ''] ?? 'dim', line),
  );
}

function subjectOf({ kind, name }: PolicyChange['changes'][number]): string {
  return `${kind.toLowerCase()}/${name}`;
}

function appliedText(change: PolicyChange): string {
  const done = { create: 'created', update: 'updated', delete: 'deleted', unchanged: 'unchanged' };
  const lines = change.changes.map((one) => `${subjectOf(one)} ${done[one.change]}`);
  return [...lines, ...impactLines(change)].map((line) => `${visible(line)}\n`).join('');
}

export const commands: readonly CommandSpec[] = [apply, diff];
