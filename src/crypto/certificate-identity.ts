/**
 * Who a peer's certificate says it is. TLS has checked the chain already; here it is checked again,
 * with everything TLS does not look at, and the name is read in its one spelling (V17).
 *
 * Light on purpose: both programs ask it on every connection.
 */
import { hash, type KeyObject, type X509Certificate } from 'node:crypto';
import { isSegment } from '../base/segment.ts';
import { extendedKeyUsages, isTrustDomain, spiffeId } from './x509.ts';

export type IdentityRefusal =
  | 'other-authority'
  | 'not-yet-valid'
  | 'expired'
  | 'is-authority'
  | 'wrong-usage'
  | 'wrong-names'
  | 'other-trust-domain'
  | 'wrong-id';

export interface IdentityContext {
  /** The installation's authority; whatever it did not sign is refused. */
  readonly authority: X509Certificate;
  readonly trustDomain: string;
  readonly nowMs: number;
}

export type NodeIdentity =
  | { readonly kind: 'node'; readonly name: string }
  | { readonly kind: 'refused'; readonly reason: IdentityRefusal };

export type GatewayIdentity =
  | { readonly kind: 'gateway' }
  | { readonly kind: 'refused'; readonly reason: IdentityRefusal };

/** The node that a client certificate names, or why it names none. */
export function readNodeIdentity(
  certificate: X509Certificate,
  context: IdentityContext,
): NodeIdentity {
  const problem = checkLeaf(certificate, extendedKeyUsages.clientAuth, context);
  if (problem !== undefined) return { kind: 'refused', reason: problem };
  const names = namesOf(certificate);
  const [id] = names;
  if (id === undefined || names.length !== 1) return { kind: 'refused', reason: 'wrong-names' };
  const path = pathOf(id, context.trustDomain);
  if (path === undefined) return { kind: 'refused', reason: 'other-trust-domain' };
  const [, name] = /^\/node\/([^/]+)$/.exec(path) ?? [];
  return name !== undefined && isSegment(name)
    ? { kind: 'node', name }
    : { kind: 'refused', reason: 'wrong-id' };
}

/** Whether a server certificate is this installation's gateway. Host names are TLS's to check. */
export function readGatewayIdentity(
  certificate: X509Certificate,
  context: IdentityContext,
): GatewayIdentity {
  const problem = checkLeaf(certificate, extendedKeyUsages.serverAuth, context);
  if (problem !== undefined) return { kind: 'refused', reason: problem };
  const uris = namesOf(certificate).filter((name) => name.startsWith('URI:'));
  const [id] = uris;
  if (id === undefined || uris.length !== 1) return { kind: 'refused', reason: 'wrong-names' };
  const path = pathOf(id, context.trustDomain);
  if (path === undefined) return { kind: 'refused', reason: 'other-trust-domain' };
  return path === '/gateway' ? { kind: 'gateway' } : { kind: 'refused', reason: 'wrong-id' };
}

/** A host name that a server's certificate is for; undefined if it has addresses alone. */
export function hostNameOf(certificate: X509Certificate): string | undefined {
  const name = namesOf(certificate).find((one) => /^DNS:[a-z0-9.-]+$/i.test(one));
  return name?.slice('DNS:'.length);
}

/** A key's fingerprint as people compare and configure it: `sha256:` and 64 hexadecimal digits. */
export function keyPin(key: X509Certificate | KeyObject): string {
  const publicKey = 'publicKey' in key ? key.publicKey : key;
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  return `sha256:${hash('sha256', spki, 'hex')}`;
}

function checkLeaf(
  certificate: X509Certificate,
  usage: string,
  context: IdentityContext,
): IdentityRefusal | undefined {
  const { authority, nowMs } = context;
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) {
    return 'other-authority';
  }
  if (nowMs < certificate.validFromDate.getTime()) return 'not-yet-valid';
  if (nowMs > Math.min(certificate.validToDate.getTime(), authority.validToDate.getTime())) {
    return 'expired';
  }
  if (certificate.ca) return 'is-authority';
  const usages: readonly string[] = certificate.keyUsage ?? [];
  return usages.length === 1 && usages[0] === usage ? undefined : 'wrong-usage';
}

/** Whose nodes this authority speaks for; `undefined` if it says none. */
export function authorityTrustDomain(authority: X509Certificate): string | undefined {
  const names = namesOf(authority);
  const [, domain] = /^URI:spiffe:\/\/([^/]+)$/.exec(names[0] ?? '') ?? [];
  return names.length === 1 && domain !== undefined && isTrustDomain(domain) ? domain : undefined;
}

/** As OpenSSL prints them; names with characters that it has to quote are not ours. */
function namesOf(certificate: X509Certificate): string[] {
  const names = certificate.subjectAltName ?? '';
  return names === '' || names.includes('"') ? [] : names.split(', ');
}

function pathOf(name: string, trustDomain: string): string | undefined {
  if (!isTrustDomain(trustDomain)) return undefined;
  const start = `URI:${spiffeId(trustDomain, '/')}`;
  return name.startsWith(start) ? name.slice(start.length - 1) : undefined;
}
