/**
 * How many durable commits a second SQLite makes, by rows that share one, on the calling thread and
 * in a worker thread that is handed every batch.
 *
 * Usage: node bench/physical.ts [directory on the disk to measure]
 */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import type { CommitOutcome, PhysicalBatch } from '../src/gateway/physical/physical.ts';
import { openSqlite } from '../src/gateway/physical/sqlite.ts';
import { exitOnSignals, temporaryDirectory } from '../src/testing/left-behind.ts';

const rowBytes = 300;
const rowsPerPut = 4;
const sizes = [
  { puts: 1, commits: 4000 },
  { puts: 16, commits: 1000 },
  { puts: 64, commits: 300 },
];

interface Committer {
  commit(batch: PhysicalBatch): Promise<CommitOutcome>;
  close(): Promise<unknown>;
}

/** Half of the rows are new and at the end, half replace one of a million. */
function batchOf(revision: number, puts: number): PhysicalBatch {
  const writes = Array.from({ length: puts * rowsPerPut }, (_, index) => {
    const serial = revision * puts * rowsPerPut + index;
    const id = index % 2 === 0 ? serial : Math.imul(serial, 0x9e37_79b1) >>> 12;
    const key = `${index % 2 === 0 ? 'version' : 'secret'}/${id.toString(36).padStart(10, '0')}`;
    return { key, bytes: Buffer.alloc(rowBytes, index) };
  });
  const distinct = new Map(writes.map((write) => [write.key, write]));
  return { revision, writes: [...distinct.values()], expectations: [] };
}

function inWorker(path: string): Committer {
  const worker = new Worker(new URL(import.meta.url));
  const ask = (message: unknown): Promise<CommitOutcome> => {
    const { promise, resolve } = Promise.withResolvers<CommitOutcome>();
    worker.once('message', resolve);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(message);
    return promise;
  };
  const opened = ask(path);
  return {
    commit: (batch) => opened.then(() => ask(batch)),
    close: () => ask('close').then(() => worker.terminate()),
  };
}

function serve(): void {
  let physical: ReturnType<typeof openSqlite> | undefined;
  const answer = async (message: string | PhysicalBatch): Promise<unknown> => {
    if (message === 'close') return physical?.close();
    if (typeof message !== 'string') return physical?.commit(message);
    physical = openSqlite({ path: message, missing: 'create' });
    return undefined;
  };
  parentPort?.on('message', (message: string | PhysicalBatch) => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    void answer(message).then((outcome) => parentPort?.postMessage(outcome));
  });
}

async function measure(
  name: string,
  committer: Committer,
  size: (typeof sizes)[number],
): Promise<void> {
  const batches = Array.from({ length: size.commits + 1 }, (_, at) => batchOf(at + 1, size.puts));
  const times: number[] = [];
  for (const batch of batches) {
    const begun = performance.now();
    const outcome = await committer.commit(batch);
    if (outcome.kind !== 'committed') throw new Error(outcome.kind);
    times.push(performance.now() - begun);
  }
  const counted = times.slice(1).sort((left, right) => left - right);
  const seconds = counted.reduce((sum, time) => sum + time, 0) / 1000;
  const at = (share: number): string =>
    (counted[Math.floor((counted.length - 1) * share)] ?? 0).toFixed(2);
  const perSecond = size.commits / seconds;
  process.stdout.write(
    `${name}, ${size.puts} x ${rowsPerPut} rows of ${rowBytes} B: ${perSecond.toFixed(0)} commits/s, ` +
      `${(perSecond * size.puts).toFixed(0)} puts/s, ms p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)}\n`,
  );
}

async function main(): Promise<void> {
  exitOnSignals();
  using directory = temporaryDirectory('coffer-bench-', process.argv[2]);
  for (const size of sizes) {
    const one = join(directory.path, `${size.puts}-thread.db`);
    const other = join(directory.path, `${size.puts}-worker.db`);
    const inThread = openSqlite({ path: one, missing: 'create' });
    await measure('calling thread', inThread, size);
    await inThread.close();
    const worker = inWorker(other);
    await measure('worker thread ', worker, size);
    await worker.close();
  }
}

if (isMainThread) await main();
else serve();
