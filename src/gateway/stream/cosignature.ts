/** Whether a node's answer to a checkpoint is its own: a cosignature by the key that its certificate is for. */
import type { KeyObject } from 'node:crypto';
import {
  formatVerifier,
  noteVerifier,
  parseNote,
  parseVerifier,
  verifySignatures,
} from '../../crypto/note.ts';

/**
 * A node's key as a witness, as one line: a session may last for months, and a line is small. Empty for
 * a key that cannot cosign, which then never does.
 */
export function witnessKeyOf(node: string, publicKey: KeyObject): string {
  if (publicKey.asymmetricKeyType !== 'ed25519') return '';
  return formatVerifier(noteVerifier('cosignature', `node/${node}`, publicKey));
}

/** @param checkpoint - The note that was shown. @param line - One signature line, newline included. */
export function isCosigned(checkpoint: string, line: string, witnessKey: string): boolean {
  const verifier = parseVerifier(witnessKey);
  const shown = parseNote(checkpoint);
  const cosigned = shown && parseNote(`${shown.text}\n${line}`);
  if (!verifier || cosigned?.text !== shown?.text) return false;
  if (cosigned?.signatures.length !== 1) return false;
  return verifySignatures(cosigned, [verifier])?.length === 1;
}
