/** `coffer audit …`: read, follow, prove, export. Verification is in `audit-verify.ts`. */
import { isFault } from '../base/fault.ts';
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
import { listOptions, noteAnew, pageMax, readList, sorted } from './list-command.ts';
import { checkInput, operationCommand } from './operation-command.ts';
import { showList, showRow, showText, tableOf } from './output.ts';
import { needed } from './permissions.ts';
import { writeNewFile } from './private-file.ts';
import { timeOf } from './relative-time.ts';
import type { Session } from './session.ts';
import { type EntryItem, entryView } from './views.ts';
import { visible, visibleLines } from '../base/visible-text.ts';

const lastDefault = 500;

const filterOptions: readonly OptionSpec[] = [
  {
    flags: '--after <sequence>',
    about: 'only entries after this one',
    whole: { min: 0, max: 2 ** 53 - 1 },
  },
  { flags: '--since <time>', about: 'recorded since: 30m, 2h, 7d, or 2026-03-01T10:40:00Z' },
  { flags: '--action <action>', about: 'such as secret.put; secret.* for all that begin so' },
  { flags: '--actor <name>', about: 'name or id of the person, program or node' },
  { flags: '--resource <resource>', about: 'such as secrets/payments/db, secrets/payments/**' },
  { flags: '--outcome <outcome>', about: 'ok, denied, or the code of a fault' },
  { flags: '--changes', about: 'only what changed something' },
];

function filterOf(session: Session, given: Given): Readonly<Record<string, unknown>> {
  const since = given.text('since');
  if (given.option('after') !== undefined && given.number('last') !== undefined) {
    throw usage('--after and --last cannot be combined');
  }
  return {
    since: since === undefined ? undefined : timeOf('--since', since, session.io.clock.wallMs()),
    changes: given.flag('changes') || undefined,
    after: given.option('after'),
    action: given.option('action'),
    actor: given.option('actor'),
    resource: given.option('resource'),
    outcome: given.option('outcome'),
  };
}

const lastOption: OptionSpec = {
  flags: '--last <n>',
  about: `how many; ${lastDefault} by default`,
  whole: { min: 1, max: 1_000_000 },
};

const list: CommandSpec = {
  name: 'audit list',
  aliases: ['ls'],
  summary: 'List the latest audit entries, or those after a given one',
  examples: [
    'coffer audit list --last 20',
    'coffer audit list --changes --since 2h',
    "coffer audit list --action 'secret.*' --actor ada --resource 'secrets/payments/**' -o wide",
  ],
  options: [...filterOptions, lastOption, ...listOptions(entryView)],
  permissions: () => [needed('audit.list')],
  async run(session, given) {
    const filter = filterOf(session, given);
    const body =
      filter['after'] === undefined
        ? { items: await readLast(session, filter, given) }
        : await readList(session, 'audit.list', filter, given);
    await showList(session, entryView, sorted(entryView, body, given.text('sortBy')), {
      headers: given.option('headers') !== false,
    });
  },
};

/** Oldest first, as they happened. */
async function readLast(
  session: Session,
  filter: Readonly<Record<string, unknown>>,
  given: Given,
): Promise<readonly EntryItem[]> {
  const asked = [given.number('last'), given.number('limit')].filter((most) => most !== undefined);
  const most = asked.length === 0 ? lastDefault : Math.min(...asked);
  const wanted = given.flag('all') ? Number.POSITIVE_INFINITY : most;
  const items: EntryItem[] = [];
  let cursor: string | undefined;
  do {
    const limit = Math.min(pageMax, wanted - items.length);
    const input = { ...filter, newestFirst: true, limit, cursor };
    const { output } = await session.call('audit.list', checkInput('audit.list', input));
    items.push(...output.items);
    cursor = output.nextCursor;
  } while (cursor !== undefined && items.length < wanted);
  if (cursor !== undefined && asked.length === 0) {
    session.warn(`Only the last ${items.length} are shown. Use --all or --last to see more.`);
  }
  return items.toReversed();
}

const tail: CommandSpec = {
  name: 'audit tail',
  summary: 'Follow the audit log until interrupted',
  examples: ['coffer audit tail --last 10', 'coffer audit tail --outcome denied -o json'],
  options: [...filterOptions, { ...lastOption, about: 'start with this many earlier entries' }],
  permissions: (_session, given) => [
    needed('audit.tail'),
    ...(given.number('last') === undefined ? [] : [needed('audit.list')]),
  ],
  async run(session, given) {
    const input = checkInput('audit.list', filterOf(session, given));
    await session.explain('audit.tail', input);
    const before = given.number('last') === undefined ? [] : await readLast(session, input, given);
    const last = before.at(-1)?.sequence;
    const after = last === undefined ? {} : { after: last };
    const client = await session.client();
    session.isFollowing = true;
    const { kind } = await session.format();
    // Nothing is known yet of what will come: room for times, actions, and names as they usually are.
    session.columnWidths.push(8, 24, 12, 18, 32);
    if (kind === 'table' || kind === 'wide')
      session.print(tableOf(session, entryView, [], { headers: true }));
    for (const entry of before) await showRow(session, entryView, entry);
    const { signal } = session;
    let from: { readonly after?: number } = after;
    while (!signal.aborted) {
      try {
        const follow = client.watch('audit.tail', { ...input, ...from }, { signal });
        for await (const { output } of follow) await showRow(session, entryView, output);
        return;
      } catch (error) {
        if (!isFault(error, 'audit.beyond-end')) throw error;
        noteAnew(session);
        from = {};
      }
    }
  },
};

const prove: CommandSpec = {
  name: 'audit prove',
  summary: 'Prove that one entry is in the signed log',
  examples: ['coffer audit prove 1041', 'coffer audit prove 1041 -o json > proof.json'],
  words: [{ name: 'sequence', about: 'of the entry' }],
  options: [
    { flags: '--key <key>', about: 'the key of the log, if you know it from another source' },
  ],
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
  details: 'The log is verified while it is written. An existing file is never overwritten.',
  examples: [
    'coffer audit export audit-2026-03.jsonl',
    'coffer audit export "audit-$(date +%F).jsonl"',
  ],
  words: [{ name: 'file', about: 'a new file', kind: 'file' }],
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
  list,
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
