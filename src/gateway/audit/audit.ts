/**
 * The audit log, and with it the only way to write: an effect and its entries are one commit.
 *
 * Promises
 *   - Every commit has at least one entry. Both are durable, and projected, when it resolves; after a
 *     crash either both are there or neither.
 *   - Entries form an RFC 6962 tree. Whoever remembers a checkpoint can tell whether anything older
 *     was changed, removed, inserted, reordered or forked.
 *   - When nothing can be recorded, nothing can be done: the gateway turns read-only, and recovers by
 *     itself.
 * Does not promise
 *   - That what a compromised gateway writes is true; nor anything about entries no witness has seen.
 *   - That a request which was refused with `storage.failed` had no effect: it may turn out to have
 *     been written, with its entry. With every other fault it had none.
 *
 * Layout: docs/FORMATS.md#audit-log.
 */
import type { Clock } from '../../base/clock.ts';
import { Fault, isFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { openCheckpoint, signCheckpoint } from '../../crypto/checkpoint.ts';
import {
  consistencyProof,
  type Frontier,
  inclusionProof,
  rootAt,
  type TreeHash,
} from '../../crypto/merkle.ts';
import { formatVerifier } from '../../crypto/note.ts';
import { gatewayPrincipal } from '../../model/principal.ts';
import type { Barrier } from '../barrier/barrier.ts';
import type { AuditEntry, RecordedEntry } from './entry.ts';
import { decodeEntry } from './entry-bytes.ts';
import { type EntryFilter, matches } from './filter.ts';
import { Ledger } from './ledger.ts';
import type { AuditReceipt, AuditRequest } from './request.ts';
import { decodeTrailer } from './trailer.ts';
import { epochLines, judge, type WitnessVerdict } from './witness.ts';
import { Writer } from './writer.ts';

export type { AuditEntry, RecordedEntry } from './entry.ts';
export type { EntryFilter } from './filter.ts';
export type { AuditReceipt, AuditRequest } from './request.ts';
export type { WitnessVerdict } from './witness.ts';

export interface AuditOptions {
  readonly barrier: Barrier;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** For metrics: a durable commit, of all requests that shared it, took so many seconds. */
  readonly committed?: (seconds: number) => void;
}

export type AuditState = 'sealed' | 'ready' | 'read-only' | 'rollback-suspected';

export interface EntryWithBytes extends RecordedEntry {
  /** The canonical bytes: what the leaf is the hash of. */
  readonly bytes: Buffer;
}

export interface EntryScan {
  readonly from: number;
  readonly limit: number;
  readonly filter?: EntryFilter;
}

export interface EntryBackScan extends Omit<EntryScan, 'from'> {
  /** Of entries before this one. */
  readonly before: number;
}

export interface EntryPage {
  readonly entries: readonly EntryWithBytes[];
  /** Where to go on; `undefined` at the end. */
  readonly next: number | undefined;
}

export interface CheckpointReply {
  /** C2SP checkpoint, signed note text. */
  readonly note: string;
  readonly size: number;
  readonly verifierKey: string;
  /** From the size that was asked about to this one. */
  readonly consistency: readonly TreeHash[];
}

export interface EntryProof {
  readonly entry: EntryWithBytes;
  readonly note: string;
  readonly inclusion: readonly TreeHash[];
}

/** Follows the log: entries in order from where it was opened. */
export interface Tail {
  /** Waits until there are some; none means closed. @throws the signal's reason; `barrier.sealed` */
  next(signal: AbortSignal): Promise<readonly EntryWithBytes[]>;
  close(): void;
}

/** Entries read in one turn of the loop, some milliseconds; and at most looked at for one page. */
const readEntriesMax = 256;
const scanEntriesMax = 20 * readEntriesMax;
/** A signed head may be this old, in time and in entries, where one need not be the newest. */
const recentMs = 1000;
const recentEntries = 1000;

export class Audit {
  readonly #options: AuditOptions;
  readonly #writer: Writer;
  /** Of this unsealing: what is here goes when the barrier is sealed. */
  #opening: Promise<Ledger> | undefined;
  #ledger: Ledger | undefined;
  readonly #waiting = new Set<() => void>();
  #rewrapping: Promise<void> | undefined;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#writer = new Writer({
      ...options,
      ledger: () => this.#open(),
      onGrowth: () => this.#wake(),
    });
    options.barrier.onLeave(() => this.#forget());
  }

  get state(): AuditState {
    if (this.#options.barrier.state !== 'ready') return 'sealed';
    if (this.#writer.failed) return 'read-only';
    return this.#current().suspected ? 'rollback-suspected' : 'ready';
  }

  /** Entries in the log. @throws Fault `barrier.sealed` */
  get size(): number {
    return this.#current().frontier.size;
  }

  /** @throws Fault `barrier.sealed` */
  get root(): Uint8Array {
    return this.#current().frontier.root();
  }

  /**
   * Writes and records. The entries of all requests that are committed together stand next to each
   * other, in the order of the requests.
   *
   * @throws Fault `request.conflict` when an expectation fails: nothing of this request is then written
   *   or logged.
   * @throws Fault `gateway.busy`, `barrier.sealed`, `audit.rollback-suspected`, `storage.full`,
   *   `storage.failed`
   */
  async commit(request: AuditRequest): Promise<AuditReceipt> {
    return this.#writer.submit(request);
  }

  /**
   * In order, from `from` (included). With a filter, a page may be short, or empty, and still have a
   * `next`: a call looks at a bounded number of entries.
   */
  async entries(options: EntryScan): Promise<EntryPage> {
    const { entries, at } = await this.#scan(options);
    return { entries, next: at < this.size ? at : undefined };
  }

  /** The same from the end on: the newest first, and `next` is what to go on before. */
  async entriesBack(options: EntryBackScan): Promise<EntryPage> {
    const { limit, filter = {} } = options;
    const ledger = await this.#open();
    const entries: EntryWithBytes[] = [];
    const start = Math.min(options.before, ledger.tree.size);
    const end = Math.max(0, start - scanEntriesMax);
    let at = start;
    while (at > end && entries.length < limit) {
      if (at < start) await this.#options.clock.nextTurn();
      const from = Math.max(end, at - readEntriesMax);
      const read = await ledger.readEntries(from, at - from);
      const chunk = read.map((bytes, index) => readEntry(bytes, from + index));
      const { sinceMs = 0 } = filter;
      const isOver = chunk.every(({ timeMs }) => timeMs < sinceMs);
      for (const entry of chunk.toReversed()) {
        if (entries.length === limit) break;
        at = entry.sequence;
        if (matches(filter, entry)) entries.push(entry);
      }
      // A clock that was set back reaches over a few entries, not over all of these.
      if (isOver) return { entries, next: undefined };
    }
    return { entries, next: at > 0 ? at : undefined };
  }

  /**
   * From `from`, or from what is recorded next. Whoever has much to catch up with leaves every other
   * turn to others.
   *
   * @throws Fault `barrier.sealed`
   */
  tail(options: { readonly from?: number; readonly filter?: EntryFilter } = {}): Tail {
    let from = options.from ?? this.size;
    const filter = options.filter ?? {};
    const closing = new AbortController();
    return {
      next: async (signal) => {
        while (!closing.signal.aborted) {
          if (from >= this.size) await this.#growth(signal, closing.signal);
          else await this.#options.clock.nextTurn();
          signal.throwIfAborted();
          const { entries, at } = await this.#scan({ from, limit: readEntriesMax, filter });
          from = at;
          if (entries.length > 0) return entries;
        }
        return [];
      },
      close: () => closing.abort(),
    };
  }

  /**
   * A signed head, with the proof that it continues the tree of size `since`.
   *
   * @param since - A size that somebody has verified; 0 for nobody.
   * @param options.recent - A head up to a second and 1,000 entries old will do: for streams, where one
   *   signature serves many.
   * @throws Fault `request.invalid` if the tree has never been of that size.
   */
  async checkpoint(
    since = 0,
    options: { readonly recent?: boolean } = {},
  ): Promise<CheckpointReply> {
    const ledger = await this.#open();
    const recentWillDo = options.recent === true && since <= (ledger.signed?.size ?? 0);
    const { size, note } = this.#sign(ledger, recentWillDo);
    if (since > size) throw new Fault('request.invalid', { what: 'since', size });
    const consistency = await this.#prove(ledger, (read) => consistencyProof(since, size, read));
    return { note, size, verifierKey: formatVerifier(ledger.signer), consistency };
  }

  /** That an entry is in the log. @throws Fault `resource.unknown` if there is no such entry. */
  async prove(sequence: number): Promise<EntryProof> {
    const ledger = await this.#open();
    if (sequence >= ledger.tree.size) throw new Fault('resource.unknown', { sequence });
    const { size, note } = this.#sign(ledger, false);
    const [bytes] = await ledger.readEntries(sequence, 1);
    const inclusion = await this.#prove(ledger, (read) => inclusionProof(sequence, size, read));
    return { entry: readEntry(bytes, sequence), note, inclusion };
  }

  /**
   * What a node's remembered checkpoint says about this log. If it has seen what we do not have, no
   * effect is accepted from then on until an operator accepts the rollback.
   *
   * @throws Fault `request.invalid` if this log never signed it.
   */
  async observe(nodeName: string, note: string): Promise<WitnessVerdict> {
    const ledger = await this.#open();
    const opened = openCheckpoint(note, ledger.signer);
    if (opened.kind === 'refused') {
      throw new Fault('request.invalid', { what: 'checkpoint', problem: opened.reason });
    }
    const { size } = ledger.tree;
    const verdict = await judge(opened.checkpoint, {
      size,
      epochEnds: ledger.epochEnds,
      rootAt: (at) => this.#prove(ledger, (read) => rootAt(at, read)),
    });
    if (verdict === 'rollback' || verdict === 'fork') {
      const detail = { theirs: String(opened.checkpoint.size), ours: String(size), verdict };
      await this.#raiseAlarm(ledger, nodeName, detail);
    }
    return verdict;
  }

  /**
   * Goes on from an older log: ends `rollback-suspected`. Checkpoints of the branch that is given up
   * count as superseded from then on. The entry is what stays of it.
   *
   * @throws Fault `audit.no-rollback` if no rollback is suspected.
   */
  async acceptRollback(entry: AuditEntry): Promise<AuditReceipt> {
    const ledger = await this.#open();
    if (!ledger.suspected) throw new Fault('audit.no-rollback');
    const detail = { ...entry.detail, size: String(ledger.tree.size) };
    const request = { writes: [], expectations: [], entries: [{ ...entry, detail }] } as const;
    return this.#writer.submit(request, 'accept');
  }

  /**
   * Brings every row under the active root key, destroys the old ones and purges storage. Resumes what
   * was cut short; resolves at once when there is nothing to do. One at a time.
   */
  rewrap(signal: AbortSignal): Promise<void> {
    this.#rewrapping ??= this.#rewrap(signal).finally(() => {
      this.#rewrapping = undefined;
    });
    return this.#rewrapping;
  }

  /** Refuses what waits. The barrier stays as it is. */
  close(): void {
    this.#writer.close();
    this.#wake();
  }

  /**
   * Storage is read synchronously, so between two reads everybody else is given a turn.
   *
   * @returns What was found, and where to go on.
   */
  async #scan(options: EntryScan): Promise<{ entries: EntryWithBytes[]; at: number }> {
    const { limit, filter = {} } = options;
    const ledger = await this.#open();
    const entries: EntryWithBytes[] = [];
    const end = Math.min(ledger.tree.size, options.from + scanEntriesMax);
    let at = options.from;
    while (at < end && entries.length < limit) {
      if (at > options.from) await this.#options.clock.nextTurn();
      for (const bytes of await ledger.readEntries(at, Math.min(readEntriesMax, end - at))) {
        if (entries.length === limit) break;
        const entry = readEntry(bytes, at);
        at += 1;
        if (matches(filter, entry)) entries.push(entry);
      }
    }
    return { entries, at };
  }

  async #rewrap(signal: AbortSignal): Promise<void> {
    const { barrier } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const maintenance = await barrier.rootKeys.rewrapStep();
      if (maintenance === undefined) return;
      const { action, detail } = maintenance;
      const entry = { ...ownEntry(action, 'system'), detail };
      try {
        await this.commit({ writes: [], expectations: [], entries: [entry], maintenance });
      } catch (error) {
        // Another rotation came in between: the next step starts from it.
        if (!isFault(error, 'request.conflict')) throw error;
      }
      if (action === 'system.destroy-root-key') await barrier.purge();
    }
  }

  /** @throws Fault `barrier.sealed`, `barrier.corrupt` */
  #open(): Promise<Ledger> {
    const { barrier, random } = this.#options;
    if (barrier.state !== 'ready') return Promise.reject(new Fault('barrier.sealed'));
    if (this.#opening) return this.#opening;
    const opening = Ledger.open(barrier, random);
    this.#opening = opening;
    opening.then(
      (opened) => {
        if (this.#opening === opening) this.#ledger = opened;
      },
      () => {
        if (this.#opening === opening) this.#opening = undefined;
      },
    );
    return opening;
  }

  /** The barrier was sealed: the key that signs goes with the others. */
  #forget(): void {
    this.#ledger?.[Symbol.dispose]();
    this.#ledger = undefined;
    this.#opening = undefined;
    this.#writer.forget();
  }

  /** What is known without waiting. @throws Fault `barrier.sealed` */
  #current(): { readonly frontier: Frontier; readonly suspected: boolean } {
    const { barrier } = this.#options;
    const { trailer } = barrier;
    if (!this.#ledger) return decodeTrailer(trailer);
    const { tree, suspected } = this.#ledger;
    return { frontier: tree.frontier, suspected };
  }

  #sign(ledger: Ledger, recentWillDo: boolean): { readonly size: number; readonly note: string } {
    const { clock } = this.#options;
    const { size } = ledger.tree;
    const epoch = ledger.epochEnds.length;
    const { signed } = ledger;
    if (signed?.epoch === epoch) {
      const recent =
        clock.monotonicMs() - signed.atMs < recentMs && size - signed.size < recentEntries;
      if (signed.size === size || (recentWillDo && recent)) return signed;
    }
    const origin = ledger.signer.name;
    const checkpoint = { origin, size, root: ledger.tree.root(), extensions: epochLines(epoch) };
    const note = signCheckpoint(checkpoint, ledger.signer);
    ledger.signed = { size, epoch, note, atMs: clock.monotonicMs() };
    return { size, note };
  }

  #prove<T>(ledger: Ledger, build: Parameters<typeof ledger.tree.prove<T>>[0]): Promise<T> {
    return ledger.tree.prove(build, (from, count) => ledger.readEntries(from, count));
  }

  async #raiseAlarm(
    ledger: Ledger,
    node: string,
    detail: Readonly<Record<string, string>>,
  ): Promise<void> {
    const known = ledger.suspected;
    ledger.alarm();
    this.#options.log.error('audit.rollback-suspected', { node, ...detail });
    if (known) return;
    const entry = { ...ownEntry('audit.rollback-suspected', `nodes/${node}`), detail };
    await this.#writer.submit({ writes: [], expectations: [], entries: [entry] });
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves when there is more, or `closing` aborts. @throws the signal's reason */
  #growth(signal: AbortSignal, closing: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    const onClose = (): void => resolve();
    closing.addEventListener('abort', onClose, { once: true });
    this.#waiting.add(resolve);
    return promise.finally(() => {
      this.#waiting.delete(resolve);
      signal.removeEventListener('abort', onAbort);
      closing.removeEventListener('abort', onClose);
    });
  }
}

/** @throws Fault `barrier.corrupt` if the bytes are not the entry of this sequence. */
function readEntry(bytes: Buffer | undefined, sequence: number): EntryWithBytes {
  const entry = bytes && decodeEntry(bytes);
  if (entry?.sequence !== sequence || bytes === undefined) {
    throw new Fault('barrier.corrupt', { kind: 'audit', id: String(sequence) });
  }
  return { ...entry, bytes };
}

/** What the gateway does by itself. */
function ownEntry(action: string, resource: string): AuditEntry {
  const principal = gatewayPrincipal;
  return { principal, action, resource, outcome: 'ok', rule: '', requestId: '', detail: {} };
}
