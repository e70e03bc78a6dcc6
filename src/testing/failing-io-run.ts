/**
 * A program that makes a short run of commits, with a purge and a backup in it, over and over: each
 * time the next call to write or sync fails. After every failure it looks at what a restart would
 * find, and goes on. Runs with `failing-io.c` preloaded; says at its end how many runs there were.
 *
 * Usage: LD_PRELOAD=SHIM node failing-io-run.ts SHIM EVERY EIO|ENOSPC once|on
 *
 * EVERY: tests each so-manieth call only; 1 is all of them.
 */
import { equal, ok } from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { isFault } from '../base/fault.ts';
import { openSqlite, type SqlitePhysical } from '../gateway/physical/sqlite.ts';
import { assertHistory, batchAt } from './commit-history.ts';

const revisionsBefore = 4;
const revisionsAfter = 20;
const purgeAt = 9;
const backupAt = 14;

const [shimPath = '', every = '1', errorName = 'EIO', lasting = 'once'] = process.argv.slice(2);
const shim = koffi.load(shimPath);
const arm = shim.func('void failing_io_arm(const char *directory, long k, int error, int on)');
const disarm = shim.func('long failing_io_disarm()');
const errorNumber = errorName === 'ENOSPC' ? constants.errno.ENOSPC : constants.errno.EIO;

/** What a restart would find if the process died now. */
async function revisionAfterDeath(store: string, image: string): Promise<number> {
  for (const suffix of ['', '-wal']) {
    rmSync(image + suffix, { force: true });
    if (existsSync(store + suffix)) copyFileSync(store + suffix, image + suffix);
  }
  const physical = openSqlite({ path: image, missing: 'refuse' });
  try {
    return await assertHistory(physical);
  } finally {
    await physical.close();
  }
}

class Run {
  readonly #directory = mkdtempSync(join(tmpdir(), 'coffer-io-'));
  readonly #store = join(this.#directory, 'store.db');
  /** In another directory, where nothing fails. */
  readonly #images = mkdtempSync(join(tmpdir(), 'coffer-io-'));
  readonly #image = join(this.#images, 'image.db');
  readonly #physical: SqlitePhysical = openSqlite({ path: this.#store, missing: 'create' });
  #acked = 0;

  /** @returns How many calls there were; fewer than `k`, if none failed. */
  async go(k: number): Promise<number> {
    await this.#commitTo(revisionsBefore);
    arm(this.#directory, k, errorNumber, lasting === 'on' ? 1 : 0);
    await this.#commitTo(purgeAt);
    await this.#attempt(() => this.#physical.purge());
    await this.#commitTo(backupAt);
    await this.#attempt(() => this.#physical.backup(join(this.#directory, 'backup.db')));
    await this.#commitTo(revisionsAfter);
    const calls = Number(disarm());
    await this.#physical.close();
    equal(await revisionAfterDeath(this.#store, this.#image), revisionsAfter);
    for (const path of [this.#directory, this.#images]) rmSync(path, { recursive: true });
    return calls;
  }

  async #commitTo(last: number): Promise<void> {
    while (this.#acked < last) {
      const committed = await this.#attempt(() => this.#physical.commit(batchAt(this.#acked + 1)));
      if (committed) this.#acked += 1;
      else await this.#goOn();
    }
  }

  /** @returns Whether it succeeded. Whatever failed must have failed as a fault of the storage. */
  async #attempt(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      const isExpected =
        isFault(error) && /^(storage\.(full|failed)|backup\.failed)$/.test(error.code);
      if (!isExpected) throw error;
      const after = await revisionAfterDeath(this.#store, this.#image);
      const inDoubt = error.code === 'storage.failed' ? 1 : 0;
      ok(after >= this.#acked && after <= this.#acked + inDoubt, `${error.code}: ${after}`);
      return false;
    }
  }

  /** Poisoned until reopened; a reopen that fails too is tried again when the disk is well. */
  async #goOn(): Promise<void> {
    equal(await this.#attempt(() => this.#physical.commit(batchAt(this.#acked + 1))), false);
    if (!(await this.#attempt(() => this.#physical.reopen()))) {
      disarm();
      await this.#physical.reopen();
    }
    if (lasting === 'on') disarm();
    const revision = await assertHistory(this.#physical);
    ok(revision === this.#acked || revision === this.#acked + 1, `reopened at ${revision}`);
    this.#acked = revision;
  }
}

let runs = 0;
for (let k = 1; ; k += Number(every)) {
  const run = new Run();
  try {
    if ((await run.go(k)) < k) break;
  } catch (error) {
    process.stderr.write(`call ${k} failing with ${errorName} (${lasting}):\n`);
    throw error;
  }
  runs += 1;
}
process.stdout.write(`${runs} runs\n`);
