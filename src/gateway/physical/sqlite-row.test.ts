/**
 * Goal: what no commit of ours can have written, and what stands where it cannot be, is refused by name:
 * storage.corrupt, from every way of reading it (G11).
 * Method: a store that is edited with SQL, as by whoever has the file, with its checks left out.
 * Control: the store as it was made is read.
 */
import { equal, ok, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { batchAt } from '../../testing/commit-history.ts';
import { checkSqliteCopy, openSqlite, type SqlitePhysical } from './sqlite.ts';

async function editedStore(t: TestContext, sql: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-row-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'store.db');
  const physical = openSqlite({ path, missing: 'create' });
  for (let revision = 1; revision <= 8; revision++) await physical.commit(batchAt(revision));
  await physical.close();
  using database = new DatabaseSync(path, { defensive: false });
  database.exec(sql);
  return path;
}

async function readAll(physical: SqlitePhysical): Promise<void> {
  ok(await physical.get('slot/3'));
  ok((await physical.list('', { limit: 100 })).length > 8);
  for await (const rows of physical.scan({ without: 'none/', expected: 10 })) ok(rows.length > 8);
}

const withoutChecks = 'PRAGMA ignore_check_constraints=1; PRAGMA writable_schema=1;';
/** Takes STRICT away and puts it back, so that columns hold what they never could. */
const loosely = (change: string): string => `${withoutChecks}
  UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')');
  PRAGMA writable_schema=RESET; ${change}; PRAGMA writable_schema=1;
  UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE type = 'table'; PRAGMA writable_schema=RESET;`;

const rowEdits: Readonly<Record<string, string>> = {
  'a key with a space': "UPDATE rows SET key = 'slot 3' WHERE key = 'slot/3'",
  'a key of bytes': loosely("UPDATE rows SET key = x'736c6f742f33' WHERE key = 'slot/3'"),
  'a revision of 0': "UPDATE rows SET revision = 0 WHERE key = 'slot/3'",
  'a revision below 0': "UPDATE rows SET revision = -1 WHERE key = 'slot/3'",
  'a revision above all': "UPDATE rows SET revision = 9007199254740993 WHERE key = 'slot/3'",
  'a revision of text': loosely("UPDATE rows SET revision = 'x' WHERE key = 'slot/3'"),
  'bytes of text': loosely("UPDATE rows SET bytes = 'x' WHERE key = 'slot/3'"),
};

for (const [name, sql] of Object.entries(rowEdits)) {
  test(`a row with ${name} is refused, however it is read`, async (t) => {
    const path = await editedStore(t, sql);
    const physical = openSqlite({ path, missing: 'refuse' });
    try {
      const code = 'storage.corrupt';
      // Bytes sort behind every text: no listing looks there, a scan does.
      if (name !== 'a key of bytes') await rejects(physical.list('', { limit: 100 }), { code });
      const scan = physical.scan({ without: 'none/', expected: 10 });
      await rejects(
        async () => {
          for await (const _rows of scan);
        },
        { code },
      );
      if (!name.includes('key')) await rejects(physical.get('slot/3'), { code });
    } finally {
      await physical.close();
    }
  });
}

const storeEdits: Readonly<Record<string, string>> = {
  'no revision': 'DELETE FROM store',
  'a revision below 0': 'UPDATE store SET revision = -1',
  'a revision above all': 'UPDATE store SET revision = 9007199254740993',
};

for (const [name, sql] of Object.entries(storeEdits)) {
  test(`a store with ${name} is not opened`, async (t) => {
    const path = await editedStore(t, sql);
    const code = 'storage.corrupt';
    await rejects(async () => openSqlite({ path, missing: 'refuse' }), { code });
    await rejects(async () => checkSqliteCopy(path), { code });
  });
}

test('control: the store as it was made is read, and its copy is checked', async (t) => {
  const path = await editedStore(t, 'SELECT 1');
  const physical = openSqlite({ path, missing: 'refuse' });
  await readAll(physical);
  equal(await physical.revision(), 8);
  await physical.close();
  equal(checkSqliteCopy(path), 8);
});
