/**
 * The log as it stands after an unsealing: its tree, its signing key, and how requests become one
 * sealed batch. Composing changes nothing; `adopt` follows once the batch is durable.
 */
import { assert } from '../../base/assert.ts';
import { wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import { treeHashBytes } from '../../crypto/merkle.ts';
import type { NoteSigner } from '../../crypto/note.ts';
import type { Barrier, BarrierBatch, RecordWrite } from '../barrier/barrier.ts';
import { bundleId, decodeBundle, encodeBundle, parseBundleId } from './bundle.ts';
import { encodeEntry, entryBytesMax } from './entry-bytes.ts';
import type { Pending } from './request.ts';
import { seedBytes, signerFromSeed } from './signing-key.ts';
import { decodeTrailer, encodeTrailer, type Trailer } from './trailer.ts';
import { AuditTree, type Growth, rowBlocks } from './tree.ts';

const signingKeyId = 'checkpoint';
const bundleBytesMax = 1024 * 1024;
const bundlesPerPage = 64;
const blockRowsPerPage = 64;

/** A group that is ready to be committed. */
export interface Composed {
  readonly batch: BarrierBatch;
  readonly growth: Growth;
  readonly trailer: Trailer;
  /** How many alarms it knew of. */
  readonly alarms: number;
  readonly members: readonly Pending[];
  /** Of the first entry. */
  readonly firstSequence: number;
}

/** A head as it was signed. */
export interface SignedHead {
  readonly size: number;
  readonly epoch: number;
  readonly note: string;
  readonly atMs: number;
}

export class Ledger implements Disposable {
  /** The last one. */
  signed: SignedHead | undefined;
  readonly tree: AuditTree;
  readonly signer: NoteSigner;
  readonly #barrier: Barrier;
  #trailer: Trailer;
  /** Alarms raised since opening, and how many of them an operator has answered. */
  #alarms = 0;
  #answered = 0;
  /** The signing key of a log that has no entry yet: goes with the first. */
  #newKey: RecordWrite | undefined;

  private constructor(
    barrier: Barrier,
    parts: {
      readonly tree: AuditTree;
      readonly signer: NoteSigner;
      readonly trailer: Trailer;
      readonly newKey: RecordWrite | undefined;
    },
  ) {
    this.#barrier = barrier;
    this.tree = parts.tree;
    this.signer = parts.signer;
    this.#trailer = parts.trailer;
    this.#newKey = parts.newKey;
  }

  /** @throws Fault `barrier.sealed`, `barrier.corrupt` */
  static async open(barrier: Barrier, random: Random): Promise<Ledger> {
    const { generation } = barrier;
    const trailer = decodeTrailer(barrier.trailer);
    const keys = barrier.view('audit-key');
    const stored = await keys.get(signingKeyId);
    if (stored === undefined && trailer.frontier.size > 0) {
      throw new Fault('barrier.corrupt', { kind: 'audit-key', id: signingKeyId });
    }
    const seed = stored?.bytes ?? random.bytes(seedBytes);
    const newKey = stored === undefined ? keys.put(signingKeyId, seed) : undefined;
    const signer = signerFromSeed(seed, barrier.installation);
    if (stored) wipe(seed);
    const blocks = await readBlocks(barrier);
    const tree = await AuditTree.open(trailer.frontier, blocks, (from, count) =>
      readEntries(barrier, from, count),
    );
    if (barrier.generation !== generation || barrier.state !== 'ready') {
      throw new Fault('barrier.sealed');
    }
    return new Ledger(barrier, { tree, signer, trailer, newKey });
  }

  /** Wipes what has not been stored yet; the rest is gone once nobody holds it. */
  [Symbol.dispose](): void {
    if (this.#newKey?.bytes) wipe(this.#newKey.bytes);
  }

  /** Whether a rollback is suspected; kept with every commit until it is accepted. */
  get suspected(): boolean {
    return this.#trailer.suspected || this.#alarms > this.#answered;
  }

  alarm(): void {
    this.#alarms += 1;
  }

  get epochEnds(): readonly number[] {
    return this.#trailer.epochEnds;
  }

  /** @param timeMs - What the entries say when it was. */
  compose(members: readonly Pending[], timeMs: number): Composed {
    const firstSequence = this.tree.size;
    const entries: Buffer[] = [];
    const writes: RecordWrite[] = this.#newKey ? [this.#newKey] : [];
    for (const { request } of members) {
      for (const entry of request.entries) {
        entries.push(encodeEntry(entry, firstSequence + entries.length, timeMs));
      }
      writes.push(...request.writes);
    }
    const growth = this.tree.grow(entries);
    const audit = this.#barrier.view('audit');
    for (const bundle of bundlesOf(entries)) {
      writes.push(audit.put(bundleId(firstSequence + bundle.start), encodeBundle(bundle.entries)));
    }
    for (const { row, bytes } of this.tree.rowsOf(growth)) {
      writes.push(audit.put(blockRowId(row), bytes));
    }
    const trailer = this.#trailerAfter(members, growth);
    const maintenance = members.find(({ request }) => request.maintenance)?.request.maintenance;
    const batch = {
      writes,
      expectations: [],
      trailer: encodeTrailer(trailer),
      ...(maintenance ? { maintenance } : {}),
    };
    return { batch, growth, trailer, alarms: this.#alarms, members, firstSequence };
  }

  /** Once the batch is durable. */
  adopt(composed: Composed): void {
    this.tree.adopt(composed.growth);
    this.#trailer = composed.trailer;
    if (composed.members.some(({ act }) => act === 'accept')) this.#answered = composed.alarms;
    this[Symbol.dispose]();
    this.#newKey = undefined;
  }

  readEntries(from: number, count: number): Promise<Buffer[]> {
    return readEntries(this.#barrier, from, count);
  }

  #trailerAfter(members: readonly Pending[], growth: Growth): Trailer {
    const { epochEnds } = this.#trailer;
    const { frontier } = growth;
    if (!members.some(({ act }) => act === 'accept')) {
      return { frontier, suspected: this.suspected, epochEnds };
    }
    return { frontier, suspected: false, epochEnds: [...epochEnds, this.tree.size] };
  }
}

/** Nearly always one: a row has a bound, and entries may be long. */
function bundlesOf(entries: readonly Buffer[]): { start: number; entries: readonly Buffer[] }[] {
  const bundles: { start: number; entries: readonly Buffer[] }[] = [];
  let [start, bytes] = [0, 0];
  for (const [index, entry] of entries.entries()) {
    bytes += entry.length;
    if (bytes < bundleBytesMax && index + 1 < entries.length) continue;
    bundles.push({ start, entries: entries.slice(start, index + 1) });
    [start, bytes] = [index + 1, 0];
  }
  return bundles;
}

/** Sorts after every bundle. */
function blockRowId(row: number): string {
  return `tree-${row.toString(16).padStart(8, '0')}`;
}

async function readBlocks(barrier: Barrier): Promise<Buffer[]> {
  const blocks: Buffer[] = [];
  const audit = barrier.view('audit');
  for (let after = 'tree-'; ; ) {
    const rows = await audit.list({ after, limit: blockRowsPerPage });
    for (const { id, bytes } of rows) {
      const full = blocks.length % rowBlocks === 0 && bytes.length % treeHashBytes === 0;
      if (!full || id !== blockRowId(blocks.length / rowBlocks)) {
        throw new Fault('barrier.corrupt', { kind: 'audit', id });
      }
      for (let at = 0; at < bytes.length; at += treeHashBytes) {
        blocks.push(bytes.subarray(at, at + treeHashBytes));
      }
      after = id;
    }
    if (rows.length < blockRowsPerPage) return blocks;
  }
}

/**
 * Canonical bytes of exactly `count` entries from `from` on, which are all in the log.
 *
 * @throws Fault `barrier.corrupt` if one is missing.
 */
async function readEntries(barrier: Barrier, from: number, count: number): Promise<Buffer[]> {
  assert(count <= 65_536 && entryBytesMax * count < 2 ** 33, 'entries are read in bounded pieces');
  if (count === 0) return [];
  const audit = barrier.view('audit');
  const [first] = await audit.list({ after: bundleId(from + 1), limit: 1, reverse: true });
  const entries: Buffer[] = [];
  let expected = first === undefined ? undefined : parseBundleId(first.id);
  let page = first === undefined ? [] : [first];
  let last = { id: '', length: 0 };
  while (page.length > 0) {
    for (const { id, bytes } of page) {
      const start = parseBundleId(id);
      const bundle = decodeBundle(bytes);
      if (bundle === undefined || start === undefined || start !== expected) {
        throw new Fault('barrier.corrupt', { kind: 'audit', id });
      }
      entries.push(...bundle.slice(Math.max(0, from - start), from + count - start));
      if (entries.length === count) return entries;
      expected = start + bundle.length;
      last = { id, length: bundle.length };
    }
    // About as many as are still needed: others would be opened for nothing.
    const limit = Math.ceil((count - entries.length) / Math.max(last.length, 1));
    page = [...(await audit.list({ after: last.id, limit: Math.min(limit, bundlesPerPage) }))];
  }
  throw new Fault('barrier.corrupt', { kind: 'audit', id: bundleId(expected ?? from) });
}
