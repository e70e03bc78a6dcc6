/**
 * Goal: SQLite keeps the contract, opens nothing that is not a sound store of ours, and leaves what
 * it refuses as it was.
 * Method: the conformance suite; then one file per way of being wrong, its bytes compared before and
 * after.
 */
import { deepEqual, equal, rejects, throws } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { FaultCode } from '../../base/fault-table.ts';
import { type PhysicalSubject, physicalSuite } from './physical.suite.ts';
import { checkSqliteCopy, openSqlite, type SqlitePhysical } from './sqlite.ts';
import { isNetworkFileSystem } from './sqlite-file.ts';
import { applySettings, requireSafeVersion, settings } from './sqlite-settings.ts';

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'coffer-sqlite-'));
  readonly store = join(this.path, 'store.db');

  open(missing: 'create' | 'refuse' = 'create'): SqlitePhysical {
    return openSqlite({ path: this.store, missing });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

async function setUp(): Promise<PhysicalSubject> {
  const folder = new Folder();
  let physical = folder.open();
  return {
    physical,
    restart: async () => {
      await physical.close();
      physical = folder.open('refuse');
      return physical;
    },
    backupPath: join(folder.path, 'backup.db'),
    async [Symbol.asyncDispose]() {
      await physical.close();
      folder[Symbol.dispose]();
    },
  };
}

physicalSuite('sqlite', setUp);

/** Commits `count` batches of `rows` rows each. */
async function fill(physical: SqlitePhysical, count: number, rows = 8): Promise<void> {
  const first = (await physical.revision()) + 1;
  for (let revision = first; revision < first + count; revision += 1) {
    const writes = Array.from({ length: rows }, (_, index) => ({
      key: `row/${revision}/${index}`,
      bytes: Buffer.alloc(300, revision),
    }));
    await physical.commit({ revision, writes, expectations: [] });
  }
}

function refused(folder: Folder, code: FaultCode): void {
  const before = readFileSync(folder.store);
  const names = readdirSync(folder.path);
  throws(() => folder.open(), { code });
  equal(before.compare(readFileSync(folder.store)), 0, `${code}: the file is as it was`);
  deepEqual(readdirSync(folder.path), names, `${code}: nothing was put beside it`);
}

describe('openSqlite: what it makes', () => {
  test('a new store is a file for its owner alone, journal included', async () => {
    using folder = new Folder();
    const physical = folder.open();
    await fill(physical, 1);
    equal(statSync(folder.store).mode & 0o777, 0o600);
    equal(statSync(`${folder.store}-wal`).mode & 0o777, 0o600);
    deepEqual(readdirSync(folder.path), ['store.db', 'store.db-wal']);
    await physical.close();
    deepEqual(readdirSync(folder.path), ['store.db']);
  });

  test('refuses to make a store when told so, or beside the journal of a lost one', () => {
    using folder = new Folder();
    throws(() => folder.open('refuse'), { code: 'storage.missing' });
    throws(() => openSqlite({ path: join(folder.path, 'none/x'), missing: 'create' }), {
      code: 'storage.missing',
    });
    writeFileSync(`${folder.store}-wal`, 'left over');
    throws(() => folder.open(), { code: 'storage.corrupt' });
    equal(existsSync(folder.store), false);
  });

  test('sweeps what a crash in creation left', async () => {
    using folder = new Folder();
    await folder.open().close();
    mkdtempSync(`${folder.store}.new-`);
    await folder.open('refuse').close();
    deepEqual(readdirSync(folder.path), ['store.db']);
  });
});

describe('openSqlite: what it refuses', () => {
  test('a second opener in this process, without disturbing the first', async () => {
    using folder = new Folder();
    const first = folder.open();
    throws(() => folder.open(), { code: 'storage.locked' });
    await fill(first, 1);
    await first.close();
    await folder.open('refuse').close();
  });

  test('a directory or a file that others may touch', async () => {
    using folder = new Folder();
    await folder.open().close();
    chmodSync(folder.store, 0o640);
    refused(folder, 'storage.unsafe');
    chmodSync(folder.store, 0o600);
    chmodSync(folder.path, 0o770);
    refused(folder, 'storage.unsafe');
    chmodSync(folder.path, 0o700);
    await folder.open('refuse').close();
  });

  test('a link to a store, and what is no file', async () => {
    using folder = new Folder();
    await folder.open().close();
    const link = join(folder.path, 'link.db');
    symlinkSync(folder.store, link);
    throws(() => openSqlite({ path: link, missing: 'create' }), { code: 'storage.unsafe' });
    throws(() => openSqlite({ path: '/dev/null', missing: 'create' }), { code: 'storage.unsafe' });
  });

  test('a file that is not ours', () => {
    using folder = new Folder();
    writeFileSync(folder.store, Buffer.alloc(8192, 'not a database, not at all. '), {
      mode: 0o600,
    });
    refused(folder, 'storage.foreign');
  });

  test('a database of another application, and one of a newer format', async () => {
    using folder = new Folder();
    await folder.open().close();
    const ours = readFileSync(folder.store);
    const other = Buffer.from(ours);
    other.writeUInt32BE(0x1234_5678, 68);
    writeFileSync(folder.store, other);
    refused(folder, 'storage.foreign');
    const newer = Buffer.from(ours);
    newer.writeUInt32BE(2, 60);
    writeFileSync(folder.store, newer);
    refused(folder, 'storage.newer');
    writeFileSync(folder.store, ours);
    await folder.open('refuse').close();
  });

  test('a store that was cut, at any length', async () => {
    using folder = new Folder();
    const physical = folder.open();
    await fill(physical, 50);
    await physical.close();
    const whole = readFileSync(folder.store);
    for (const keep of [0, 1, 99, 100, 1000, 4096, 8192, whole.length - 4096, whole.length - 1]) {
      writeFileSync(folder.store, whole.subarray(0, keep));
      refused(folder, 'storage.corrupt');
    }
  });

  test('a store whose tables are damaged, at open or when they are read', async () => {
    using folder = new Folder();
    const physical = folder.open();
    await fill(physical, 50);
    await physical.close();
    const damaged = readFileSync(folder.store);
    damaged.fill(0xff, 4096, damaged.length);
    writeFileSync(folder.store, damaged);
    refused(folder, 'storage.corrupt');
  });

  test('a journal longer than its cut store does not hide the cut', async () => {
    using folder = new Folder();
    using copy = new Folder();
    const physical = folder.open();
    await fill(physical, 100);
    await physical.purge();
    await fill(physical, 1);
    copyFileSync(folder.store, copy.store);
    copyFileSync(`${folder.store}-wal`, `${copy.store}-wal`);
    await physical.close();
    truncateSync(copy.store, 4096);
    throws(() => copy.open(), { code: 'storage.corrupt' });
  });
});

describe('checkIntegrity and checkSqliteCopy', () => {
  test('find a damaged page that opening does not read', async () => {
    using folder = new Folder();
    const physical = folder.open();
    await fill(physical, 200);
    await physical.checkIntegrity();
    await physical.close();
    equal(checkSqliteCopy(folder.store), 200);
    const damaged = readFileSync(folder.store);
    const page = Math.floor(damaged.length / 4096 / 2);
    damaged.fill(0xff, page * 4096, page * 4096 + 200);
    writeFileSync(folder.store, damaged);
    const opened = folder.open('refuse');
    await rejects(opened.checkIntegrity(), { code: 'storage.corrupt' });
    await opened.close();
    throws(() => checkSqliteCopy(folder.store), { code: 'storage.corrupt' });
  });
});

describe('purge', () => {
  test('leaves nothing of a deleted row in file or journal; without it there is (control)', async () => {
    using folder = new Folder();
    const physical = folder.open();
    const marker = Buffer.from('a-row-that-was-deleted-'.repeat(8));
    const bytes = Buffer.concat([marker, Buffer.alloc(20_000, 1)]);
    await physical.commit({ revision: 1, writes: [{ key: 'a/1', bytes }], expectations: [] });
    await physical.commit({
      revision: 2,
      writes: [{ key: 'a/1', bytes: undefined }],
      expectations: [],
    });
    const found = (): boolean =>
      readdirSync(folder.path).some((name) =>
        readFileWithoutLock(join(folder.path, name)).includes(marker),
      );
    equal(found(), true);
    await physical.purge();
    equal(found(), false);
    await physical.close();
  });
});

/** Reads through /proc of a child, so that no descriptor of this process is closed on the store. */
function readFileWithoutLock(path: string): Buffer {
  return execFileSync('cat', [path], { maxBuffer: 1 << 26 });
}

describe('settings', () => {
  test('every setting that does not read back is refused', () => {
    for (const broken of settings) {
      const target = {
        exec: () => undefined,
        value: (sql: string) => {
          const { pragma, reads } =
            settings.find((one) => sql.endsWith(` ${one.pragma}`)) ?? broken;
          return pragma === broken.pragma ? 'something else' : reads;
        },
      };
      throws(() => applySettings(target), { code: 'storage.unsafe' });
    }
  });

  test('versions of SQLite with the checkpoint race are refused', () => {
    for (const version of ['3.7.0', '3.50.9', '3.51.2', '3.52.0', '2.99.99', '0', '', 'x']) {
      throws(() => requireSafeVersion(version), { code: 'storage.unsafe' }, version);
    }
    for (const version of ['3.51.3', '3.51.4', '3.52.1', '3.53.4', '4.0.0']) {
      requireSafeVersion(version);
    }
  });

  test('network file systems are told from local ones', () => {
    for (const type of [0x6969, 0xff53_4d42, 0xff53_4d42 | 0])
      equal(isNetworkFileSystem(type), true);
    for (const type of [0xef53, 0x0102_1994]) equal(isNetworkFileSystem(type), false);
  });
});
