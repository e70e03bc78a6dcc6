/** `coffer audit verify`: the whole log, entry by entry, from the gateway or from a bundle. */
import { Fault, isFault } from '../base/fault.ts';
import type { Checkpoint } from '../crypto/checkpoint.ts';
import { leafHashOf, verifyInclusion } from '../crypto/merkle-verify.ts';
import { decodeBase64, type NoteVerifier } from '../crypto/note.ts';
import { type BundleSegment, readBundle } from './audit-bundle.ts';
import { altered, AuditCheck, firstBadSegment, type Segment, segmentSize } from './audit-check.ts';
import {
  hashesOf,
  isConsistent,
  openSigned,
  readVerifier,
  recallAudit,
  rememberAudit,
} from './audit-memory.ts';
import type { CommandSpec } from './command-spec.ts';
import type { Given } from './given.ts';
import { showText } from './output.ts';
import type { Session } from './session.ts';
import type { EntryItem } from './views.ts';
import { visible } from './visible-text.ts';

/** A checkpoint whose signature was verified. */
export interface Signed {
  readonly note: string;
  readonly verifierKey: string;
  readonly verifier: NoteVerifier;
  readonly checkpoint: Checkpoint;
}

export const verify: CommandSpec = {
  name: 'audit verify',
  summary: 'Check every entry, the signed root, and that nothing seen before was rewritten',
  details:
    'Reads the whole log, recomputes its tree, and compares it with the signed checkpoint and with the ' +
    'checkpoint that this command remembered last time. With --bundle it needs no gateway.',
  examples: [
    'coffer audit verify',
    "coffer audit verify --bundle audit-2026-03.jsonl --key 'gateway.example+1a2b3c4d+…'",
  ],
  options: [
    { flags: '--bundle <file>', about: 'verify a file that `coffer audit export` wrote' },
    { flags: '--key <key>', about: 'the key of the log, as you know it from elsewhere' },
    { flags: '--accept-rollback', about: 'a backup was restored: forget what was seen before' },
    { flags: '--accept-new-key', about: 'the gateway was set up anew: forget the old key' },
  ],
  async run(session, given) {
    const bundle = given.text('bundle');
    if (bundle !== undefined) await verifyBundle(session, given, bundle);
    else await verifyOnline(session, given);
  },
};

async function verifyOnline(session: Session, given: Given): Promise<void> {
  const signed = await fetchSigned(session, given);
  const known = await seenBefore(session, given, signed);
  const check = new AuditCheck(signed.checkpoint, known);
  for await (const entry of downloadEntries(session, signed.checkpoint.size)) {
    check.add(entry.bytes, entry);
    sayProgress(session, check.size, signed.checkpoint.size);
  }
  await check.finish(async (segments) => await locateOnline(session, signed.verifier, segments));
  const kept = await keep(session, signed);
  await report(session, signed, { known, kept, source: 'the gateway' });
}

/** Only after everything was verified. */
async function keep(session: Session, { verifierKey, note }: Signed): Promise<boolean> {
  return await rememberAudit(session, { verifierKey, checkpoint: note });
}

/** The newest checkpoint, signed by the key that is known. @throws Fault `audit.unsigned` */
export async function fetchSigned(session: Session, given: Given): Promise<Signed> {
  const { output } = await session.call('audit.checkpoint', {});
  const memory = await recallAudit(session);
  const known = given.flag('acceptNewKey') ? undefined : memory?.verifierKey;
  const verifierKey = given.text('key') ?? known ?? output.verifierKey;
  const verifier = readVerifier(verifierKey);
  const checkpoint = openSigned(output.checkpoint, verifier);
  return { note: output.checkpoint, verifierKey, verifier, checkpoint };
}

/** What must be the beginning of this log. @throws Fault `audit.rollback` */
export async function seenBefore(
  session: Session,
  given: Given,
  signed: Signed,
): Promise<Checkpoint | undefined> {
  const memory = await recallAudit(session);
  if (memory?.verifierKey !== signed.verifierKey || memory.checkpoint === '') return undefined;
  if (given.flag('acceptRollback')) return undefined;
  const known = openSigned(memory.checkpoint, signed.verifier);
  if (signed.checkpoint.size < known.size) {
    throw new Fault('audit.rollback', { seen: known.size, now: signed.checkpoint.size });
  }
  return known;
}

/** The entries 0 … size − 1, each as shown and as signed. */
export async function* downloadEntries(
  session: Session,
  size: number,
): AsyncGenerator<EntryItem, void, undefined> {
  for (let next = 0; next < size; ) {
    const after = next === 0 ? {} : { after: next - 1 };
    const limit = Math.min(segmentSize, size - next);
    const { output } = await session.call('audit.list', { ...after, limit });
    if (output.items.length === 0) return;
    for (const entry of output.items.slice(0, limit)) {
      yield entry;
      next += 1;
    }
  }
}

/** Where our roots leave the signed log: the segment by consistency, the entry by inclusion. */
async function locateOnline(
  session: Session,
  verifier: NoteVerifier,
  segments: readonly Segment[],
): Promise<number | undefined> {
  const bad = await firstBadSegment(segments, async (segment) => {
    if (segment.size === 0) return true;
    try {
      const { output } = await session.call('audit.checkpoint', { since: segment.size });
      return isConsistent(segment, openSigned(output.checkpoint, verifier), output.consistency);
    } catch (error) {
      if (isFault(error, 'request.invalid')) return false;
      throw error;
    }
  });
  if (!bad) return undefined;
  const first = (segments[segments.indexOf(bad) - 1] ?? { size: 0 }).size;
  const after = first === 0 ? {} : { after: first - 1 };
  const { output } = await session.call('audit.list', { ...after, limit: bad.size - first });
  for (const [at, entry] of output.items.entries()) {
    if (!(await isIncluded(session, verifier, { entry, sequence: first + at }))) return first + at;
  }
  return undefined;
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
  let signed: Signed | undefined;
  let check: AuditCheck | undefined;
  let known: Checkpoint | undefined;
  const proofs: BundleSegment[] = [];
  for await (const line of readBundle(path)) {
    if (line.kind === 'head') {
      const { checkpoint: note, verifierKey: own } = line.head;
      const verifierKey = given.text('key') ?? own;
      const verifier = readVerifier(verifierKey);
      signed = { note, verifierKey, verifier, checkpoint: openSigned(note, verifier) };
      known = await seenInPart(session, given, signed);
      check = new AuditCheck(signed.checkpoint, known);
    } else if (line.kind === 'segment') proofs.push(line.segment);
    else if (check?.isComplete === true) throw altered(check.size, 'is beyond what was signed');
    else check?.add(line.bytes);
  }
  if (!signed || !check) throw new Fault('request.malformed', { file: path, problem: 'is empty' });
  const { verifier } = signed;
  await check.finish(async (segments) => await locateOffline(segments, proofs, verifier));
  await report(session, signed, { known, kept: false, source: path });
  if (given.text('key') === undefined) {
    session.note('The key was taken from the bundle itself: compare it, or give --key.');
  }
}

/** A bundle may be older than what was seen; then nothing is said about that. */
async function seenInPart(
  session: Session,
  given: Given,
  signed: Signed,
): Promise<Checkpoint | undefined> {
  try {
    return await seenBefore(session, given, signed);
  } catch (error) {
    if (isFault(error, 'audit.rollback')) return undefined;
    throw error;
  }
}

/** As far as the bundle's own proofs go: the first entry of the first segment that is wrong. */
async function locateOffline(
  segments: readonly Segment[],
  proofs: readonly BundleSegment[],
  verifier: NoteVerifier,
): Promise<number | undefined> {
  const proven = segments.filter(({ size }) => size === 0 || proofs.some((proof) => proof.size === size));
  const bad = await firstBadSegment(proven, async (segment) => {
    const proof = proofs.find(({ size }) => size === segment.size);
    if (!proof) return true;
    return isConsistent(segment, openSigned(proof.checkpoint, verifier), proof.consistency);
  });
  const last = bad ? proven[proven.indexOf(bad) - 1] : proven.at(-1);
  return last?.size;
}

function sayProgress(session: Session, size: number, total: number): void {
  if (size % 50_000 === 0 && size < total) session.note(`${size} of ${total} entries verified`);
}

async function report(
  session: Session,
  signed: Signed,
  what: {
    readonly known: Checkpoint | undefined;
    readonly kept: boolean;
    readonly source: string;
  },
): Promise<void> {
  const { checkpoint, verifierKey } = signed;
  const root = Buffer.from(checkpoint.root).toString('base64');
  const body = {
    verified: true,
    size: checkpoint.size,
    root,
    verifierKey,
    seenBefore: what.known?.size ?? 0,
    remembered: what.kept,
  };
  const seen = what.known
    ? `begins with the ${what.known.size} entries that were verified before`
    : 'nothing was remembered of this log';
  await showText(session, body, {
    name: `audit/${checkpoint.size}`,
    text: () =>
      [
        `verified: all ${checkpoint.size} entries from ${what.source}`,
        `  entries  each in its place; together they give the signed root`,
        `  root     ${root}`,
        `  key      ${verifierKey}`,
        `  before   ${seen}`,
      ]
        .map((line) => `${visible(line)}\n`)
        .join(''),
  });
  if (what.kept) session.note('This checkpoint is remembered; the next verification starts from it.');
}
