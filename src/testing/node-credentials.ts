/**
 * What a node has after it has joined, without a gateway to join: for tests of whom it connects to, and of
 * how its certificate is renewed.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { systemRandom as random } from '../base/random.ts';
import { type Authority, issueNodeCertificate } from '../crypto/x509.ts';
import type { Credentials } from '../enforcer/uplink/uplink.ts';
import { parseName } from '../model/name.ts';

export interface CertificateLife {
  readonly trustDomain: string;
  readonly nowMs: number;
  readonly lifetimeMs: number;
}

const node = parseName('node-1');

/** Of the kind that `join.ts` makes. */
export function newNodeKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

/** A certificate for node-1 and this key, in PEM. */
export function nodeCertificate(
  authority: Authority,
  key: KeyObject,
  { trustDomain, nowMs, lifetimeMs }: CertificateLife,
): string {
  const publicKey = createPublicKey(key);
  const about = { trustDomain, nowMs, lifetimeMs, random, nodeName: node, publicKey };
  return issueNodeCertificate(authority, about).toString();
}

/** @param streamAddress - When left out, a port where nobody listens. */
export function nodeCredentials(
  authority: Authority,
  life: CertificateLife,
  streamAddress = '127.0.0.1:1',
): Credentials {
  const privateKey = newNodeKey();
  const certificatePem = nodeCertificate(authority, privateKey, life);
  return {
    node,
    streamAddress,
    trustDomain: life.trustDomain,
    privateKey,
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    certificatePem,
    certificate: new X509Certificate(certificatePem),
    authorityPem: authority.certificate.toString(),
    authority: authority.certificate,
  };
}
