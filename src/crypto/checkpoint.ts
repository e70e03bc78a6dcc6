/**
 * Checkpoints: the signed head of the audit tree (https://c2sp.org/tlog-checkpoint): origin, size
 * and root, signed by the log and cosigned by witnesses. Made and read with `note.ts`.
 *
 * Does not promise consistency with an earlier checkpoint: `verifyConsistency` does. Vectors:
 * vectors/checkpoint.json.
 */
import { assert } from '../base/assert.ts';
import {
  cosignNote,
  decodeBase64,
  formatNote,
  formatSignature,
  type NoteSigner,
  type NoteVerifier,
  parseNote,
  signNote,
  verifySignatures,
} from './note.ts';

export interface Checkpoint {
  /** Which log. Equal to the name of the log's key. */
  readonly origin: string;
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Opaque lines; signed, but no witness says anything about them. */
  readonly extensions: readonly string[];
}

export interface Cosignature {
  readonly witness: string;
  readonly timestampS: number;
}

export type OpenedCheckpoint =
  | {
      readonly kind: 'verified';
      readonly checkpoint: Checkpoint;
      readonly cosignatures: readonly Cosignature[];
    }
  | {
      readonly kind: 'refused';
      readonly reason: 'malformed' | 'wrong-origin' | 'unsigned' | 'wrong-signature';
    };

const rootBytes = 32;

/** The text that is signed. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { origin, size, root, extensions } = checkpoint;
  assert(Number.isSafeInteger(size) && size >= 0, 'a tree size is a whole number');
  assert(root.length === rootBytes, 'a root has 32 bytes');
  const lines = [origin, String(size), Buffer.from(root).toString('base64'), ...extensions];
  assert(
    lines.every((line) => line.length > 0 && !line.includes('\n')),
    'checkpoint lines are not empty',
  );
  return `${lines.join('\n')}\n`;
}

/** Reads `formatCheckpoint`'s text; `undefined` if it is not exactly one. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const lines = text.split('\n');
  if (lines.pop() !== '' || lines.some((line) => line === '')) return undefined;
  const [origin, sizeText, rootText, ...extensions] = lines;
  if (origin === undefined || sizeText === undefined || rootText === undefined) return undefined;
  const size = Number(sizeText);
  if (!/^(0|[1-9][0-9]{0,15})$/.test(sizeText) || !Number.isSafeInteger(size)) return undefined;
  const root = decodeBase64(rootText);
  if (root?.length !== rootBytes) return undefined;
  return { origin, size, root, extensions };
}

/** Signs a checkpoint of the signer's own log: a whole note with one signature. */
export function signCheckpoint(checkpoint: Checkpoint, signer: NoteSigner): string {
  assert(checkpoint.origin === signer.name, 'a log signs its own checkpoints');
  const text = formatCheckpoint(checkpoint);
  return formatNote(text, [signNote(text, signer)]);
}

/**
 * A witness's line for a checkpoint that it has verified and found consistent.
 *
 * @param timestampS - Now, in seconds since the epoch.
 */
export function cosignCheckpoint(
  checkpoint: Checkpoint,
  witness: NoteSigner,
  timestampS: number,
): string {
  return cosignNote(formatCheckpoint(checkpoint), witness, timestampS);
}

/**
 * Adds witnesses' lines to a signed checkpoint. A key has one line: the later takes the place of the
 * earlier, since a note in which a key signs twice is refused.
 */
export function addCosignatures(note: string, lines: readonly string[]): string {
  const parsed = parseNote(`${note}${lines.join('')}`);
  assert(parsed !== undefined, 'a well-formed note and whole lines are given');
  const latest = new Map(
    parsed.signatures.map((signature) => [`${signature.name} ${signature.keyId}`, signature]),
  );
  return formatNote(parsed.text, [...latest.values()].map(formatSignature));
}

/**
 * Verifies a checkpoint note against the log's key and the witnesses one knows.
 *
 * @returns `verified` if the log signed it and no known witness's line is wrong. How many witnesses
 *   are enough is for the caller to say.
 */
export function openCheckpoint(
  noteText: string,
  log: NoteVerifier,
  witnesses: readonly NoteVerifier[] = [],
): OpenedCheckpoint {
  assert(log.kind === 'note', 'a log signs with a note key');
  const note = parseNote(noteText);
  const checkpoint = note === undefined ? undefined : parseCheckpoint(note.text);
  if (note === undefined || checkpoint === undefined) {
    return { kind: 'refused', reason: 'malformed' };
  }
  if (checkpoint.origin !== log.name) return { kind: 'refused', reason: 'wrong-origin' };
  const verified = verifySignatures(note, [log, ...witnesses]);
  if (verified === undefined) return { kind: 'refused', reason: 'wrong-signature' };
  if (!verified.some(({ verifier }) => verifier === log)) {
    return { kind: 'refused', reason: 'unsigned' };
  }
  const cosignatures = verified.flatMap(({ verifier, timestampS }) =>
    timestampS === undefined ? [] : [{ witness: verifier.name, timestampS }],
  );
  return { kind: 'verified', checkpoint, cosignatures };
}
