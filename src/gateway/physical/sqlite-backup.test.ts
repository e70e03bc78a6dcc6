/**
 * Goal (G4): a backup taken under load opens as a store that is the commit history up to one
 * revision: none before what was acknowledged when it was asked for, none after its end.
 * Method: commit the known history without pause, and take backup after backup; open each and
 * compare it row by row.
 * Control: a plain copy of the file, taken under the same load, must be caught.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { assertHistory, batchAt } from '../../testing/commit-history.ts';
import { checkSqliteCopy, openSqlite, type SqlitePhysical } from './sqlite.ts';

const backups = process.env['COFFER_LONG'] === '1' ? 200 : 20;

class Stage implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'coffer-backup-'));
  readonly store = join(this.directory, 'store.db');
  readonly physical: SqlitePhysical = openSqlite({ path: this.store, missing: 'create' });

  async commit(count: number): Promise<void> {
    const first = (await this.physical.revision()) + 1;
    for (let revision = first; revision < first + count; revision += 1) {
      equal((await this.physical.commit(batchAt(revision))).kind, 'committed');
    }
  }

  /** Commits without pause until `until` is settled. */
  async commitDuring<T>(until: Promise<T>): Promise<T> {
    const load = { goesOn: true };
    const watched = until.finally(() => {
      load.goesOn = false;
    });
    while (load.goesOn) {
      await this.commit(1);
      await setImmediate();
    }
    return watched;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.physical.close();
    rmSync(this.directory, { recursive: true });
  }
}

test(`${backups} backups under load are each the history at one revision`, async () => {
  await using stage = new Stage();
  await stage.commit(1200);
  let moved = 0;
  for (let run = 0; run < backups; run += 1) {
    const path = join(stage.directory, `backup-${run}.db`);
    const before = await stage.physical.revision();
    const made = await stage.commitDuring(stage.physical.backup(path));
    const after = await stage.physical.revision();
    ok(made.revision >= before && made.revision <= after, `run ${run}`);
    equal(statSync(path).size, made.bytes);
    equal(statSync(path).mode & 0o777, 0o600);
    const restored = openSqlite({ path, missing: 'refuse' });
    equal(await assertHistory(restored), made.revision);
    equal((await restored.commit(batchAt(made.revision + 1))).kind, 'committed');
    await restored.close();
    rmSync(path);
    if (made.revision > before) moved += 1;
  }
  ok(moved > 0, 'there was no load: no backup saw a commit go by');
  await assertHistory(stage.physical);
  deepEqual(readdirSync(stage.directory), ['store.db', 'store.db-wal']);
});

test('control: a plain copy of the file under load is caught', async () => {
  await using stage = new Stage();
  await stage.commit(100);
  const path = join(stage.directory, 'copied.db');
  execFileSync('cp', ['-p', stage.store, path]);
  ok(checkSqliteCopy(path) < 100, 'the copy lacks what was acknowledged');
});

test('backups asked for at once are made one after the other, and close waits for them', async () => {
  await using stage = new Stage();
  await stage.commit(50);
  const paths = ['a', 'b', 'c'].map((name) => join(stage.directory, name));
  const made = Promise.all(paths.map((path) => stage.physical.backup(path)));
  await stage.physical.close();
  deepEqual(
    (await made).map(({ revision }) => revision),
    [50, 50, 50],
  );
  for (const path of paths) equal(checkSqliteCopy(path), 50);
});

test('a backup is refused where it would overwrite, follow a link, or lie open', async () => {
  await using stage = new Stage();
  const link = join(stage.directory, 'link');
  const target = join(stage.directory, 'target');
  symlinkSync(target, link);
  await rejects(stage.physical.backup(link), { code: 'backup.exists' });
  equal(existsSync(target), false);
  await rejects(stage.physical.backup(stage.store), { code: 'backup.exists' });
  await rejects(stage.physical.backup('/tmp/coffer-open-to-all.db'), { code: 'storage.unsafe' });
  await rejects(stage.physical.backup(join(stage.directory, 'none/b')), { code: 'backup.failed' });
});
