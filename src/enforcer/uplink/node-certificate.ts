/**
 * This node's certificate in time: the one that is shown, when the next is asked for, and what is done
 * when that is refused.
 *
 * Promises
 *   - The next one is asked for two thirds through the life of this one, for the same key; a request that
 *     is refused, or not answered, is repeated with growing pauses and costs nothing else.
 *   - One that came is shown from then on, also when it cannot be stored; storing is tried again.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { codeOf } from '../../base/fault.ts';
import { errorFields, type Log } from '../../base/log.ts';
import { makeCsr } from '../../crypto/csr.ts';
import { clockSkewMs } from '../../crypto/x509.ts';
import type { Credentials } from './credentials.ts';
import { pem } from './join.ts';

export interface NodeCertificateOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly credentials: Credentials;
  /** Durable when it returns. */
  readonly save: (certificatePem: string) => void;
}

/** The wall clock may be set, and the machine may sleep: what is due is looked up this often. */
const lookEveryMsMax = 60_000;
const lookEveryMsMin = 1000;
const pauseMsFirst = 30_000;
const pauseMsMax = 10 * 60_000;
/** Of what is left of its life, so that one with a short life is not waited to death. */
const pauseShare = 10;

export class NodeCertificate {
  readonly #options: NodeCertificateOptions;
  #credentials: Credentials;
  /** Wall clock. */
  #dueAtMs: number;
  /** Monotonic clock. */
  #againAtMs = 0;
  /** Requests in a row that brought nothing. */
  #failures = 0;
  #isStored = true;

  constructor(options: NodeCertificateOptions) {
    this.#options = options;
    this.#credentials = options.credentials;
    this.#dueAtMs = dueAtMs(options.credentials.certificate);
  }

  /** Asked anew for each connection. */
  get credentials(): Credentials {
    return this.#credentials;
  }

  /** @param ask - Sends a request on whatever stream there is; false where there is none. */
  async keep(signal: AbortSignal, ask: (request: string) => boolean): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const leftMs = this.#dueAtMs - clock.wallMs();
      const lookMs = Math.min(Math.max(leftMs, lookEveryMsMin), lookEveryMsMax);
      await clock.sleep(lookMs, signal).catch(() => {});
      if (!signal.aborted) this.look(ask);
    }
  }

  /** What `keep` does each time. */
  look(ask: (request: string) => boolean): void {
    if (!this.#isStored) this.#store();
    const { clock } = this.#options;
    const isDue = this.#dueAtMs <= clock.wallMs() && this.#againAtMs <= clock.monotonicMs();
    if (!isDue || !ask(pem('CERTIFICATE REQUEST', makeCsr(this.#credentials.privateKey)))) return;
    this.#againAtMs = clock.monotonicMs() + this.#pauseMs();
    this.#failures += 1;
  }

  renewed(certificatePem: string): void {
    const { log } = this.#options;
    try {
      const certificate = new X509Certificate(certificatePem);
      if (!certificate.checkPrivateKey(this.#credentials.privateKey)) {
        log.error('certificate.wrong-key');
        return;
      }
      this.#credentials = { ...this.#credentials, certificatePem, certificate };
      this.#dueAtMs = dueAtMs(certificate);
      this.#failures = 0;
      this.#againAtMs = 0;
      log.info('certificate.renewed', { ends: certificate.validToDate.toISOString() });
      this.#store();
    } catch (error) {
      log.error('certificate.unreadable', errorFields(error));
    }
  }

  /** The gateway did not renew it now: its store may be read-only, or it thinks otherwise of our key. */
  refused(code: string): void {
    const { clock, log } = this.#options;
    const againInS = Math.ceil(Math.max(0, this.#againAtMs - clock.monotonicMs()) / 1000);
    const ends = this.#credentials.certificate.validToDate.toISOString();
    log.warn('node.not-renewed', { code, againInS, ends });
  }

  #store(): void {
    try {
      this.#options.save(this.#credentials.certificatePem);
      this.#isStored = true;
    } catch (error) {
      if (this.#isStored) this.#options.log.error('certificate.not-stored', storeFields(error));
      this.#isStored = false;
    }
  }

  #pauseMs(): number {
    const leftMs =
      this.#credentials.certificate.validToDate.getTime() - this.#options.clock.wallMs();
    const pauseMs = Math.min(pauseMsFirst * 2 ** this.#failures, pauseMsMax);
    return leftMs > 0 ? Math.min(pauseMs, Math.max(leftMs / pauseShare, lookEveryMsMin)) : pauseMs;
  }
}

/** Two thirds through its life; its beginning is set back, for those whose clock is behind. */
function dueAtMs({ validFromDate, validToDate }: X509Certificate): number {
  const fromMs = validFromDate.getTime() + clockSkewMs;
  return fromMs + ((validToDate.getTime() - fromMs) * 2) / 3;
}

function storeFields(error: unknown) {
  return { code: codeOf(error), reason: (error as NodeJS.ErrnoException).code };
}
