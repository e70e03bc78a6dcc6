/**
 * Goal (G3): a full disk never acknowledges, never corrupts, never loses, and is got over.
 * Method: a small file system is filled to within a random number of bytes; the known history is
 * committed until it is refused. Then the store must be exactly at the last acknowledged revision: as
 * it is, opened anew while still full, and after space returned; and from there it must go on.
 */
import { equal, ok, rejects } from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isFault } from '../../base/fault.ts';
import { systemRandom } from '../../base/random.ts';
import { assertHistory, batchAt } from '../../testing/commit-history.ts';
import { LoopDisk, loopDiskMissing } from '../../testing/loop-disk.ts';
import type { Physical } from './physical.ts';
import { openSqlite, type SqlitePhysical } from './sqlite.ts';

const rounds = process.env['COFFER_LONG'] === '1' ? 300 : 15;
/** More than fit into the space that is left. */
const commitsMax = 5000;
const noDisk = loopDiskMissing();

/** @returns The last revision that was acknowledged, after a commit was refused for want of space. */
async function commitUntilFull(physical: Physical): Promise<number> {
  const before = await physical.revision();
  let acked = before;
  try {
    while (acked < before + commitsMax) {
      equal((await physical.commit(batchAt(acked + 1))).kind, 'committed');
      acked += 1;
    }
    throw new Error('the disk was never full');
  } catch (error) {
    ok(isFault(error, 'storage.full'), String(error));
    return acked;
  }
}

async function commitSome(physical: SqlitePhysical, count: number): Promise<void> {
  const first = (await physical.revision()) + 1;
  for (let revision = first; revision < first + count; revision += 1) {
    equal((await physical.commit(batchAt(revision))).kind, 'committed');
  }
}

test(`a full disk refuses, keeps, and is got over, ${rounds} times`, { skip: noDisk }, async () => {
  using disk = new LoopDisk(16);
  const store = join(disk.path, 'store.db');
  const ballast = join(disk.path, 'ballast');
  const physical = openSqlite({ path: store, missing: 'create' });
  try {
    for (let round = 0; round < rounds; round += 1) {
      await commitSome(physical, 1 + systemRandom.integer(300));
      // The journal must need space again before its next checkpoint, or nothing would ever be full.
      await physical.purge();
      disk.fill(ballast, systemRandom.integer(600_000));
      const acked = await commitUntilFull(physical);
      equal(await assertHistory(physical), acked, 'as it is');
      await rejects(physical.commit(batchAt(acked + 1)), { code: 'storage.full' });
      await physical.reopen();
      equal(await assertHistory(physical), acked, 'opened anew while full');
      rmSync(ballast);
      await physical.reopen();
      equal(await assertHistory(physical), acked, 'after space returned');
      await commitSome(physical, 20);
      equal(await assertHistory(physical), acked + 20, 'going on');
    }
  } finally {
    await physical.close();
  }
});

test('a backup without space fails, leaves nothing, and harms nothing', {
  skip: noDisk,
}, async () => {
  using disk = new LoopDisk(16);
  const physical = openSqlite({ path: join(disk.path, 'store.db'), missing: 'create' });
  try {
    await commitSome(physical, 500);
    const ballast = join(disk.path, 'ballast');
    disk.fill(ballast, 100_000);
    await rejects(physical.backup(join(disk.path, 'backup.db')), { code: 'storage.full' });
    rmSync(ballast);
    await commitSome(physical, 20);
    equal(await assertHistory(physical), 520);
    equal((await physical.backup(join(disk.path, 'backup.db'))).revision, 520);
  } finally {
    await physical.close();
  }
});

test('a store cannot be made without space, and then can', { skip: noDisk }, async () => {
  using disk = new LoopDisk(16);
  const path = join(disk.path, 'store.db');
  const ballast = join(disk.path, 'ballast');
  disk.fill(ballast, 0);
  await rejects(async () => openSqlite({ path, missing: 'create' }), { code: 'storage.full' });
  rmSync(ballast);
  await openSqlite({ path, missing: 'create' }).close();
});
