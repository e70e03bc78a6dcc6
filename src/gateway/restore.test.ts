/**
 * Goal: a restore is whole or not there, whoever interrupts it; half a store is refused by name; and a record
 * that was altered inside a backup opens nothing (G4, G11).
 * Method: real files, and a gateway that starts from them. Control: the same backup, whole, opens.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { gatewayConfig } from './config.ts';
import { makeDataDirectory, storePath } from './data-directory.ts';
import { startGateway } from './gateway.ts';
import { initialise } from './init.ts';
import { openPhysical } from './physical/physical.ts';
import { restoreStore } from './restore.ts';

const context = { clock: systemClock, random: systemRandom, log: silentLog };

async function setUp(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-restore-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const configFor = (name: string) =>
    gatewayConfig({
      data: join(directory, name),
      listen: '127.0.0.1:0',
      'node-listen': '127.0.0.1:0',
      'key-file': join(directory, 'key'),
    });
  await initialise(configFor('first'), { kind: 'keyfile' }, context);
  const backup = join(directory, 'backup');
  const path = storePath(configFor('first'));
  const physical = await openPhysical({ kind: 'sqlite', path, missing: 'refuse' });
  await physical.backup(backup);
  await physical.close();
  const config = configFor('second');
  makeDataDirectory(config);
  return { backup, config, store: storePath(config) };
}

async function verify(path: string): Promise<number> {
  const physical = await openPhysical({ kind: 'sqlite', path, missing: 'refuse' });
  try {
    await physical.checkIntegrity();
    return await physical.revision();
  } finally {
    await physical.close();
  }
}

test('a restore that is interrupted leaves no store, and the next one is whole', async (t) => {
  const { backup, config, store } = await setUp(t);
  // What a kill leaves at any moment before the end: some bytes under the other name.
  const whole = readFileSync(backup);
  for (const length of [0, 100, 4096, whole.length - 1, whole.length]) {
    writeFileSync(`${store}.restoring`, whole.subarray(0, length), { mode: 0o600 });
    await rejects(startGateway(config, context), { code: 'storage.missing' }, `${length} bytes`);
  }
  await rejects(
    restoreStore(backup, store, () => Promise.reject(new Fault('storage.corrupt'))),
    { code: 'storage.corrupt' },
  );
  deepEqual(readdirSync(config.dataDirectory), [], 'one that fails leaves nothing');
  equal(await restoreStore(backup, store, verify), await verify(backup));
  deepEqual(readdirSync(config.dataDirectory), ['store.db']);
  await rejects(restoreStore(backup, store, verify), { code: 'storage.exists' });
  await using gateway = await startGateway(config, context);
  equal(gateway.core.barrier.state, 'ready', 'control: it opens');
});

test('a restore goes nowhere near what is left of another store', async (t) => {
  const { backup, config, store } = await setUp(t);
  for (const left of ['store.db-wal', 'store.db-shm', 'store.db-journal']) {
    writeFileSync(join(config.dataDirectory, left), 'of another store');
    await rejects(restoreStore(backup, store, verify), { code: 'storage.exists' }, left);
    deepEqual(readdirSync(config.dataDirectory), [left]);
    rmSync(join(config.dataDirectory, left));
  }
  equal(await restoreStore(backup, store, verify), await verify(backup), 'control');
});

test('one of two restores at once is refused, and the other is whole', async (t) => {
  const { backup, config, store } = await setUp(t);
  const made = async (path: string): Promise<number> => {
    const revision = await verify(path);
    writeFileSync(store, 'of somebody else', { flag: 'wx' });
    return revision;
  };
  await rejects(restoreStore(backup, store, made), { code: 'storage.exists' });
  equal(readFileSync(store, 'utf8'), 'of somebody else');
  deepEqual(readdirSync(config.dataDirectory), ['store.db']);
});

test('half a store under the right name is refused, by who verifies and by who starts', async (t) => {
  const { backup, config, store } = await setUp(t);
  const whole = readFileSync(backup);
  for (const length of [100, 4096, whole.length / 2]) {
    writeFileSync(store, whole.subarray(0, length), { mode: 0o600 });
    const isNamed = (error: unknown): boolean =>
      error instanceof Fault && /^(storage|barrier)\./.test(error.code);
    await rejects(verify(store), isNamed, `${length} bytes`);
    await rejects(startGateway(config, context), isNamed, `${length} bytes`);
    for (const name of readdirSync(config.dataDirectory)) rmSync(join(config.dataDirectory, name));
  }
});

test('a record that was altered inside a backup reads well and opens nothing', async (t) => {
  const { backup, config, store } = await setUp(t);
  const database = new DatabaseSync(backup);
  const [row] = database.prepare("SELECT key, bytes FROM rows WHERE key LIKE 'principal/%'").all();
  ok(row?.['bytes'] instanceof Uint8Array);
  row['bytes'][row['bytes'].length - 1] = Number(row['bytes'].at(-1)) ^ 1;
  database
    .prepare('UPDATE rows SET bytes = ? WHERE key = ?')
    .run(row['bytes'], row['key'] as string);
  database.close();
  // Neither needs the unseal material, so neither can tell: the guide says so.
  await restoreStore(backup, store, verify);
  await rejects(
    startGateway(config, context),
    (error) => error instanceof Fault && /^barrier\.(corrupt|tampered)$/.test(error.code),
  );
});
