/**
 * X.509 certificates of this installation: its authority, its gateway, its nodes (RFC 5280, SPIFFE
 * X.509-SVID). Certificates here come from a handful of fixed shapes, so they are written out
 * directly; OpenSSL reads every one back before it is returned.
 *
 * Promises
 *   - What stands in a certificate comes from the arguments alone, never from a request.
 *   - Leaves are no authorities, name exactly one SPIFFE id, and end no later than their authority.
 *
 * Time is passed in. Key pairs and ECDSA signatures draw on OpenSSL's own random source.
 * Who a certificate names is read by `certificate-identity.ts`.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import { assert } from '../base/assert.ts';
import type { Random } from '../base/random.ts';
import { isSegment } from '../base/segment.ts';
import { certificateKeyType, derSignatureAlgorithm, signDer } from './csr.ts';
import { der, derBitString, derInteger, derOid, derSequence, derTags, derTime } from './der.ts';

export interface Authority {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

export type SubjectAlternativeName =
  | { readonly kind: 'uri'; readonly value: string }
  | { readonly kind: 'dns'; readonly value: string }
  | { readonly kind: 'ip'; readonly value: string };

/** Everything that stands in a certificate. The issuing functions below fill it; tests misfill it. */
export interface CertificateContent {
  readonly commonName: string;
  readonly publicKey: KeyObject;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly isAuthority: boolean;
  readonly alternativeNames: readonly SubjectAlternativeName[];
  readonly extendedKeyUsages: readonly string[];
}

export const extendedKeyUsages = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** How far a node's clock may be behind ours before a new certificate looks not yet valid. */
export const clockSkewMs = 5 * 60_000;

/** A key pair for an authority, a gateway or a node: P-256, which every TLS 1.3 peer knows. */
export function generateCertificateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
}

/** Makes a new root: it may sign leaves only. */
export function makeAuthority(options: {
  readonly commonName: string;
  readonly trustDomain: string;
  readonly nowMs: number;
  readonly lifetimeMs: number;
  readonly random: Random;
}): Authority {
  const privateKey = generateCertificateKey();
  const content: CertificateContent = {
    commonName: options.commonName,
    publicKey: createPublicKey(privateKey),
    notBeforeMs: options.nowMs - clockSkewMs,
    notAfterMs: options.nowMs + options.lifetimeMs,
    isAuthority: true,
    alternativeNames: [{ kind: 'uri', value: spiffeId(options.trustDomain, '') }],
    extendedKeyUsages: [],
  };
  const issuer = { commonName: options.commonName, privateKey };
  const certificate = signCertificate(issuer, content, options.random);
  assert(certificate.ca && certificate.verify(content.publicKey), 'the authority signed itself');
  return { certificate, privateKey };
}

/** An authority out of storage; `undefined` if the bytes are none, or key and certificate differ. */
export function readAuthority(
  certificate: Uint8Array,
  privateKeyPkcs8: Uint8Array,
): Authority | undefined {
  try {
    const read = new X509Certificate(certificate);
    const key = { key: Buffer.from(privateKeyPkcs8), format: 'der', type: 'pkcs8' } as const;
    const privateKey = createPrivateKey(key);
    key.key.fill(0);
    return read.ca && read.checkPrivateKey(privateKey)
      ? { certificate: read, privateKey }
      : undefined;
  } catch {
    return undefined;
  }
}

interface LeafOptions {
  readonly publicKey: KeyObject;
  readonly trustDomain: string;
  readonly nowMs: number;
  readonly lifetimeMs: number;
  readonly random: Random;
}

/** The certificate of the gateway's node port: for TLS servers, `spiffe://<trust domain>/gateway`. */
export function issueGatewayCertificate(
  authority: Authority,
  options: LeafOptions & {
    readonly dnsNames: readonly string[];
    readonly ipAddresses: readonly string[];
  },
): X509Certificate {
  const { dnsNames, ipAddresses } = options;
  return issueLeaf(authority, options, {
    commonName: 'gateway',
    extendedKeyUsages: [extendedKeyUsages.serverAuth],
    alternativeNames: [
      { kind: 'uri', value: spiffeId(options.trustDomain, '/gateway') },
      ...dnsNames.map((value) => ({ kind: 'dns', value }) as const),
      ...ipAddresses.map((value) => ({ kind: 'ip', value }) as const),
    ],
  });
}

/**
 * The certificate of the port for people: for TLS servers, and without a SPIFFE id, so that whoever
 * steals it from the disk is not the gateway to any node.
 */
export function issueServerCertificate(
  authority: Authority,
  options: Omit<LeafOptions, 'trustDomain'> & {
    readonly dnsNames: readonly string[];
    readonly ipAddresses: readonly string[];
  },
): X509Certificate {
  return issueLeaf(authority, options, {
    commonName: 'gateway API',
    extendedKeyUsages: [extendedKeyUsages.serverAuth],
    alternativeNames: [
      ...options.dnsNames.map((value) => ({ kind: 'dns', value }) as const),
      ...options.ipAddresses.map((value) => ({ kind: 'ip', value }) as const),
    ],
  });
}

/**
 * The certificate of a node: for TLS clients, `spiffe://<trust domain>/node/<name>`.
 *
 * @param options.publicKey - From a request that `checkCsr` accepted.
 */
export function issueNodeCertificate(
  authority: Authority,
  options: LeafOptions & { readonly nodeName: string },
): X509Certificate {
  assert(isSegment(options.nodeName), 'a node name is one canonical segment');
  return issueLeaf(authority, options, {
    commonName: options.nodeName,
    extendedKeyUsages: [extendedKeyUsages.clientAuth],
    alternativeNames: [
      { kind: 'uri', value: spiffeId(options.trustDomain, `/node/${options.nodeName}`) },
    ],
  });
}

/** SPIFFE trust domains: lower-case, as in host names. */
export function isTrustDomain(text: string): boolean {
  return /^[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?$/.test(text) && !text.includes('..');
}

/** @param path - Empty, or with its leading slash. */
export function spiffeId(trustDomain: string, path: string): string {
  assert(isTrustDomain(trustDomain), 'a trust domain is lower-case and canonical');
  return `spiffe://${trustDomain}${path}`;
}

function issueLeaf(
  authority: Authority,
  options: Omit<LeafOptions, 'trustDomain'>,
  fixed: Pick<CertificateContent, 'commonName' | 'extendedKeyUsages' | 'alternativeNames'>,
): X509Certificate {
  assert(options.lifetimeMs > 0, 'certificates live for some time');
  const content: CertificateContent = {
    ...fixed,
    publicKey: options.publicKey,
    notBeforeMs: options.nowMs - clockSkewMs,
    notAfterMs: Math.min(
      options.nowMs + options.lifetimeMs,
      authority.certificate.validToDate.getTime(),
    ),
    isAuthority: false,
  };
  const issuer = {
    commonName: commonNameOf(authority.certificate),
    privateKey: authority.privateKey,
    certificate: authority.certificate,
  };
  const certificate = signCertificate(issuer, content, options.random);
  assert(certificate.checkIssued(authority.certificate), 'the authority is the issuer');
  assert(certificate.verify(authority.certificate.publicKey), 'the authority signed it');
  assert(!certificate.ca, 'a leaf is no authority');
  return certificate;
}

/** Signs whatever it is told to. For the functions above, and for tests that need bad certificates. */
export function signCertificate(
  issuer: {
    readonly commonName: string;
    readonly privateKey: KeyObject;
    /** Not of a certificate that signs itself. */
    readonly certificate?: X509Certificate;
  },
  content: CertificateContent,
  random: Random,
): X509Certificate {
  assert(certificateKeyType(content.publicKey) !== undefined, 'the key is P-256 or Ed25519');
  const issuerKey = issuer.certificate?.publicKey ?? content.publicKey;
  const toBeSigned = derSequence(
    der(0xa0, derInteger(Buffer.of(2))), // version 3
    derInteger(serialNumber(random)),
    derSignatureAlgorithm(issuer.privateKey),
    derName(issuer.commonName),
    derSequence(derTime(content.notBeforeMs), derTime(content.notAfterMs)),
    derName(content.commonName),
    content.publicKey.export({ format: 'der', type: 'spki' }),
    der(0xa3, derSequence(...extensionsOf(content, issuerKey))),
  );
  const { algorithm, signature } = signDer(toBeSigned, issuer.privateKey);
  return new X509Certificate(derSequence(toBeSigned, algorithm, derBitString(signature)));
}

function extensionsOf(content: CertificateContent, issuerKey: KeyObject): Buffer[] {
  const { isAuthority, alternativeNames, extendedKeyUsages: usages } = content;
  const yes = der(derTags.boolean, Buffer.of(0xff));
  const extension = (oid: string, critical: boolean, value: Buffer): Buffer =>
    derSequence(derOid(oid), ...(critical ? [yes] : []), der(derTags.octetString, value));
  // A path length of 0: authorities sign leaves, and leaves sign nothing.
  const constraints = isAuthority ? derSequence(yes, derInteger(Buffer.of(0))) : derSequence();
  // Bits from the left: 0 digitalSignature, 5 keyCertSign, 6 cRLSign.
  const keyUsage = isAuthority
    ? derBitString(Buffer.of(0x06), 1)
    : derBitString(Buffer.of(0x80), 7);
  const list = [
    extension('2.5.29.19', true, constraints),
    extension('2.5.29.15', true, keyUsage),
    extension('2.5.29.14', false, der(derTags.octetString, keyIdentifier(content.publicKey))),
    extension('2.5.29.35', false, derSequence(der(0x80, keyIdentifier(issuerKey)))),
  ];
  if (usages.length > 0) {
    list.push(extension('2.5.29.37', false, derSequence(...usages.map((usage) => derOid(usage)))));
  }
  if (alternativeNames.length > 0) {
    list.push(extension('2.5.29.17', false, derSequence(...alternativeNames.map(derGeneralName))));
  }
  return list;
}

function derGeneralName(name: SubjectAlternativeName): Buffer {
  if (name.kind === 'ip') return der(0x87, addressBytes(name.value));
  // oxlint-disable-next-line no-control-regex -- IA5 is all of ASCII, and no more
  assert(/^[\u0001-\u007f]+$/.test(name.value), 'names in certificates are ASCII');
  return der(name.kind === 'uri' ? 0x86 : 0x82, Buffer.from(name.value, 'latin1'));
}

function addressBytes(address: string): Buffer {
  const family = isIP(address);
  assert(family !== 0 && !address.includes('%'), 'an IP address without a zone');
  if (family === 4) return Buffer.from(address.split('.').map(Number));
  // A URL's host is spelt canonically: groups in hexadecimal, at most one `::`, no dotted part.
  const [left = '', right] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groupsOf = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const before = groupsOf(left);
  const after = groupsOf(right ?? '');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  const result = Buffer.alloc(16);
  for (const [index, group] of [...before, ...zeros, ...after].entries()) {
    result.writeUInt16BE(group, 2 * index);
  }
  return result;
}

function derName(commonName: string): Buffer {
  assert(commonName.length > 0 && commonName.length <= 64, 'a common name has 1 … 64 characters');
  const value = der(derTags.utf8String, Buffer.from(commonName, 'utf8'));
  return derSequence(der(derTags.set, derSequence(derOid('2.5.4.3'), value)));
}

function commonNameOf(certificate: X509Certificate): string {
  const [, name] = /^CN=([^\n]+)$/.exec(certificate.subject) ?? [];
  assert(name !== undefined, 'an authority of ours is named by its common name alone');
  return name;
}

/** 128 bits, the first two fixed, so that the number is positive and never shorter. */
function serialNumber(random: Random): Buffer {
  const serial = random.bytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** RFC 7093, method 4, cut to the customary 160 bits. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  return hash('sha256', spki, 'buffer').subarray(0, 20);
}
