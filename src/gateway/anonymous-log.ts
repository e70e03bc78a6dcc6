/**
 * Audit entries about what nobody proved: failed authentication, refused join tokens and nodes. At most so
 * many a second, each with the count of those before it that got none, so that nobody can fill the log.
 */
import type { Clock } from '../base/clock.ts';
import { errorFields, type Log } from '../base/log.ts';
import { limits } from '../base/limits.ts';
import { anonymousFrom } from '../model/principal.ts';
import type { Audit, AuditEntry } from './audit/audit.ts';
import { TokenBuckets } from '../base/token-buckets.ts';

export interface AnonymousAttempt {
  /** An operation's name, or `authenticate`. */
  readonly action: string;
  readonly outcome: string;
  readonly source: string;
  readonly requestId: string;
  /** `system`, when left out. */
  readonly resource?: string;
  readonly detail?: AuditEntry['detail'];
}

export class AnonymousLog {
  readonly #options: {
    readonly audit: Pick<Audit, 'commit' | 'state'>;
    readonly clock: Clock;
    readonly log: Log;
  };
  readonly #buckets: TokenBuckets;
  #unlisted = 0;

  constructor(options: {
    readonly audit: Pick<Audit, 'commit' | 'state'>;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#options = options;
    const perSecond = limits.anonymousEntriesPerSecond;
    this.#buckets = new TokenBuckets(options.clock, { perSecond, burst: perSecond });
  }

  /** Never throws: a refusal stays a refusal whether or not it could be listed. */
  async note(attempt: AnonymousAttempt): Promise<void> {
    const { audit, log } = this.#options;
    if (audit.state !== 'ready' || this.#buckets.take('') > 0) {
      this.#unlisted++;
      return;
    }
    const unlisted = this.#unlisted;
    this.#unlisted = 0;
    const { action, outcome, source, requestId, resource = 'system' } = attempt;
    const detail = { ...attempt.detail, ...(unlisted === 0 ? {} : { unlisted: `${unlisted}` }) };
    const principal = anonymousFrom(source);
    const entry = { principal, action, resource, outcome, rule: '', requestId, detail };
    try {
      await audit.commit({ writes: [], expectations: [], entries: [entry] });
    } catch (error) {
      this.#unlisted += unlisted + 1;
      log.warn('audit.anonymous-unlisted', errorFields(error));
    }
  }
}
