/**
 * A history of batches that anyone can compute: what revision n writes, and what a store must hold
 * at revision n. So a store that survived something is checked row by row, from its revision alone.
 *
 * The batches are like the gateway's: a few small rows, some replaced over and over, some added and
 * deleted again later, and now and then a large one.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import type { Physical, PhysicalBatch, RowWrite } from '../gateway/physical/physical.ts';

const slots = 1024;
/** Revisions after which what a batch added is deleted again. */
const keptRevisions = 40;

/** The batch that takes a store from `revision` − 1 to `revision`. */
export function batchAt(revision: number): PhysicalBatch {
  const slotBefore = Math.max(0, revision - slots);
  const expired = addedAt(revision - keptRevisions).filter(({ key }) => !key.startsWith('slot/'));
  return {
    revision,
    writes: [...addedAt(revision), ...expired.map(({ key }) => ({ key, bytes: undefined }))],
    expectations: [{ key: slotKey(revision), revision: slotBefore }],
  };
}

/** @throws AssertionError unless the store is exactly what the history says, and sound. */
export async function assertHistory(physical: Physical): Promise<number> {
  const revision = await physical.revision();
  const rows = await physical.list('', { limit: 10_000 });
  const found = new Map(rows.map((row) => [row.key, row]));
  const expected = stateAt(revision);
  deepEqual([...found.keys()].sort(), [...expected.keys()].sort(), `the keys at ${revision}`);
  for (const [key, writtenAt] of expected) {
    const row = found.get(key);
    equal(row?.revision, writtenAt, `the revision of ${key} at ${revision}`);
    equal(Buffer.compare(row?.bytes ?? Buffer.alloc(0), content(key, writtenAt)), 0, key);
  }
  await physical.checkIntegrity();
  return revision;
}

/** Key → the revision that wrote it last. */
function stateAt(revision: number): Map<string, number> {
  const state = new Map<string, number>();
  const oldest = Math.max(1, revision - Math.max(slots, keptRevisions) + 1);
  for (let written = oldest; written <= revision; written += 1) {
    const isKept = written > revision - keptRevisions;
    for (const { key } of addedAt(written)) {
      if (isKept || key.startsWith('slot/')) state.set(key, written);
    }
  }
  return state;
}

function addedAt(revision: number): RowWrite[] {
  if (revision < 1) return [];
  const added = Array.from({ length: revision % 5 }, (_, index) => `log/${revision}/${index}`);
  return [slotKey(revision), ...added].map((key) => ({ key, bytes: content(key, revision) }));
}

function slotKey(revision: number): string {
  return `slot/${revision % slots}`;
}

function content(key: string, revision: number): Buffer {
  const isLarge = revision % 16 === 0 && key.startsWith('slot/');
  return Buffer.alloc(isLarge ? 20_000 : 300, `${key}@${revision};`);
}
