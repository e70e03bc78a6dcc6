/**
 * Signed notes (https://c2sp.org/signed-note): text with Ed25519 signature lines, as audit
 * checkpoints travel. Two kinds of key: a note key signs the text itself; a cosignature key
 * (https://c2sp.org/tlog-cosignature, v1) states that it saw the text's tree at a time.
 *
 * Promises
 *   - `openNote` accepts only if every signature of a given key verifies and one is there.
 *   - There is one spelling of every note and key: what decodes is what encodes.
 */
import {
  createPublicKey,
  hash,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import { assert } from '../base/assert.ts';

/** What signature lines of a key mean. The number is C2SP's signature type. */
export const noteKeyKinds = { note: 0x01, cosignature: 0x04 } as const;
export type NoteKeyKind = keyof typeof noteKeyKinds;

export interface NoteVerifier {
  readonly kind: NoteKeyKind;
  readonly name: string;
  /** 8 hexadecimal digits. A hint to find the key, no proof of anything. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
}

export interface NoteSigner extends NoteVerifier {
  readonly privateKey: KeyObject;
}

export interface NoteSignature {
  readonly name: string;
  readonly keyId: string;
  readonly bytes: Buffer;
}

export interface Note {
  /** Ends in a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export interface VerifiedSignature {
  readonly verifier: NoteVerifier;
  /** Of cosignatures: when the witness says it saw the tree, in seconds since the epoch. */
  readonly timestampS: number | undefined;
}

/** A note with more signatures or bytes than this is refused unread. */
const signaturesMax = 64;
const noteCharsMax = 64 * 1024;
const signatureBytes = 64;

/** @param name - Not empty, no white space, no plus sign; by custom a URL without a scheme. */
export function noteVerifier(kind: NoteKeyKind, name: string, publicKey: KeyObject): NoteVerifier {
  assert(isKeyName(name), 'a note key name has no white space and no plus sign');
  const raw = rawPublicKey(publicKey);
  const keyId = keyIdOf(kind, name, raw);
  return { kind, name, keyId, publicKey };
}

/** @param privateKey - Ed25519. */
export function noteSigner(kind: NoteKeyKind, name: string, privateKey: KeyObject): NoteSigner {
  return { ...noteVerifier(kind, name, createPublicKey(privateKey)), privateKey };
}

/** The key as one line: `<name>+<key id>+<base64>`. People compare and configure these. */
export function formatVerifier(verifier: NoteVerifier): string {
  const bytes = Buffer.concat([
    Buffer.of(noteKeyKinds[verifier.kind]),
    rawPublicKey(verifier.publicKey),
  ]);
  return `${verifier.name}+${verifier.keyId}+${bytes.toString('base64')}`;
}

/** Reads `formatVerifier`'s line; `undefined` if it is not exactly one. */
export function parseVerifier(line: string): NoteVerifier | undefined {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(line);
  const [, name, keyId, base64] = match ?? [];
  if (name === undefined || keyId === undefined || base64 === undefined) return undefined;
  const bytes = decodeBase64(base64);
  if (bytes?.length !== 33 || !isKeyName(name)) return undefined;
  const kind = bytes[0] === noteKeyKinds.note ? 'note' : 'cosignature';
  const raw = bytes.subarray(1);
  if (bytes[0] !== noteKeyKinds[kind] || keyIdOf(kind, name, raw) !== keyId) return undefined;
  const key = { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') };
  return { kind, name, keyId, publicKey: createPublicKey({ key, format: 'jwk' }) };
}

/** Signs `text` with a note key: the whole signature line, newline included. */
export function signNote(text: string, signer: NoteSigner): string {
  assert(signer.kind === 'note', 'a note key signs notes');
  assert(isNoteText(text), 'note text ends in a newline and has no control characters');
  const signature = signBytes(null, Buffer.from(text, 'utf8'), signer.privateKey);
  return formatSignature({ ...signer, bytes: signature });
}

/**
 * Cosigns `text`: the whole signature line. The caller has checked what it states, that this is the
 * largest tree of this log it has ever seen and consistent with all before.
 */
export function cosignNote(text: string, signer: NoteSigner, timestampS: number): string {
  assert(signer.kind === 'cosignature', 'a cosignature key cosigns');
  assert(isNoteText(text), 'note text ends in a newline and has no control characters');
  assert(Number.isSafeInteger(timestampS) && timestampS > 0, 'a time in whole seconds');
  const timestamp = Buffer.alloc(8);
  timestamp.writeBigUInt64BE(BigInt(timestampS));
  const signature = signBytes(null, cosignedMessage(text, timestampS), signer.privateKey);
  return formatSignature({ ...signer, bytes: Buffer.concat([timestamp, signature]) });
}

/** One whole signature line, newline included. */
export function formatSignature(signature: NoteSignature): string {
  const bytes = Buffer.concat([Buffer.from(signature.keyId, 'hex'), signature.bytes]);
  return `— ${signature.name} ${bytes.toString('base64')}\n`;
}

/** Joins a text and whole signature lines. */
export function formatNote(text: string, signatureLines: readonly string[]): string {
  assert(isNoteText(text), 'note text ends in a newline and has no control characters');
  return `${text}\n${signatureLines.join('')}`;
}

/** Takes a note apart; verifies nothing. `undefined` if it is not well formed. */
export function parseNote(note: string): Note | undefined {
  if (note.length > noteCharsMax || !note.isWellFormed()) return undefined;
  const separator = note.lastIndexOf('\n\n');
  if (separator < 0) return undefined;
  const text = note.slice(0, separator + 1);
  const lines = note.slice(separator + 2).split('\n');
  if (lines.pop() !== '' || lines.length === 0 || lines.length > signaturesMax) return undefined;
  if (!isNoteText(text)) return undefined;
  const signatures: NoteSignature[] = [];
  for (const line of lines) {
    const [, name, base64] = /^— (\S+) ([A-Za-z0-9+/=]+)$/u.exec(line) ?? [];
    const bytes = base64 === undefined ? undefined : decodeBase64(base64);
    if (name === undefined || !isKeyName(name) || bytes === undefined) return undefined;
    if (bytes.length < 5) return undefined;
    signatures.push({
      name,
      keyId: bytes.subarray(0, 4).toString('hex'),
      bytes: bytes.subarray(4),
    });
  }
  return { text, signatures };
}

/**
 * Verifies a note's signatures against the keys one knows. Signatures of other keys are ignored; a
 * wrong signature of a known key refuses the note as a whole.
 *
 * @returns One row per known key that signed, in the order of `verifiers`; `undefined` if a known
 *   key's signature is wrong or repeated.
 */
export function verifySignatures(
  note: Note,
  verifiers: readonly NoteVerifier[],
): VerifiedSignature[] | undefined {
  const verified: VerifiedSignature[] = [];
  for (const verifier of verifiers) {
    const own = note.signatures.filter(
      (signature) => signature.name === verifier.name && signature.keyId === verifier.keyId,
    );
    const [signature] = own;
    if (signature === undefined) continue;
    if (own.length > 1) return undefined;
    const timestampS = verifyOne(note.text, signature.bytes, verifier);
    if (timestampS === false) return undefined;
    verified.push({ verifier, timestampS });
  }
  return verified;
}

/** Strict standard base64: padded, nothing over, no stray bits. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

function verifyOne(
  text: string,
  bytes: Buffer,
  verifier: NoteVerifier,
): number | undefined | false {
  if (verifier.kind === 'note') {
    if (bytes.length !== signatureBytes) return false;
    const valid = verifyBytes(null, Buffer.from(text, 'utf8'), verifier.publicKey, bytes);
    return valid ? undefined : false;
  }
  if (bytes.length !== 8 + signatureBytes) return false;
  const timestampS = Number(bytes.readBigUInt64BE(0));
  if (!Number.isSafeInteger(timestampS)) return false;
  const message = cosignedMessage(text, timestampS);
  return verifyBytes(null, message, verifier.publicKey, bytes.subarray(8)) ? timestampS : false;
}

function cosignedMessage(text: string, timestampS: number): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${timestampS}\n${text}`, 'utf8');
}

function keyIdOf(kind: NoteKeyKind, name: string, rawKey: Uint8Array): string {
  const bytes = Buffer.concat([
    Buffer.from(`${name}\n`, 'utf8'),
    Buffer.of(noteKeyKinds[kind]),
    rawKey,
  ]);
  return hash('sha256', bytes, 'hex').slice(0, 8);
}

function rawPublicKey(key: KeyObject): Buffer {
  assert(key.asymmetricKeyType === 'ed25519' && key.type === 'public', 'an Ed25519 public key');
  return Buffer.from(String(key.export({ format: 'jwk' }).x), 'base64url');
}

function isKeyName(name: string): boolean {
  return /^[^\s+\p{Cc}]{1,256}$/u.test(name);
}

function isNoteText(text: string): boolean {
  if (!text.endsWith('\n') || !text.isWellFormed()) return false;
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) < 0x20 && text[index] !== '\n') return false;
  }
  return true;
}
