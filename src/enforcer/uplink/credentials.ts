/**
 * Who this node is, on disk: its key, its certificate, the authority it trusts and the gateway it
 * joined. The only things that the enforcer stores; all of it is worthless once the node is revoked.
 *
 * Files are replaced by rename, so that a crash leaves the old or the new one.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { makeDirectory, writeDurably } from '../../base/files.ts';
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

/** @returns undefined if this node has not joined. */
export function loadCredentials(directory: string): Credentials | undefined {
  const read = (name: string): string | undefined => readIfThere(join(directory, name));
  const privateKeyPem = read('node.key');
  const certificatePem = read('node.crt');
  const authorityPem = read('authority.crt');
  const membership = read('node.json');
  if (!privateKeyPem || !certificatePem || !authorityPem || !membership) return undefined;
  const parsed = schema.parse(membershipSchema, JSON.parse(membership) as unknown, 'node.json');
  return readCredentials({ ...parsed, privateKeyPem, certificatePem, authorityPem });
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
  replaceFile(join(directory, 'node.key'), credentials.privateKeyPem);
  replaceFile(join(directory, 'authority.crt'), credentials.authorityPem);
  replaceFile(join(directory, 'node.json'), JSON.stringify({ node, streamAddress, trustDomain }));
  // Last: without it the node has not joined.
  replaceFile(join(directory, 'node.crt'), credentials.certificatePem);
}

export function saveCertificate(directory: string, certificatePem: string): void {
  replaceFile(join(directory, 'node.crt'), certificatePem);
}

export function replaceFile(path: string, content: string): void {
  writeDurably(path, content, 0o600);
}

export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
