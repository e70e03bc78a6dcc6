/**
 * Idempotency keys: the same key with the same input gives the first answer again.
 *
 * A record is kept under a keyed hash of principal and key, with a keyed hash of the input (and of the
 * value, if there was one) and the answer. No answer that is kept holds a value or a credential. Of an
 * answer that is long, as of a large apply, is kept that there was one.
 *
 * Promises
 *   - What is kept is written in the commit of the effect: after a crash there are both or neither.
 *   - One key never answers another principal, another operation or another input.
 */
import { assert } from '../base/assert.ts';
import { wipe } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import type { Principal } from '../model/principal.ts';
import type { SecretValue } from '../model/secret-value.ts';
import type { Projection, RecordExpectation, RecordWrite, View } from './barrier/barrier.ts';

/** What makes two requests the same. */
export interface IdempotentRequest {
  readonly principal: Principal;
  readonly key: string;
  readonly operation: string;
  /** As parsed. */
  readonly input: unknown;
  readonly value: SecretValue | undefined;
  readonly ifRevision: number | undefined;
}

export interface KeptReply {
  /** Any `revision` in it is replaced by the one below when it is replayed. */
  readonly output: unknown;
  /** Of the object, for ETag. Left out: that of the commit, which is the kept record's own. */
  readonly revision?: number;
}

interface KeptRecord {
  readonly format: number;
  readonly digest: string;
  readonly atMs: number;
  /** Left out of a record that would be longer than `idempotencyRecordBytesMax` with it. */
  readonly reply?: KeptReply;
}

/** One key while its request runs. */
export interface IdempotencySlot {
  /**
   * The first answer, if there was one.
   *
   * @throws Fault `idempotency.mismatch` for another input, `idempotency.done` if that was carried out
   *   and its answer is not kept.
   */
  find(): Promise<Required<KeptReply> | undefined>;
  /** What keeps the answer, to be committed with the effect. */
  keep(reply: KeptReply): {
    readonly writes: readonly RecordWrite[];
    readonly expectations: readonly RecordExpectation[];
  };
  [Symbol.dispose](): void;
}

const format = 1;
/** Outdated records that one new record cleans up at most. */
const cleanedMax = 4;

export class Idempotency implements Projection {
  readonly kind = 'idempotency';
  readonly #view: View;
  readonly #clock: Clock;
  readonly #running = new Set<string>();
  /** Oldest first, once sorted. */
  #known = new Map<string, { readonly atMs: number; readonly revision: number }>();
  #isSorted = true;

  constructor(view: View, clock: Clock) {
    assert(view.kind === 'idempotency', 'idempotency has its own kind');
    this.#view = view;
    this.#clock = clock;
  }

  reset(): void {
    this.#known.clear();
    this.#isSorted = false;
  }

  apply({ id, revision, bytes }: Parameters<Projection['apply']>[0]): void {
    this.#known.delete(id);
    if (bytes !== undefined) this.#known.set(id, { atMs: decode(bytes).atMs, revision });
  }

  /** @throws Fault `idempotency.in-flight` while another request with this key runs here. */
  open(request: IdempotentRequest): IdempotencySlot {
    const { principal, key } = request;
    const id = this.#view.nameId('key', principal.kind, principal.id, key);
    if (this.#running.has(id)) throw new Fault('idempotency.in-flight');
    this.#running.add(id);
    const digest = this.#digest(request);
    return {
      find: () => this.#find(id, digest),
      keep: (reply) => this.#keep(id, { format, digest, atMs: this.#clock.wallMs(), reply }),
      [Symbol.dispose]: () => this.#running.delete(id),
    };
  }

  async #find(id: string, digest: string): Promise<Required<KeptReply> | undefined> {
    if (!this.#known.has(id)) return undefined;
    const record = await this.#view.get(id);
    if (!record) return undefined;
    const kept = decode(record.bytes);
    if (this.#isOutdated(kept.atMs)) return undefined;
    if (kept.digest !== digest) throw new Fault('idempotency.mismatch');
    if (!kept.reply) throw new Fault('idempotency.done', { revision: record.revision });
    return { revision: record.revision, ...kept.reply };
  }

  #keep(id: string, record: KeptRecord): ReturnType<IdempotencySlot['keep']> {
    const known = this.#known.get(id);
    const outdated = this.#outdated().filter((old) => old !== id);
    return {
      writes: [
        this.#view.put(id, encode(record)),
        ...outdated.map((old) => this.#view.remove(old)),
      ],
      expectations: [this.#view.expect(id, known?.revision ?? 0)],
    };
  }

  #outdated(): readonly string[] {
    if (!this.#isSorted) {
      this.#known = new Map([...this.#known].toSorted(([, a], [, b]) => a.atMs - b.atMs));
      this.#isSorted = true;
    }
    const found: string[] = [];
    for (const [id, { atMs }] of this.#known) {
      const isOver = this.#known.size - found.length >= limits.idempotencyRecordsMax;
      if (found.length >= cleanedMax || !(isOver || this.#isOutdated(atMs))) break;
      found.push(id);
    }
    return found;
  }

  #isOutdated(atMs: number): boolean {
    return this.#clock.wallMs() - atMs >= limits.idempotencyMs;
  }

  #digest({ operation, input, value, ifRevision }: IdempotentRequest): string {
    const said = canonicalJson([operation, input, ifRevision ?? null]);
    if (!value) return this.#view.nameId('input', said);
    return value.use((bytes) => this.#view.nameId('input', said, bytes));
  }
}

/** Whole, or without its answer if that is too long: any bound of storage is far above. */
function encode(record: KeptRecord): Buffer {
  const whole = Buffer.from(JSON.stringify(record), 'utf8');
  if (whole.length <= limits.idempotencyRecordBytesMax) return whole;
  const { reply: _tooLong, ...rest } = record;
  return Buffer.from(JSON.stringify(rest), 'utf8');
}

function decode(bytes: Uint8Array): KeptRecord {
  const copy = Buffer.from(bytes);
  const record = JSON.parse(copy.toString('utf8')) as KeptRecord;
  wipe(copy);
  if (record.format !== format) {
    throw new Fault('barrier.corrupt', { kind: 'idempotency', format: record.format });
  }
  return record;
}

/** One text for one input, whatever order its members came in. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
