/**
 * The audit log without tree or storage: the commit of `audit.ts` over records in memory, for tests of
 * what is above it. It can be told to fail, and to be in any state.
 */
import { Fault } from '../base/fault.ts';
import type {
  Audit,
  AuditEntry,
  AuditReceipt,
  AuditRequest,
  AuditState,
  EntryFilter,
  EntryWithBytes,
} from '../gateway/audit/audit.ts';
import type { MemoryRecords } from './memory-records.ts';

type Kept = Omit<Pick<Audit, keyof Audit>, 'root' | 'witnesses' | 'rewrap' | 'close'>;

export class MemoryAudit implements Kept {
  state: AuditState = 'ready';
  /** Thrown by the next commits while it is set. */
  failure: Fault | undefined;
  readonly kept: EntryWithBytes[] = [];
  readonly #records: MemoryRecords;
  #waiting = Promise.withResolvers<void>();

  constructor(records: MemoryRecords) {
    this.#records = records;
  }

  get size(): number {
    return this.kept.length;
  }

  async commit(request: AuditRequest): Promise<AuditReceipt> {
    if (this.failure) throw this.failure;
    if (this.state === 'sealed') throw new Fault('barrier.sealed');
    // As in storage: others get a turn before the commit is there.
    await Promise.resolve();
    const { revision } = await this.#records.commit(request);
    return { revision, sequences: request.entries.map((entry) => this.#append(entry)) };
  }

  async entries(options: {
    readonly from: number;
    readonly limit: number;
    readonly filter?: EntryFilter;
  }) {
    const found = this.#matching(options.from, options.filter ?? {});
    const entries = found.slice(0, options.limit);
    const last = entries.at(-1)?.sequence;
    return {
      entries,
      next: last !== undefined && found.length > entries.length ? last + 1 : undefined,
    };
  }

  async entriesBack(options: {
    readonly before: number;
    readonly limit: number;
    readonly filter?: EntryFilter;
  }) {
    const found = this.#matching(0, options.filter ?? {})
      .filter(({ sequence }) => sequence < options.before)
      .toReversed();
    const entries = found.slice(0, options.limit);
    return { entries, next: found.length > entries.length ? entries.at(-1)?.sequence : undefined };
  }

  tail(options: { readonly from?: number; readonly filter?: EntryFilter }) {
    let from = options.from ?? this.size;
    return {
      next: async (signal: AbortSignal) => {
        const aborted = Promise.withResolvers<never>();
        aborted.promise.catch(() => undefined);
        signal.addEventListener('abort', () => aborted.reject(signal.reason as Error));
        for (;;) {
          const found = this.#matching(from, options.filter ?? {});
          from = this.size;
          if (found.length > 0) return found;
          await Promise.race([this.#waiting.promise, aborted.promise]);
        }
      },
      close: () => {},
    };
  }

  async checkpoint() {
    const consistency = [Buffer.alloc(32)];
    return { note: 'memory', size: this.size, verifierKey: 'memory', consistency };
  }

  async prove(sequence: number) {
    const entry = this.kept[sequence];
    if (!entry) throw new Fault('resource.unknown', { sequence });
    return { entry, note: 'memory', inclusion: [Buffer.alloc(32)] };
  }

  async observe() {
    return 'consistent' as const;
  }

  async acceptRollback(entry: AuditEntry): Promise<AuditReceipt> {
    this.state = 'ready';
    return { revision: this.#records.revision, sequences: [this.#append(entry)] };
  }

  #append(entry: AuditEntry): number {
    const sequence = this.kept.length;
    const bytes = Buffer.from(JSON.stringify(entry));
    this.kept.push({ ...entry, sequence, timeMs: 0, bytes });
    this.#waiting.resolve();
    this.#waiting = Promise.withResolvers();
    return sequence;
  }

  #matching(from: number, filter: EntryFilter): EntryWithBytes[] {
    const { actor, action, resource, outcome, actions, sinceMs = 0 } = filter;
    const fits = (wanted: string, text: string): boolean =>
      wanted.endsWith('*') ? text.startsWith(wanted.replace(/\*+$/, '')) : wanted === text;
    return this.kept
      .slice(from)
      .filter(
        (entry) =>
          entry.timeMs >= sinceMs &&
          actions?.has(entry.action) !== false &&
          fits(action ?? '*', entry.action) &&
          fits(resource ?? '*', entry.resource) &&
          (outcome ?? entry.outcome) === entry.outcome &&
          [undefined, entry.principal.id, entry.principal.name].includes(actor),
      );
  }
}
