/**
 * What was seen of a gateway's audit log, per context: the log's key and the last checkpoint that was
 * verified. Whoever rewrites the log has to come by here, too.
 *
 * Promises: replaced only after everything about the new checkpoint was verified.
 */
import { Fault } from '../base/fault.ts';
import { parseJson } from '../base/json.ts';
import * as schema from '../base/schema.ts';
import { type Checkpoint, openCheckpoint } from '../crypto/checkpoint.ts';
import { verifyConsistency } from '../crypto/merkle-verify.ts';
import { decodeBase64, type NoteVerifier, parseVerifier } from '../crypto/note.ts';
import { usage } from './command-spec.ts';
import type { Given } from './given.ts';
import { auditMemoryFile } from './places.ts';
import { readPrivateFile, writePrivateFile } from './private-file.ts';
import type { Session } from './session.ts';

const memorySchema = schema.object({
  verifierKey: schema.string({ min: 1, max: 512 }),
  /** A signed note; empty before the first. */
  checkpoint: schema.string({ max: 65_536 }),
});
export type AuditMemory = schema.Infer<typeof memorySchema>;

/** @returns undefined at first sight, and where there is no context to remember for. */
export async function recallAudit(session: Session): Promise<AuditMemory | undefined> {
  const path = await memoryPath(session);
  const bytes = path === undefined ? undefined : await readPrivateFile(path, { secret: false });
  if (bytes === undefined) return undefined;
  return schema.parse(memorySchema, parseJson(bytes, path ?? 'audit memory'), path ?? '');
}

export async function rememberAudit(session: Session, memory: AuditMemory): Promise<boolean> {
  const path = await memoryPath(session);
  if (path === undefined) return false;
  await writePrivateFile(path, `${JSON.stringify(memory)}\n`);
  return true;
}

async function memoryPath(session: Session): Promise<string | undefined> {
  const { context } = await session.settings();
  return context.value === undefined ? undefined : auditMemoryFile(session.io.env, context.value);
}

/** `--key`, if it was given. @throws Fault `cli.usage` */
export function keyOption(given: Given): string | undefined {
  const key = given.text('key');
  if (key === undefined || parseVerifier(key)?.kind === 'note') return key;
  throw usage('--key must be a key as `coffer audit checkpoint -o json` shows it (verifierKey)');
}

/** @throws Fault `audit.unsigned` */
export function readVerifier(line: string): NoteVerifier {
  const verifier = parseVerifier(line);
  if (verifier?.kind !== 'note')
    throw new Fault('audit.unsigned', { problem: 'the key cannot be read' });
  return verifier;
}

/** @throws Fault `audit.unsigned` */
export function openSigned(note: string, verifier: NoteVerifier): Checkpoint {
  const opened = openCheckpoint(note, verifier);
  if (opened.kind === 'refused') throw new Fault('audit.unsigned', { problem: opened.reason });
  return opened.checkpoint;
}

/** Whether `next` begins with all of what `old` is the root of. */
export function isConsistent(
  old: { readonly size: number; readonly root: Uint8Array },
  next: Checkpoint,
  proof: readonly string[],
): boolean {
  const hashes = hashesOf(proof);
  if (hashes === undefined) return false;
  const { size: oldSize, root: oldRoot } = old;
  return verifyConsistency({ oldSize, oldRoot, size: next.size, root: next.root, proof: hashes });
}

/** @returns undefined if one is not base64. */
export function hashesOf(texts: readonly string[]): readonly Buffer[] | undefined {
  const hashes = texts.map(decodeBase64);
  return hashes.every((hash) => hash !== undefined) ? hashes : undefined;
}
