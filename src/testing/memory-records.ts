/**
 * Records without a barrier: views, projections and the atomic commit in plain memory, for tests of
 * the rooms above. It keeps the contract of `record.ts`, and nothing of its secrecy.
 */
import { createHmac } from 'node:crypto';
import { joinPrefixed } from '../base/bytes.ts';
import { Fault } from '../base/fault.ts';
import type {
  Projection,
  RecordExpectation,
  RecordKind,
  RecordWrite,
  StoredRecord,
  View,
} from '../gateway/barrier/barrier.ts';

export interface MemoryPlan {
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
}

export class MemoryRecords {
  readonly #rows = new Map<string, StoredRecord>();
  readonly #projections: Projection[] = [];
  #revision = 0;

  get revision(): number {
    return this.#revision;
  }

  /** The same records, from here on their own: a snapshot, or what a restart finds. */
  copy(): MemoryRecords {
    const copy = new MemoryRecords();
    for (const [key, row] of this.#rows) copy.#rows.set(key, row);
    copy.#revision = this.#revision;
    return copy;
  }

  /** Everything there is, in key order, as text: for comparing a store with itself. */
  dump(): string {
    const rows = [...this.#rows].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return rows
      .map(([key, row]) => `${key} ${row.revision} ${row.bytes.toString('base64')}`)
      .join('\n');
  }

  follow(projection: Projection): void {
    this.#projections.push(projection);
    this.load(projection);
  }

  /** Feeds a projection anew, as unsealing does. */
  load(projection: Projection): void {
    projection.reset();
    for (const [key, row] of this.#rows) {
      if (key.startsWith(`${projection.kind}/`)) projection.apply(row);
    }
    projection.loaded?.();
  }

  /** @throws Fault `request.conflict` */
  async commit(plan: MemoryPlan): Promise<{ readonly revision: number }> {
    for (const { kind, id, revision } of plan.expectations) {
      if ((this.#rows.get(`${kind}/${id}`)?.revision ?? 0) !== revision) {
        throw new Fault('request.conflict', { kind });
      }
    }
    if (plan.writes.length === 0) return { revision: this.#revision };
    const revision = ++this.#revision;
    for (const { kind, id, bytes } of plan.writes) {
      if (bytes === undefined) this.#rows.delete(`${kind}/${id}`);
      else this.#rows.set(`${kind}/${id}`, { id, revision, bytes: Buffer.from(bytes) });
      for (const projection of this.#projections) {
        if (projection.kind === kind) projection.apply({ id, revision, bytes });
      }
    }
    return { revision };
  }

  view(kind: RecordKind): View {
    const prefix = `${kind}/`;
    return {
      kind,
      get: async (id) => {
        const row = this.#rows.get(prefix + id);
        return row && { ...row, bytes: Buffer.from(row.bytes) };
      },
      list: async ({ after, limit, reverse }) => {
        const rows = [...this.#rows]
          .filter(([key]) => key.startsWith(prefix))
          .map(([, row]) => row)
          .toSorted((a, b) => (a.id < b.id === (reverse !== true) ? -1 : 1));
        const start =
          after === undefined
            ? 0
            : rows.findIndex((row) => (reverse === true ? row.id < after : row.id > after));
        return start < 0 ? [] : rows.slice(start, start + limit);
      },
      put: (id, bytes) => ({ kind, id, bytes }),
      remove: (id) => ({ kind, id, bytes: undefined }),
      expect: (id, revision) => ({ kind, id, revision }),
      nameId: (...parts) =>
        createHmac('sha256', 'memory records')
          .update(joinPrefixed([kind, ...parts]))
          .digest('hex')
          .slice(0, 40),
    };
  }
}
