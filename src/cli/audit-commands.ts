/** `coffer audit …`: read, follow, prove, export. Verification is in `audit-verify.ts`. */
import { leafHashOf, verifyInclusion } from '../crypto/merkle-verify.ts';
import { bundleFormat } from './audit-bundle.ts';
import { hashesOf, keyOption, openSigned, readVerifier, recallAudit } from './audit-memory.ts';
import {
  altered,
  checkEntry,
  downloadEntries,
  EntryCheck,
  fetchSigned,
  seenBefore,
  type Signed,
  verify,
} from './audit-verify.ts';
import { type CommandSpec, type OptionSpec, usage } from './command-spec.ts';
import type { Given } from './given.ts';
import { listCommand } from './list-command.ts';
import { checkInput, operationCommand } from './operation-command.ts';
import { showRow, showText, tableOf } from './output.ts';
import { needed } from './permissions.ts';
import { writeNewFile } from './private-file.ts';
import type { Session } from './session.ts';
import { entryView } from './views.ts';
import { visible, visibleLines } from '../base/visible-text.ts';

const filterOptions: readonly OptionSpec[] = [
  {
    flags: '--after <sequence>',
    about: 'entries after this one',
    whole: { min: 0, max: 2 ** 53 - 1 },
  },
  { flags: '--action <action>', about: 'such as secret.put' },
  { flags: '--actor <name>', about: 'name or id of who acted' },
  { flags: '--resource <resource>', about: 'such as secrets/payments/db-password' },
  { flags: '--outcome <outcome>', about: 'ok, denied, or the code of a fault' },
];

function filterOf(given: Given): Readonly<Record<string, unknown>> {
  return {
    after: given.option('after'),
    action: given.option('action'),
    actor: given.option('actor'),
    resource: given.option('resource'),
    outcome: given.option('outcome'),
  };
}

/** Where the last so many entries begin: the second line of a checkpoint is the size of the log. */
async function afterAllBut(
  session: Session,
  last: number | undefined,
): Promise<{ readonly after?: number }> {
  if (last === undefined || session.isExplaining) return {};
  const { output } = await session.call('audit.checkpoint', {});
  const size = Number(output.checkpoint.split('\n')[1]);
  return Number.isSafeInteger(size) && size > last ? { after: size - last - 1 } : {};
}

const tail: CommandSpec = {
  name: 'audit tail',
  summary: 'Follow the audit log until interrupted',
  examples: ['coffer audit tail', 'coffer audit tail --outcome denied -o json'],
  options: filterOptions,
  permissions: () => [needed('audit.tail')],
  async run(session, given) {
    const input = checkInput('audit.list', filterOf(given));
    await session.explain('audit.tail', input);
    const client = await session.client();
    session.isFollowing = true;
    const { kind } = await session.format();
    // Nothing is known yet of what will come: room for times, actions, and names as they usually are.
    session.columnWidths.push(8, 24, 12, 18, 32);
    if (kind === 'table' || kind === 'wide')
      session.print(tableOf(session, entryView, [], { headers: true }));
    for await (const { output } of client.watch('audit.tail', input, { signal: session.signal })) {
      await showRow(session, entryView, output);
    }
  },
};

const prove: CommandSpec = {
  name: 'audit prove',
  summary: 'Prove that one entry is in the signed log',
  examples: ['coffer audit prove 1041', 'coffer audit prove 1041 -o json > proof.json'],
  words: [{ name: 'sequence', about: 'of the entry' }],
  options: [{ flags: '--key <key>', about: 'the key of the log, as you know it from elsewhere' }],
  permissions(_session, given) {
    const prove = needed('audit.prove', { sequence: wholeOf(given.word('sequence')) });
    return given.text('key') === undefined ? [prove, needed('audit.checkpoint')] : [prove];
  },
  async run(session, given) {
    const sequence = wholeOf(given.word('sequence'));
    const { output } = await session.call('audit.prove', checkInput('audit.prove', { sequence }));
    const key = keyOption(given) ?? (await recallAudit(session))?.verifierKey;
    const verifierKey = key ?? (await session.call('audit.checkpoint', {})).output.verifierKey;
    const { size, root } = openSigned(output.checkpoint, readVerifier(verifierKey));
    const bytes = checkEntry(output.entry, sequence);
    const proof = hashesOf(output.inclusion);
    const leafHash = leafHashOf(bytes);
    if (!proof || !verifyInclusion({ leafHash, index: sequence, size, root, proof })) {
      throw altered(sequence, 'is not in the signed tree');
    }
    await showText(session, output, {
      name: `entry/${sequence}`,
      text: () => {
        const table = tableOf(session, entryView, [output.entry], { headers: true });
        return `${table}verified: entry ${sequence} is in the signed log of ${size} entries\n  key  ${visible(verifierKey)}\n`;
      },
    });
  },
};

function wholeOf(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw usage('the sequence must be a whole number');
  return Number(text);
}

const exportCommand: CommandSpec = {
  name: 'audit export',
  summary: 'Write the whole log to a file that can be verified without the gateway',
  details: 'It is verified while it is written, and never overwrites.',
  examples: ['coffer audit export audit-2026-03.jsonl'],
  words: [{ name: 'file', about: 'a file that does not exist yet', kind: 'file' }],
  permissions: () => [needed('audit.list'), needed('audit.checkpoint')],
  async run(session, given) {
    const path = given.word('file');
    const signed = await fetchSigned(session, given);
    const known = await seenBefore(session, given, signed);
    await writeNewFile(path, async (append) => {
      for await (const line of bundleLines(session, signed, known)) {
        await append(`${JSON.stringify(line)}\n`);
      }
    });
    const { size } = signed.checkpoint;
    await showText(
      session,
      { path, size },
      {
        name: path,
        text: () => `${visible(path)}: ${size} entries, verified\n`,
      },
    );
  },
};

async function* bundleLines(
  session: Session,
  signed: Signed,
  known: Awaited<ReturnType<typeof seenBefore>>,
): AsyncGenerator<unknown, void, undefined> {
  const { note, verifierKey, checkpoint } = signed;
  yield { format: bundleFormat, verifierKey, checkpoint: note };
  const check = new EntryCheck(signed, known);
  for await (const entry of downloadEntries(session, checkpoint.size)) {
    check.add(entry);
    yield entry.bytes;
  }
  const refusal = check.finish();
  if (refusal)
    throw altered(refusal.from, 'or a later one is wrong: `coffer audit verify` says which');
}

export const commands: readonly CommandSpec[] = [
  listCommand({
    operation: 'audit.list',
    summary: 'List audit entries, oldest first',
    view: entryView,
    examples: [
      'coffer audit list --last 20',
      'coffer audit list --action secret.put --actor ada',
      'coffer audit list --resource secrets/payments/db-password -o wide',
    ],
    options: [
      ...filterOptions,
      {
        flags: '--last <n>',
        about: 'of the last so many entries',
        whole: { min: 1, max: 1_000_000 },
      },
    ],
    alsoNeeds: (given) => (given.number('last') === undefined ? [] : [needed('audit.checkpoint')]),
    filter: async (given, session) => ({
      ...filterOf(given),
      ...(await afterAllBut(session, given.number('last'))),
    }),
  }),
  tail,
  verify,
  prove,
  operationCommand({
    operation: 'audit.checkpoint',
    examples: ['coffer audit checkpoint', "coffer audit checkpoint -o jsonpath='{.verifierKey}'"],
    show: async (session, output) =>
      await showText(session, output, {
        name: 'checkpoint',
        text: () => visibleLines(output.checkpoint),
      }),
  }),
  exportCommand,
];
