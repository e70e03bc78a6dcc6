/**
 * Who this node is, on disk: its key, its certificate, the authority it trusts and the gateway it
 * joined. The only things that the enforcer stores; all of it is worthless once the node is revoked.
 *
 * Promises
 *   - Each file is replaced as a whole, durably. Joining removes the certificate first and writes the new one
 *     last: whatever interrupts it, the node has joined or it has not.
 *   - What is loaded belongs together. What does not, or cannot be read, is named as damaged; joining again
 *     replaces it.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { makeDirectory, removeDurably, writeDurably } from '../../base/files.ts';
import * as schema from '../../base/schema.ts';
import { nameSchema } from '../../model/group.ts';

const membershipSchema = schema.object({
  node: nameSchema,
  /** `host:port` of the gateway's node port. */
  streamAddress: schema.string({ min: 3, max: 512 }),
  trustDomain: schema.string({ min: 1, max: 255 }),
});

export type Membership = schema.Infer<typeof membershipSchema>;

export interface Credentials extends Membership {
  readonly privateKey: KeyObject;
  /** PEM. */
  readonly privateKeyPem: string;
  readonly certificatePem: string;
  readonly certificate: X509Certificate;
  readonly authorityPem: string;
  readonly authority: X509Certificate;
}

export type NewCredentials = Membership &
  Pick<Credentials, 'privateKeyPem' | 'certificatePem' | 'authorityPem'>;

/** Creates the directory if need be. @throws Fault `enforcer.state-unsafe` */
export function openStateDirectory(directory: string): void {
  try {
    makeDirectory(directory, 0o700);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault('enforcer.state-unsafe', { directory, reason: code }, { cause });
  }
  const status = lstatSync(directory);
  const sound =
    status.isDirectory() && status.uid === process.getuid?.() && (status.mode & 0o077) === 0;
  if (!sound) throw new Fault('enforcer.state-unsafe', { directory });
}

/**
 * @returns undefined if this node has not joined.
 * @throws Fault `enforcer.state-damaged`, naming the file
 */
export function loadCredentials(directory: string): Credentials | undefined {
  if (!hasJoined(directory)) return undefined;
  const load = <T>(name: string, parse: (text: string) => T): T => {
    const path = join(directory, name);
    return parseState(path, parse) ?? damaged(path, 'it is missing');
  };
  const credentials = {
    ...load('node.json', (text) => schema.parse(membershipSchema, JSON.parse(text), 'node.json')),
    ...load('node.key', (pem) => ({ privateKeyPem: pem, privateKey: createPrivateKey(pem) })),
    ...load('node.crt', (pem) => ({ certificatePem: pem, certificate: new X509Certificate(pem) })),
    ...load('authority.crt', (pem) => ({
      authorityPem: pem,
      authority: new X509Certificate(pem),
    })),
  };
  const { privateKey, certificate, authority } = credentials;
  if (!certificate.checkPrivateKey(privateKey))
    damaged(join(directory, 'node.key'), 'it is not the key of node.crt');
  if (!certificate.verify(authority.publicKey))
    damaged(join(directory, 'node.crt'), 'authority.crt did not sign it');
  return credentials;
}

/** Whether a join was completed here: its certificate is written last. */
export function hasJoined(directory: string): boolean {
  return existsSync(join(directory, 'node.crt'));
}

export function readCredentials(parts: NewCredentials): Credentials {
  return {
    ...parts,
    privateKey: createPrivateKey(parts.privateKeyPem),
    certificate: new X509Certificate(parts.certificatePem),
    authority: new X509Certificate(parts.authorityPem),
  };
}

export function saveCredentials(directory: string, credentials: NewCredentials): void {
  const { node, streamAddress, trustDomain } = credentials;
  const save = (name: string, content: string | undefined): void =>
    writeState(join(directory, name), content);
  // First: an earlier one is for an earlier key.
  save('node.crt', undefined);
  save('node.key', credentials.privateKeyPem);
  save('authority.crt', credentials.authorityPem);
  save('node.json', JSON.stringify({ node, streamAddress, trustDomain }));
  // Last: see `hasJoined`.
  save('node.crt', credentials.certificatePem);
}

export function saveCertificate(directory: string, certificatePem: string): void {
  writeState(join(directory, 'node.crt'), certificatePem);
}

/** Replaces a file of the state directory, or removes it. Durable when it returns. */
export function writeState(path: string, content: string | undefined): void {
  if (content === undefined) removeDurably(path);
  else writeDurably(path, content, 0o600);
}

/**
 * @returns What `parse` makes of a file of the state directory; undefined if there is none.
 * @throws Fault `enforcer.state-damaged`
 */
export function parseState<T>(path: string, parse: (text: string) => T): T | undefined {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    return damaged(path, syscall === undefined ? 'its content makes no sense' : code, cause);
  }
}

function damaged(file: string, reason: string | undefined, cause?: unknown): never {
  throw new Fault('enforcer.state-damaged', { file, reason }, { cause });
}
