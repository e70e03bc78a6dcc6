/**
 * Goal: however many backups are asked for, however slowly they are read and however they end, the store
 * keeps the space that it needs and nothing stays behind (G3, G4).
 * Method: a real store; readers that stop, leave or come in numbers; a small disk that is filled; what a
 * crash leaves is put there by hand. Controls: one that is asked for alone and in time is whole.
 */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isFault } from '../base/fault.ts';
import { systemRandom } from '../base/random.ts';
import { batchAt } from '../testing/commit-history.ts';
import { LoopDisk, loopDiskMissing } from '../testing/loop-disk.ts';
import { Backups, sweepBackups } from './backups.ts';
import { storePath } from './data-directory.ts';
import { checkSqliteCopy, openSqlite, type SqlitePhysical } from './physical/sqlite.ts';

const noDisk = loopDiskMissing();

function newDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-backups-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Longer than one piece. */
async function setUp(t: TestContext, dataDirectory: string) {
  const config = { dataDirectory };
  const physical = openSqlite({ path: storePath(config), missing: 'create' });
  t.after(() => physical.close());
  await commitTo(physical, 200);
  return { physical, backups: new Backups({ config, physical, random: systemRandom }) };
}

async function commitTo(physical: SqlitePhysical, last: number): Promise<void> {
  for (let revision = (await physical.revision()) + 1; revision <= last; revision += 1) {
    equal((await physical.commit(batchAt(revision))).kind, 'committed');
  }
}

/** @returns The revision that the whole of it holds. */
async function readWhole(pieces: AsyncIterable<Uint8Array>, to: string): Promise<number> {
  const bytes = await Array.fromAsync(pieces);
  writeFileSync(to, Buffer.concat(bytes), { mode: 0o600 });
  return checkSqliteCopy(to);
}

const storeAlone = ['store.db', 'store.db-wal'];

test('one backup is made at a time, and none has a name while it is read', async (t) => {
  const [directory, elsewhere] = [newDirectory(t), newDirectory(t)];
  const { backups } = await setUp(t, directory);
  const slow = backups.take();
  const another = backups.take();
  const first = await slow.next();
  ok(first.value && first.value.length > 0);
  deepEqual(readdirSync(directory), storeAlone, 'while it is read');
  for (let count = 0; count < 5; count += 1)
    throws(() => backups.take(), { code: 'backup.under-way' });
  await rejects(another.next(), { code: 'backup.under-way' }, 'asked for before, begun after');
  await slow.return(undefined);
  const whole = await readWhole(backups.take(), join(elsewhere, 'whole.db'));
  equal(whole, 200, 'control: once the slow reader has left');
  deepEqual(readdirSync(directory), storeAlone);
});

test('a backup that fails or is never begun keeps nobody waiting', async (t) => {
  const [directory, elsewhere] = [newDirectory(t), newDirectory(t)];
  const { physical } = await setUp(t, directory);
  let fails = true;
  const failing: Pick<SqlitePhysical, 'backup'> = {
    backup: (path) => (fails ? Promise.reject(new Error('a bug')) : physical.backup(path)),
  };
  const config = { dataDirectory: directory };
  const backups = new Backups({ config, physical: failing, random: systemRandom });
  backups.take();
  await rejects(backups.take().next(), /a bug/);
  fails = false;
  equal(await readWhole(backups.take(), join(elsewhere, 'whole.db')), 200);
});

test('what a crash left is removed at the start, and nothing else', (t) => {
  const directory = newDirectory(t);
  const id = systemRandom.bytes(8).toString('hex');
  const kept = ['backup-2026-03-01.coffer', 'backup-2026.db', 'store.db', `my-backup-${id}.db`];
  for (const name of kept) writeFileSync(join(directory, name), '');
  writeFileSync(join(directory, `backup-${id}.db`), '');
  mkdirSync(join(directory, `backup-${id}.db.new-x1Y2z3`));
  writeFileSync(join(directory, `backup-${id}.db.new-x1Y2z3`, 'store'), '');
  sweepBackups({ dataDirectory: directory });
  deepEqual(readdirSync(directory).toSorted(), kept.toSorted());
});

test('a backup leaves the store the space that it needs', { skip: noDisk }, async (t) => {
  using disk = new LoopDisk(32);
  const { physical, backups } = await setUp(t, disk.path);
  const whole = await readWhole(backups.take(), join(newDirectory(t), 'whole.db'));
  equal(whole, 200, 'control: with space');
  await physical.purge();
  const store = statSync(storePath({ dataDirectory: disk.path })).size;
  const ballast = join(disk.path, 'ballast');
  const { bavail, bsize, blocks } = statfsSync(disk.path);
  // The copy would fit, and of what is to stay free half would be left.
  const left = store + 0.05 * blocks * bsize;
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - left, 1));
  const before = readdirSync(disk.path);
  const refused = await backups
    .take()
    .next()
    .catch((error: unknown) => error);
  ok(isFault(refused, 'backup.no-space'), String(refused));
  const { needed, free, reserve } = refused.detail;
  ok(Number(free) > Number(needed) && Number(free) - Number(needed) < Number(reserve));
  deepEqual(readdirSync(disk.path), before);
  await commitTo(physical, 220);
  rmSync(ballast);
  equal(await readWhole(backups.take(), join(newDirectory(t), 'later.db')), 220);
  await physical.close();
});
