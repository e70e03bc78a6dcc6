/**
 * Records what has happened already (receipts, refusals): in order, together, and without making
 * the node wait. While the log cannot be written the entries wait here, bounded; the oldest beyond
 * the bound are dropped, and the number that was dropped is recorded in their place.
 */
import type { Clock } from '../../base/clock.ts';
import { errorFields, type Log } from '../../base/log.ts';
import { gatewayPrincipal } from '../../model/principal.ts';
import type { Audit, AuditEntry } from '../audit/audit.ts';

const waitingMax = 20_000;
const togetherMax = 512;
const againAfterMs = 1000;

export class Recorder {
  readonly #audit: Pick<Audit, 'commit'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #waiting: AuditEntry[] = [];
  #dropped = 0;
  #running = false;
  readonly #stop = new AbortController();

  constructor(options: {
    readonly audit: Pick<Audit, 'commit'>;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#audit = options.audit;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  record(entry: AuditEntry): void {
    if (this.#waiting.length >= waitingMax) {
      // Not from the front: those may be on their way into the log.
      this.#waiting.splice(togetherMax, 1);
      this.#dropped += 1;
    }
    this.#waiting.push(entry);
    if (!this.#running) void this.#run();
  }

  /** From now on what cannot be recorded does not wait: it is lost, and their number is logged. */
  close(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    this.#running = true;
    let isWaiting = false;
    try {
      for (;;) {
        await this.#clock.nextTurn();
        const batch = this.#waiting.slice(0, togetherMax);
        const [first, ...rest] = this.#dropped > 0 ? [this.#droppedEntry(), ...batch] : batch;
        if (!first) return;
        const before = this.#dropped;
        try {
          await this.#audit.commit({ writes: [], expectations: [], entries: [first, ...rest] });
          this.#waiting.splice(0, batch.length);
          this.#dropped -= before;
          isWaiting = false;
        } catch (error) {
          if (this.#stop.signal.aborted) {
            const entries = this.#waiting.length + this.#dropped;
            this.#log.warn('recorder.lost', { entries, ...errorFields(error) });
            return;
          }
          // It may take hours: one line says it.
          if (!isWaiting) this.#log.warn('recorder.waits', errorFields(error));
          isWaiting = true;
          await this.#clock.sleep(againAfterMs, this.#stop.signal).catch(() => {});
        }
      }
    } finally {
      this.#running = false;
    }
  }

  #droppedEntry(): AuditEntry {
    return {
      principal: gatewayPrincipal,
      action: 'delivery.receipts-dropped',
      resource: 'audit',
      outcome: 'limit.exceeded',
      rule: '',
      requestId: '',
      detail: { count: String(this.#dropped) },
    };
  }
}
