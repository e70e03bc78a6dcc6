/**
 * The write path: requests queue, and each flush makes one durable commit of as many as can share it.
 *
 * A flush that fails leaves nothing in memory. Its members, and all that wait, are refused with the
 * fault; then nothing is accepted until the storage opened again and took an entry that says so.
 */
import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { codeOf, Fault, isFault, repeatFault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { errorFields, type Log } from '../../base/log.ts';
import { gatewayPrincipal } from '../../model/principal.ts';
import type { Barrier } from '../barrier/barrier.ts';
import type { AuditEntry } from './entry.ts';
import type { Composed, Ledger } from './ledger.ts';
import {
  assertRequest,
  type AuditReceipt,
  type AuditRequest,
  keysOf,
  type LogAct,
  type Pending,
  takeGroup,
} from './request.ts';

export interface WriterOptions {
  readonly barrier: Barrier;
  readonly clock: Clock;
  readonly log: Log;
  /** The log as of now. @throws Fault `barrier.sealed`, `barrier.corrupt` */
  readonly ledger: () => Promise<Ledger>;
  /** Told after every commit. */
  readonly onGrowth: () => void;
  readonly committed?: (seconds: number) => void;
}

const closing = { closing: true } as const;
const retryMsFirst = 250;
const retryMsMax = 10_000;
const groupBounds = {
  members: limits.commitGroupMax,
  entries: limits.commitGroupEntriesMax,
  bytes: limits.commitGroupBytesMax,
};

export class Writer {
  readonly #options: WriterOptions;
  readonly #queue: Pending[] = [];
  readonly #closing = new AbortController();
  #draining = false;
  /** Why nothing is accepted now. */
  #failure: unknown;
  /** What a failed commit may have written. */
  #doubt: { readonly ledger: Ledger; readonly composed: Composed } | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** @throws Fault as `Audit.commit` */
  submit(request: AuditRequest, act?: LogAct): Promise<AuditReceipt> {
    assertRequest(request);
    if (this.#failure !== undefined) return Promise.reject(again(this.#failure));
    if (this.#closing.signal.aborted) return Promise.reject(new Fault('gateway.busy', closing));
    if (this.#queue.length >= limits.commitQueueMax) {
      return Promise.reject(new Fault('gateway.busy', { waiting: this.#queue.length }));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, keys: keysOf(request), act, resolve, reject });
      if (this.#draining) return;
      this.#draining = true;
      void this.#drain();
    });
  }

  /** Lets go of what was composed with keys that are gone: once sealed, only storage tells what it holds. */
  forget(): void {
    this.#doubt = undefined;
  }

  /** Refuses what waits and stops trying to recover. */
  close(): void {
    this.#closing.abort();
    this.#rejectWaiting(new Fault('gateway.busy', closing));
  }

  /** Never throws: whatever goes wrong is told to those who wait. */
  async #drain(): Promise<void> {
    // A turn between flushes, so that requests which are ready share the next one.
    for (;;) {
      await this.#options.clock.nextTurn();
      if (this.#queue.length === 0) break;
      try {
        await this.#flush(await this.#options.ledger());
      } catch (error) {
        this.#rejectWaiting(error);
      }
    }
    this.#draining = false;
  }

  async #flush(ledger: Ledger): Promise<void> {
    const { barrier, clock } = this.#options;
    const group = takeGroup(this.#queue, groupBounds);
    let members: readonly Pending[] = [];
    try {
      members = group.filter((member) => this.#admit(member, ledger));
      if (members.length === 0) return;
      await this.#commit(ledger, ledger.compose(members, clock.wallMs()));
    } catch (error) {
      const isWell = barrier.state === 'ready' && this.#doubt === undefined;
      if (isWell && members.length > 1) {
        // A bug in one of them, and nothing is written: each by itself, so that it is no one else's.
        this.#queue.unshift(...members.map((member) => ({ ...member, isAlone: true })));
        return;
      }
      for (const member of group) member.reject(again(error));
      if (isWell) return;
      this.#rejectWaiting(error);
      if (barrier.state === 'ready') this.#fail(error);
    }
  }

  async #commit(ledger: Ledger, composed: Composed): Promise<void> {
    const { barrier, clock, committed } = this.#options;
    const startedAtMs = clock.monotonicMs();
    let revision: number;
    try {
      ({ revision } = await barrier.commit(composed.batch));
      committed?.((clock.monotonicMs() - startedAtMs) / 1000);
    } catch (error) {
      if (barrier.state !== 'ready' || !barrier.isInDoubt) throw error;
      this.#doubt = { ledger, composed };
      // In doubt: opening anew tells. If it was written after all, nobody needs to hear of it.
      if (!isFault(error, 'storage.failed') || !(await this.#wasWritten())) throw error;
      return;
    }
    this.#finish(ledger, composed, revision);
  }

  /** Whether a request may be part of this flush; if not, it is told. */
  #admit(member: Pending, ledger: Ledger): boolean {
    const { writes, expectations, maintenance } = member.request;
    const hasEffect = writes.length > 0 || maintenance !== undefined;
    if (ledger.suspected && hasEffect && member.act === undefined) {
      member.reject(new Fault('audit.rollback-suspected'));
      return false;
    }
    const { barrier } = this.#options;
    const [failing] = barrier.failing(expectations);
    const kind = failing?.kind ?? (barrier.isCurrent(maintenance) ? undefined : 'keyring');
    if (kind === undefined) return true;
    member.reject(new Fault('request.conflict', { kind }));
    return false;
  }

  #finish(ledger: Ledger, composed: Composed, revision: number): void {
    ledger.adopt(composed);
    let sequence = composed.firstSequence;
    for (const { request, resolve } of composed.members) {
      const sequences = request.entries.map((_, index) => sequence + index);
      sequence += sequences.length;
      resolve({ revision, sequences });
    }
    this.#options.onGrowth();
  }

  /** @returns Whether the batch in doubt is in storage; false also if that cannot be found out yet. */
  async #wasWritten(): Promise<boolean> {
    const doubt = this.#doubt;
    assert(doubt !== undefined, 'there is a batch in doubt');
    const { barrier, log } = this.#options;
    try {
      if ((await barrier.reopen()) === 'absent') return false;
    } catch (error) {
      log.error('audit.reopen-failed', errorFields(error));
      return false;
    }
    this.#doubt = undefined;
    this.#finish(doubt.ledger, doubt.composed, barrier.revision);
    return true;
  }

  #rejectWaiting(error: unknown): void {
    for (const { reject } of this.#queue.splice(0)) reject(again(error));
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#options.log.error('audit.read-only', errorFields(error));
    void this.#recover();
  }

  async #recover(): Promise<void> {
    const { barrier, clock, log } = this.#options;
    const { signal } = this.#closing;
    for (let delayMs = retryMsFirst; ; delayMs = Math.min(delayMs * 2, retryMsMax)) {
      try {
        await clock.sleep(delayMs, signal);
        if (barrier.state !== 'ready') break;
        if (await this.#tryAgain()) break;
      } catch (error) {
        if (signal.aborted) return;
        log.warn('audit.still-read-only', errorFields(error));
      }
    }
    this.#failure = undefined;
    this.#doubt = undefined;
    log.info('audit.recovered', { state: barrier.state });
  }

  /** Opens the storage anew and records that it did. @throws what the storage throws. */
  async #tryAgain(): Promise<boolean> {
    const { barrier, clock, ledger } = this.#options;
    const outcome = await barrier.reopen();
    const doubt = this.#doubt;
    this.#doubt = undefined;
    if (outcome === 'committed' && doubt) doubt.ledger.adopt(doubt.composed);
    const current = await ledger();
    const { promise, resolve, reject } = Promise.withResolvers<AuditReceipt>();
    const request = { writes: [], expectations: [], entries: [recovery(this.#failure)] } as const;
    const member = { request, keys: [], act: undefined, resolve, reject };
    const composed = current.compose([member], clock.wallMs());
    try {
      await this.#commit(current, composed);
    } catch (error) {
      promise.catch(() => undefined);
      reject(error);
      throw error;
    }
    await promise;
    return true;
  }
}

function recovery(failure: unknown): AuditEntry {
  return {
    principal: gatewayPrincipal,
    action: 'audit.recovered',
    resource: 'audit',
    outcome: 'ok',
    rule: '',
    requestId: '',
    detail: { after: codeOf(failure) },
  };
}

/** For each who waits. */
function again(error: unknown): unknown {
  return isFault(error) ? repeatFault(error) : error;
}
