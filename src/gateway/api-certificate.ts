/**
 * The certificate that the API shows, over the gateway's life: loaded, or temporary until the store is
 * open; renewed while running, under the same key and pin.
 */
import { X509Certificate } from 'node:crypto';
import type { Authority } from '../crypto/x509.ts';
import type { GatewayWeakening } from '../protocol/operations-system.ts';
import {
  type ApiCertificate,
  type CertificateSource,
  isApiCertificateMissing,
  loadApiCertificate,
  makeApiCertificate,
  renewalIsDue,
  temporaryApiCertificate,
} from './certificates.ts';
import type { GatewayConfig } from './config.ts';

export class ApiCertificateKeeper {
  readonly #config: GatewayConfig;
  readonly #source: CertificateSource;
  #current: ApiCertificate;
  #leaf: X509Certificate;
  #isTemporary: boolean;

  /** @throws Fault `gateway.certificate-unreadable` */
  constructor(config: GatewayConfig, source: CertificateSource) {
    this.#config = config;
    this.#source = source;
    this.#isTemporary = isApiCertificateMissing(config);
    this.#current = this.#isTemporary
      ? temporaryApiCertificate(config, source)
      : loadApiCertificate(config);
    this.#leaf = new X509Certificate(this.#current.certificate);
  }

  get current(): ApiCertificate {
    return this.#current;
  }

  /** Of an authority that nobody knows: there was none, and the store is sealed still. */
  get isTemporary(): boolean {
    return this.#isTemporary;
  }

  /** Makes the next one if it is time. @returns it, to be shown from now on; undefined if it is not time */
  renew(authority: () => Authority): ApiCertificate | undefined {
    if (this.#config.tls) return undefined;
    if (!this.#isTemporary && !renewalIsDue(this.#leaf, this.#source.clock.wallMs())) {
      return undefined;
    }
    this.#current = makeApiCertificate(authority(), this.#config, this.#source);
    this.#leaf = new X509Certificate(this.#current.certificate);
    this.#isTemporary = false;
    return this.#current;
  }

  /** As codes, for `status`. */
  weakenings(): readonly GatewayWeakening[] {
    const leaf = this.#leaf;
    const found: GatewayWeakening[] = [];
    if (this.#isTemporary) found.push('api-certificate-temporary');
    // Of our own authority it is not: that is pinned. One of one's own that nobody vouches for cannot be
    // renewed without telling every client.
    if (leaf.checkIssued(leaf)) found.push('api-certificate-self-signed');
    if (this.#source.clock.wallMs() >= leaf.validToDate.getTime()) {
      found.push('api-certificate-expired');
    }
    return found;
  }
}
