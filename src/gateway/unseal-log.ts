/**
 * Who tried to unseal. While the gateway is sealed nothing can be recorded: attempts that failed are
 * written to the gateway's own log, counted, and told by the entry of the one that succeeds.
 */
import type { Log } from '../base/log.ts';
import type { AuditEntry } from './audit/audit.ts';

export interface UnsealAttempt {
  readonly source: string;
  readonly requestId: string;
}

const sourcesMax = 16;

export class UnsealLog {
  readonly #log: Log;
  readonly #sources = new Set<string>();
  #failed = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  failed({ source, requestId }: UnsealAttempt, code: string): void {
    this.#failed += 1;
    if (this.#sources.size < sourcesMax) this.#sources.add(source);
    this.#log.warn('unseal.failed', { source, requestId, code });
  }

  /** A share that was right, of several. */
  given({ source, requestId }: UnsealAttempt): void {
    this.#log.info('unseal.share-given', { source, requestId });
  }

  /** What the entry of the attempt that succeeded says of those before it. */
  takeDetail(): AuditEntry['detail'] {
    const failed = this.#failed;
    const from = [...this.#sources].join(' ');
    this.#failed = 0;
    this.#sources.clear();
    return failed === 0 ? {} : { failed: String(failed), from };
  }
}
