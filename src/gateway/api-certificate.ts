/**
 * The certificate that the API shows, over the gateway's life: loaded, or temporary until the store is
 * open. While running, our own is renewed under the same key and pin, and one of somebody else's is taken up
 * when its files change.
 */
import { X509Certificate } from 'node:crypto';
import { errorFields, type Log } from '../base/log.ts';
import type { Authority } from '../crypto/x509.ts';
import type { GatewayWeakening } from '../protocol/operations-system.ts';
import {
  type ApiCertificate,
  type CertificateSource,
  isApiCertificateMissing,
  loadApiCertificate,
  makeApiCertificate,
  renewalIsDue,
  stampOf,
  temporaryApiCertificate,
  unusable,
} from './certificates.ts';
import type { GatewayConfig } from './config.ts';

interface CertificateContext extends CertificateSource {
  readonly log: Log;
}

export class ApiCertificateKeeper {
  readonly #config: GatewayConfig;
  readonly #context: CertificateContext;
  #current: ApiCertificate;
  #leaf: X509Certificate;
  #isTemporary: boolean;
  /** Of the files that were looked at last. */
  #stamp: string;

  /** @throws Fault `gateway.certificate-unreadable` */
  constructor(config: GatewayConfig, context: CertificateContext) {
    this.#config = config;
    this.#context = context;
    this.#stamp = stampOf(config);
    this.#isTemporary = isApiCertificateMissing(config);
    this.#current = this.#isTemporary
      ? temporaryApiCertificate(config, context)
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

  /**
   * Makes the next one if it is time, or takes up files that have changed. While those cannot be used, what
   * is shown stays, and the log says so once for each change.
   *
   * @returns it, to be shown from now on; undefined if there is none
   */
  renew(authority: () => Authority): ApiCertificate | undefined {
    const next = this.#config.tls ? this.#changed() : this.#due(authority);
    if (!next) return undefined;
    this.#current = next;
    this.#leaf = new X509Certificate(next.certificate);
    this.#isTemporary = false;
    this.#context.log.info('gateway.api-certificate-renewed', { pin: next.pin });
    return next;
  }

  #due(authority: () => Authority): ApiCertificate | undefined {
    const { clock } = this.#context;
    const isDue = this.#isTemporary || renewalIsDue(this.#leaf, clock.wallMs());
    return isDue ? makeApiCertificate(authority(), this.#config, this.#context) : undefined;
  }

  #changed(): ApiCertificate | undefined {
    const stamp = stampOf(this.#config);
    if (stamp === this.#stamp) return undefined;
    this.#stamp = stamp;
    try {
      const found = loadApiCertificate(this.#config);
      if (found.certificate === this.#current.certificate) return undefined;
      // Somebody put back an old one, or a wrong one.
      const { validToDate } = new X509Certificate(found.certificate);
      if (this.#context.clock.wallMs() < validToDate.getTime()) return found;
      throw unusable(this.#config, 'the certificate has expired');
    } catch (error) {
      this.#context.log.error('gateway.api-certificate-kept', errorFields(error));
      return undefined;
    }
  }

  /** As codes, for `status`. */
  weakenings(): readonly GatewayWeakening[] {
    const leaf = this.#leaf;
    const found: GatewayWeakening[] = [];
    if (this.#isTemporary) found.push('api-certificate-temporary');
    // Of our own authority it is not: that is pinned. One of one's own that nobody vouches for cannot be
    // renewed without telling every client.
    if (leaf.checkIssued(leaf)) found.push('api-certificate-self-signed');
    if (this.#context.clock.wallMs() >= leaf.validToDate.getTime()) {
      found.push('api-certificate-expired');
    }
    return found;
  }
}
