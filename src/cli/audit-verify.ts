/**
 * `coffer audit verify`: the whole log, entry by entry, from the gateway or from a bundle.
 *
 * Promises: success means that the entries, byte for byte, are exactly those whose root the log's key
 * signed, that what is shown of each is what it signs, and that they begin with everything that was
 * verified before. Failure names the first entry that is wrong.
 */
import { Fault, isFault } from '../base/fault.ts';
import { type AuditVerdict, AuditVerifier } from '../crypto/audit-verify.ts';
import type { Checkpoint } from '../crypto/checkpoint.ts';
import { EntryTree, leafHashOf, verifyInclusion } from '../crypto/merkle-verify.ts';
import { decodeBase64, type NoteVerifier } from '../crypto/note.ts';
import { openBundle } from './audit-bundle.ts';
import { firstDifference, readEntryBytes } from './audit-entry-bytes.ts';
import {
  hashesOf,
  isConsistent,
  keyOption,
  openSigned,
  readVerifier,
  recallAudit,
  rememberAudit,
} from './audit-memory.ts';
import type { CommandSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import { showText } from './output.ts';
import { needed } from './permissions.ts';
import { Progress } from './progress.ts';
import type { Session } from './session.ts';
import type { EntryItem } from './views.ts';
import { visible } from '../base/visible-text.ts';

/** A checkpoint whose signature was verified. */
export interface Signed {
  readonly note: string;
  readonly verifierKey: string;
  readonly verifier: NoteVerifier;
  readonly checkpoint: Checkpoint;
}

type Refusal = Extract<AuditVerdict, { readonly kind: 'refused' }>;

/** Entries of one page, and between two looks at the signed log when an error is searched for. */
const segmentSize = 500;

export const verify: CommandSpec = {
  name: 'audit verify',
  summary: 'Verify every entry, the signed root, and that no verified history was rewritten',
  details:
    'Reads the whole log, recomputes its Merkle tree, and compares it with the signed checkpoint and with ' +
    'the checkpoint remembered from the last verification. With --bundle it needs no gateway.',
  examples: [
    'coffer audit verify',
    "coffer audit verify --bundle audit-2026-03.jsonl --key 'gateway.example+1a2b3c4d+…'",
  ],
  options: [
    { flags: '--bundle <file>', about: 'verify a file that `coffer audit export` wrote' },
    { flags: '--key <key>', about: 'the key of the log, if you know it from another source' },
    {
      flags: '--accept-rollback',
      about: 'a backup was restored: forget the remembered checkpoint',
    },
    { flags: '--accept-new-key', about: 'the gateway was set up anew: forget the remembered key' },
  ],
  permissions: (_session, given) =>
    given.text('bundle') === undefined ? [needed('audit.list'), needed('audit.checkpoint')] : [],
  async run(session, given) {
    const bundle = given.text('bundle');
    if (bundle !== undefined) await verifyBundle(session, given, bundle);
    else await verifyOnline(session, given);
  },
};

async function verifyOnline(session: Session, given: Given): Promise<void> {
  const signed = await fetchSigned(session, given);
  const known = await seenBefore(session, given, signed);
  const check = new EntryCheck(signed, known);
  for await (const entry of downloadEntries(session, signed.checkpoint.size)) {
    check.add(entry);
  }
  const refusal = check.finish();
  if (refusal) throw await explainRefusal(session, signed, { refusal, known });
  // Only after everything was verified.
  const { verifierKey, note } = signed;
  const kept = await rememberAudit(session, { verifierKey, checkpoint: note });
  await report(session, signed, { known, kept, source: 'the gateway' });
}

/** Holds what is shown of each entry against what it signs, and all of them against the checkpoints. */
export class EntryCheck {
  readonly #verifier: AuditVerifier;
  #size = 0;

  constructor(signed: Signed, known: Seen | undefined) {
    const notes = known ? [known.note, signed.note] : [signed.note];
    this.#verifier = new AuditVerifier(signed.verifierKey, notes);
  }

  get size(): number {
    return this.#size;
  }

  /** @throws Fault `audit.altered` */
  add(entry: EntryItem): void {
    const bytes = checkEntry(entry, this.#size);
    this.#verifier.add(bytes);
    this.#size += 1;
  }

  /** @returns undefined if all is well. */
  finish(): Refusal | undefined {
    const verdict = this.#verifier.finish();
    return verdict.kind === 'refused' ? verdict : undefined;
  }
}

/** @throws Fault `audit.altered` if the entry, by itself, is not what it is shown as. */
export function checkEntry(entry: EntryItem, sequence: number): Buffer {
  const bytes = decodeBase64(entry.bytes);
  const signed = bytes && readEntryBytes(bytes);
  if (!bytes || !signed) throw altered(sequence, 'is not a valid entry');
  if (signed.sequence !== sequence) {
    throw altered(sequence, `was replaced by entry ${signed.sequence}`);
  }
  const difference = firstDifference(entry, signed);
  if (difference !== undefined)
    throw altered(sequence, `shows another ${difference} than was signed`);
  return bytes;
}

export function altered(sequence: number, problem: string): Fault {
  return new Fault('audit.altered', { sequence, problem });
}

/** The newest checkpoint, signed by the key that is known. @throws Fault `audit.unsigned` */
export async function fetchSigned(session: Session, given: Given): Promise<Signed> {
  const { output } = await session.call('audit.checkpoint', {});
  const memory = await recallAudit(session);
  const known = given.flag('acceptNewKey') ? undefined : memory?.verifierKey;
  const verifierKey = keyOption(given) ?? known ?? output.verifierKey;
  return openWith(output.checkpoint, verifierKey);
}

/** @throws Fault `audit.unsigned` */
function openWith(note: string, verifierKey: string): Signed {
  const verifier = readVerifier(verifierKey);
  return { note, verifierKey, verifier, checkpoint: openSigned(note, verifier) };
}

interface Seen {
  readonly note: string;
  readonly checkpoint: Checkpoint;
}

/** What must be the beginning of this log. @throws Fault `audit.rollback` */
export async function seenBefore(
  session: Session,
  given: Given,
  signed: Signed,
): Promise<Seen | undefined> {
  const memory = await recallAudit(session);
  if (memory?.verifierKey !== signed.verifierKey || memory.checkpoint === '') return undefined;
  if (given.flag('acceptRollback')) return undefined;
  const checkpoint = openSigned(memory.checkpoint, signed.verifier);
  if (signed.checkpoint.size < checkpoint.size) {
    throw new Fault('audit.rollback', { seen: checkpoint.size, now: signed.checkpoint.size });
  }
  return { note: memory.checkpoint, checkpoint };
}

/** The entries 0 … size − 1, each as shown and as signed. Ends early if the gateway has no more. */
export async function* downloadEntries(
  session: Session,
  size: number,
): AsyncGenerator<EntryItem, void, undefined> {
  using progress = new Progress(session);
  for (let next = 0; next < size; ) {
    const after = next === 0 ? {} : { after: next - 1 };
    const limit = Math.min(segmentSize, size - next);
    const { output } = await session.call('audit.list', { ...after, limit });
    if (output.items.length === 0) return;
    const items = output.items.slice(0, limit);
    next += items.length;
    progress.say(`${next} of ${size} entries read`);
    yield* items;
  }
}

/** Which entry is wrong; or, if each is in the signed log, that the log is not the one seen before. */
async function explainRefusal(
  session: Session,
  signed: Signed,
  { refusal, known }: { readonly refusal: Refusal; readonly known: Seen | undefined },
): Promise<Fault> {
  const { from } = refusal;
  if (refusal.reason === 'misplaced') return altered(from, 'was replaced by another entry');
  if (refusal.reason === 'cut') return altered(from, 'is missing');
  const sequence = await locate(session, signed);
  if (sequence !== undefined) return altered(sequence, 'is not the entry that was signed');
  const sizes = { seen: known?.checkpoint.size ?? 0, now: signed.checkpoint.size };
  return known ? new Fault('audit.fork', sizes) : altered(from, 'or a later one was changed');
}

/** Where the entries leave the signed log: the segment by consistency, the entry by inclusion. */
async function locate(session: Session, signed: Signed): Promise<number | undefined> {
  const tree = new EntryTree();
  let segment: EntryItem[] = [];
  for await (const entry of downloadEntries(session, signed.checkpoint.size)) {
    tree.add(Buffer.from(entry.bytes, 'base64'));
    segment.push(entry);
    if (tree.size % segmentSize !== 0 && tree.size < signed.checkpoint.size) continue;
    if (!(await isBeginning(session, signed, tree))) {
      const first = tree.size - segment.length;
      for (const [at, one] of segment.entries()) {
        if (!(await isIncluded(session, signed.verifier, { entry: one, sequence: first + at })))
          return first + at;
      }
    }
    segment = [];
  }
  return undefined;
}

/** Of the newest signed log, which may have grown since. */
async function isBeginning(session: Session, signed: Signed, tree: EntryTree): Promise<boolean> {
  const { output } = await session.call('audit.checkpoint', { since: tree.size });
  const newest = openSigned(output.checkpoint, signed.verifier);
  return isConsistent({ size: tree.size, root: tree.root() }, newest, output.consistency);
}

/** @returns whether the entry, as it was downloaded, is in the signed tree at its place. */
async function isIncluded(
  session: Session,
  verifier: NoteVerifier,
  { entry, sequence }: { readonly entry: EntryItem; readonly sequence: number },
): Promise<boolean> {
  const { output } = await session.call('audit.prove', { sequence });
  const { size, root } = openSigned(output.checkpoint, verifier);
  const bytes = decodeBase64(entry.bytes);
  const proof = hashesOf(output.inclusion);
  if (!bytes || !proof) return false;
  return verifyInclusion({ leafHash: leafHashOf(bytes), index: sequence, size, root, proof });
}

async function verifyBundle(session: Session, given: Given, path: string): Promise<void> {
  const { head } = await openBundle(path);
  const signed = openWith(head.checkpoint, keyOption(given) ?? head.verifierKey);
  const known = await seenInPart(session, given, signed);
  const notes = known ? [known.note, signed.note] : [signed.note];
  const verdict = await readBundle(path, signed, notes);
  if (verdict.kind === 'refused') {
    const alone = known ? await readBundle(path, signed, [signed.note]) : verdict;
    if (known && alone.kind === 'verified') {
      throw new Fault('audit.fork', { seen: known.checkpoint.size, now: signed.checkpoint.size });
    }
    throw bundleFault(alone.kind === 'refused' ? alone : verdict);
  }
  if (verdict.unverified > 0) throw altered(verdict.size, 'is beyond what was signed');
  await report(session, signed, { known, kept: false, source: path });
  if (given.text('key') === undefined) {
    session.note(
      'The key was read from the bundle itself. Compare it with a trusted copy, or give --key.',
    );
  }
}

async function readBundle(
  path: string,
  { verifierKey }: Signed,
  notes: readonly string[],
): Promise<AuditVerdict> {
  const verifier = new AuditVerifier(verifierKey, notes);
  const { entries } = await openBundle(path);
  for await (const bytes of entries) verifier.add(bytes);
  return verifier.finish();
}

function bundleFault({ reason, from, to }: Refusal): Fault {
  if (reason === 'cut') return altered(from, 'is missing');
  if (from === to) return altered(from, 'is not the entry that was signed');
  return new Fault('audit.altered', {
    from,
    to,
    problem: 'an entry is not the one that was signed',
  });
}

/** A bundle may be older than what was seen; then nothing is said about that. */
async function seenInPart(
  session: Session,
  given: Given,
  signed: Signed,
): Promise<Seen | undefined> {
  try {
    return await seenBefore(session, given, signed);
  } catch (error) {
    if (isFault(error, 'audit.rollback')) return undefined;
    throw error;
  }
}

async function report(
  session: Session,
  signed: Signed,
  what: { readonly known: Seen | undefined; readonly kept: boolean; readonly source: string },
): Promise<void> {
  const { checkpoint, verifierKey } = signed;
  const root = Buffer.from(checkpoint.root).toString('base64');
  const seenSize = what.known?.checkpoint.size ?? 0;
  const { size } = checkpoint;
  const body = {
    verified: true,
    size,
    root,
    verifierKey,
    seenBefore: seenSize,
    remembered: what.kept,
  };
  const before =
    seenSize === 0
      ? 'none: first verification from this machine'
      : `the log begins with the ${seenSize} entries that it verified`;
  const lines = [
    `verified: all ${size} entries from ${what.source}`,
    `  entries         all present and in order; their hash matches the signed root`,
    `  root            ${root}`,
    `  key             ${verifierKey}`,
    `  previous check  ${before}`,
  ];
  await showText(session, body, {
    name: `audit/${size}`,
    text: () => lines.map((line) => `${visible(line)}\n`).join(''),
  });
  if (what.kept) session.note('This checkpoint was saved; the next verification builds on it.');
}
