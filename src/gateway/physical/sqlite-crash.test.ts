/**
 * Goal (G1, G2): no acknowledged commit is lost and no batch is seen in half, after SIGKILL and after
 * a power cut at any moment.
 * Method: a child commits a known history and tells each acknowledgement on a pipe. It is killed, or
 * its disk is cut off, after a random number of them. What is there afterwards must be the history at
 * some revision not below the last one told, exactly. Only what was read before the cut counts.
 * Controls: a writer that tells before it commits, and one that runs with synchronous=NORMAL, must
 * both be caught losing.
 */
import { equal, ok, throws } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { systemRandom } from '../../base/random.ts';
import { assertHistory } from '../../testing/commit-history.ts';
import { LoopDisk, loopDiskMissing } from '../../testing/loop-disk.ts';
import { type WriterOptions, WriterProcess } from '../../testing/writer-process.ts';
import { openSqlite } from './sqlite.ts';

const isLong = process.env['COFFER_LONG'] === '1';
const kills = isLong ? 1000 : 100;
/** Stores that are written to at once: while one is read, another's writer starts. */
const lanes = 2;
const cuts = isLong ? 300 : 15;
/** Runs after which the control must have lost something. */
const controlRuns = 20;
/** Runs on one store before it starts anew: later ones begin with what earlier ones left. */
const runsPerStore = 25;

async function revisionAfterCrash(store: string): Promise<number> {
  const physical = openSqlite({ path: store, missing: 'refuse' });
  try {
    return await assertHistory(physical);
  } finally {
    await physical.close();
  }
}

/** @returns How many acknowledged commits are missing after the kill: 0 or less is none. */
async function killOnce(options: WriterOptions, acksMax = 400): Promise<number> {
  await using writer = new WriterProcess(options);
  await writer.acks(1 + systemRandom.integer(acksMax));
  await setTimeout(systemRandom.integer(4));
  await writer.kill();
  equal(writer.errors, '');
  return writer.acked - (await revisionAfterCrash(options.store));
}

test(`SIGKILL at ${kills} random moments loses no acknowledged commit`, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-kill-'));
  const killIn = async (lane: number): Promise<void> => {
    for (let run = 0; run < kills / lanes; run += 1) {
      const store = join(directory, `${lane}-${Math.floor(run / runsPerStore)}.db`);
      const missing = await killOnce({ store });
      ok(missing === 0 || missing === -1, `run ${run}: ${missing} acknowledged commits missing`);
    }
  };
  try {
    await Promise.all(Array.from({ length: lanes }, (_, lane) => killIn(lane)));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('control: a writer that tells before it commits is caught by SIGKILL', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-kill-'));
  try {
    let lost = 0;
    for (let run = 0; run < controlRuns && lost === 0; run += 1) {
      lost = await killOnce({ store: join(directory, 'store.db'), ackEarly: true }, 10);
    }
    ok(lost > 0, 'the careless writer was never caught');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a second process on the same file is refused at once, and served after SIGKILL', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-lock-'));
  const store = join(directory, 'store.db');
  try {
    await using writer = new WriterProcess({ store });
    await writer.acks(5);
    throws(() => openSqlite({ path: store, missing: 'refuse' }), { code: 'storage.locked' });
    await using second = new WriterProcess({ store });
    await second.ended();
    ok(second.errors.includes('storage.locked'), second.errors);
    await writer.kill();
    ok((await revisionAfterCrash(store)) >= writer.acked);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** @returns How many commits are missing that had been acknowledged before the cut. */
async function cutOnce(disk: LoopDisk, options: WriterOptions): Promise<number> {
  await using writer = new WriterProcess(options);
  await writer.acks(1 + systemRandom.integer(200));
  await setTimeout(systemRandom.integer(4));
  const acked = writer.acked;
  disk.cutPower();
  await writer.ended();
  ok(writer.errors.includes('Fault: storage.'), `the writer saw the cut: ${writer.errors}`);
  disk.unmount();
  disk.mount();
  return acked - (await revisionAfterCrash(options.store));
}

const noDisk = loopDiskMissing();

test(`${cuts} power cuts lose no acknowledged commit`, { skip: noDisk }, async () => {
  using disk = new LoopDisk(64);
  for (let run = 0; run < cuts; run += 1) {
    const store = join(disk.path, `${Math.floor(run / runsPerStore)}.db`);
    const missing = await cutOnce(disk, { store });
    ok(missing <= 0, `run ${run}: ${missing} acknowledged commits missing`);
  }
});

test('control: synchronous=NORMAL is caught by a power cut', { skip: noDisk }, async () => {
  using disk = new LoopDisk(64);
  let lost = 0;
  for (let run = 0; run < controlRuns && lost <= 0; run += 1) {
    lost = await cutOnce(disk, { store: join(disk.path, 'store.db'), weakened: true });
  }
  ok(lost > 0, 'the weaker setting never lost anything');
});
