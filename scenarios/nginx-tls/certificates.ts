/** A little authority, and the certificates of a shop that it issues: each with its own key and serial. */
import { createPublicKey, type X509Certificate } from 'node:crypto';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import {
  type Authority,
  generateCertificateKey,
  issueServerCertificate,
  makeAuthority,
} from '../../src/crypto/x509.ts';

export const host = 'shop.example';

export interface Issued {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly serial: string;
}

const dayMs = 24 * 3_600_000;

export class ShopAuthority {
  readonly #authority: Authority = makeAuthority({
    commonName: 'Shop CA',
    trustDomain: host,
    nowMs: systemClock.wallMs(),
    lifetimeMs: 30 * dayMs,
    random: systemRandom,
  });

  get certificate(): X509Certificate {
    return this.#authority.certificate;
  }

  issue(): Issued {
    const key = generateCertificateKey();
    const leaf = issueServerCertificate(this.#authority, {
      publicKey: createPublicKey(key),
      nowMs: systemClock.wallMs(),
      lifetimeMs: dayMs,
      random: systemRandom,
      dnsNames: [host],
      ipAddresses: [],
    });
    return {
      certificate: leaf.toString(),
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      serial: leaf.serialNumber,
    };
  }
}
