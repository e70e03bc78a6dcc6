/**
 * The gateway's own certificates. The node port's lives in memory and is made anew at each unseal and
 * each day; the API's lies on disk, because the API must answer while the gateway is sealed.
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { systemErrorText, writeDurably } from '../base/files.ts';
import type { Random } from '../base/random.ts';
import { keyPin } from '../crypto/certificate-identity.ts';
import {
  type Authority,
  generateCertificateKey,
  issueGatewayCertificate,
  issueServerCertificate,
  makeAuthority,
} from '../crypto/x509.ts';
import { type Address, type GatewayConfig, textOf } from './config.ts';
import type { StreamCertificate } from './stream/stream.ts';

export interface CertificateSource {
  readonly clock: Clock;
  readonly random: Random;
}

export interface ApiCertificate {
  /** PEM chain, leaf first. */
  readonly certificate: string;
  readonly key: string;
  /** What a join token and a context pin: the authority's key, or that of a certificate of one's own. */
  readonly pin: string;
}

const dayMs = 24 * 3_600_000;
const apiLifetimeMs = 90 * dayMs;
const nodePortLifetimeMs = 7 * dayMs;

export function nodePortCertificate(
  authority: Authority,
  config: Pick<GatewayConfig, 'trustDomain' | 'nodeListen' | 'nodeAdvertise'>,
  { clock, random }: CertificateSource,
): StreamCertificate {
  const key = generateCertificateKey();
  const certificate = issueGatewayCertificate(authority, {
    publicKey: publicKeyOf(key),
    trustDomain: config.trustDomain,
    nowMs: clock.wallMs(),
    lifetimeMs: nodePortLifetimeMs,
    random,
    ...namesFor([config.nodeListen], config.nodeAdvertise),
  });
  return {
    certificate: certificate.toString(),
    privateKey: pemOf(key),
    authority: authority.certificate.toString(),
  };
}

/** The certificate of the installation's authority, for clients that are to trust it. */
export function authorityFile({ dataDirectory }: Pick<GatewayConfig, 'dataDirectory'>): string {
  return join(dataDirectory, 'ca.crt');
}

/**
 * Makes the API's certificate and stores it, key in mode 0600. A renewed one is for the key that is
 * there, so that a crash between two files never leaves two that do not fit.
 */
export function makeApiCertificate(
  authority: Authority,
  config: Pick<GatewayConfig, 'dataDirectory' | 'listen' | 'advertise'>,
  source: CertificateSource,
): ApiCertificate {
  const keyFile = join(config.dataDirectory, 'api.key');
  const known = keyIn(keyFile);
  const key = known ?? generateCertificateKey();
  const made = apiCertificate(authority, key, config, source);
  if (!known) writeDurably(keyFile, made.key, 0o600);
  writeDurably(join(config.dataDirectory, 'api.crt'), made.certificate, 0o644);
  writeDurably(authorityFile(config), authority.certificate.toString(), 0o644);
  return made;
}

/**
 * For a gateway that has no certificate and is sealed still, as after a restore: of an authority of its
 * own that nobody knows. Whoever unseals compares its pin, which the gateway logs.
 */
export function temporaryApiCertificate(
  config: Pick<GatewayConfig, 'listen' | 'advertise' | 'trustDomain'>,
  source: CertificateSource,
): ApiCertificate {
  const authority = makeAuthority({
    commonName: 'Cofferdam temporary authority',
    trustDomain: config.trustDomain,
    nowMs: source.clock.wallMs(),
    lifetimeMs: dayMs,
    random: source.random,
  });
  return apiCertificate(authority, generateCertificateKey(), config, source);
}

function apiCertificate(
  authority: Authority,
  key: KeyObject,
  config: Pick<GatewayConfig, 'listen' | 'advertise'>,
  { clock, random }: CertificateSource,
): ApiCertificate {
  const nowMs = clock.wallMs();
  const leaf = issueServerCertificate(authority, {
    publicKey: publicKeyOf(key),
    nowMs,
    lifetimeMs: Math.min(apiLifetimeMs, authority.certificate.validToDate.getTime() - nowMs),
    random,
    ...namesFor([config.listen], config.advertise),
  });
  const certificate = `${leaf.toString()}${authority.certificate.toString()}`;
  return { certificate, key: pemOf(key), pin: keyPin(authority.certificate) };
}

/** @returns undefined for none, and for what cannot be read as one. */
function keyIn(file: string): KeyObject | undefined {
  try {
    return createPrivateKey(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Whether the gateway's own certificate is gone, as after a restore; one of somebody else's never is. */
export function isApiCertificateMissing(
  config: Pick<GatewayConfig, 'dataDirectory' | 'tls'>,
): boolean {
  return !config.tls && !existsSync(join(config.dataDirectory, 'api.crt'));
}

type ApiCertificatePlace = Pick<GatewayConfig, 'dataDirectory' | 'tls'>;

function filesOf({ dataDirectory, tls }: ApiCertificatePlace) {
  return {
    certificateFile: tls?.certificateFile ?? join(dataDirectory, 'api.crt'),
    keyFile: tls?.keyFile ?? join(dataDirectory, 'api.key'),
  };
}

/** Another text once either file was changed or replaced, also by way of links. */
export function stampOf(config: ApiCertificatePlace): string {
  return Object.values(filesOf(config))
    .map((file) => statSync(file, { bigint: true, throwIfNoEntry: false }))
    .map((stat) => (stat ? `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}` : 'none'))
    .join(', ');
}

/** @throws Fault `gateway.certificate-unreadable`, also if they do not match */
export function loadApiCertificate(config: ApiCertificatePlace): ApiCertificate {
  const files = filesOf(config);
  let certificate: string;
  let key: string;
  try {
    certificate = readFileSync(files.certificateFile, 'utf8');
    key = readFileSync(files.keyFile, 'utf8');
  } catch (cause) {
    throw unusable(config, systemErrorText(cause), cause);
  }
  const chain =
    certificate.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  let leaf: X509Certificate;
  let last: X509Certificate;
  let matches: boolean;
  try {
    leaf = new X509Certificate(chain[0] ?? '');
    last = new X509Certificate(chain.at(-1) ?? '');
    matches = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw unusable(config, 'they are no certificate and key in PEM', cause);
  }
  if (!matches) throw unusable(config, 'they do not match');
  // Of our own chain the authority is pinned, which outlives its leaves; of a foreign one the leaf.
  return { certificate, key, pin: keyPin(config.tls ? leaf : last) };
}

export function unusable(config: ApiCertificatePlace, problem: string, cause?: unknown): Fault {
  const detail = { ...filesOf(config), problem };
  return new Fault('gateway.certificate-unreadable', detail, { cause });
}

/**
 * Whether less than a third of its life is left; or it has not begun, because the clock was ahead when it
 * was made and has been set right since: until then nobody would trust it.
 */
export function renewalIsDue(certificate: X509Certificate, nowMs: number): boolean {
  const { validFromDate, validToDate } = certificate;
  const [from, to] = [validFromDate.getTime(), validToDate.getTime()];
  return nowMs < from || nowMs > to - (to - from) / 3;
}

function namesFor(
  addresses: readonly Address[],
  advertised: string,
): { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] } {
  const hosts = new Set(['localhost', '127.0.0.1', hostname().toLowerCase()]);
  for (const address of [...addresses.map(textOf), advertised]) {
    const host = address.slice(0, address.lastIndexOf(':')).replaceAll(/^\[|\]$/g, '');
    if (host !== '' && host !== '0.0.0.0' && host !== '::') hosts.add(host);
  }
  const names = [...hosts];
  return {
    dnsNames: names.filter((name) => isIP(name) === 0 && /^[a-z0-9.-]+$/.test(name)),
    ipAddresses: names.filter((name) => isIP(name) !== 0),
  };
}

function publicKeyOf(privateKey: KeyObject): KeyObject {
  return createPublicKey(privateKey);
}

function pemOf(privateKey: KeyObject): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' });
}
