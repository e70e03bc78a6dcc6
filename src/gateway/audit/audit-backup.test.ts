/**
 * Goal (G4): a backup taken while eight write is the store at one moment: it unseals, its log has the root
 * that was recorded for its size, every entry has its effect; no value and no name is in it; and without
 * the key it opens nothing.
 * Method: writers record size and root after each commit; each backup is opened as a restored one is.
 * Controls: a root of another size, a canary that is planted, the right key.
 */
import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemRandom } from '../../base/random.ts';
import { AuditedStores, testEntry } from '../../testing/audited-store.ts';
import { formsFound } from '../../testing/canary-scan.ts';
import { KeyFilePlace } from '../../testing/unsealed-barrier.ts';
import type { Barrier } from '../barrier/barrier.ts';
import { removeStore } from '../physical/physical.ts';
import { openSqlite } from '../physical/sqlite.ts';
import type { Audit } from './audit.ts';

const backups = process.env['COFFER_LONG'] === '1' ? 200 : 10;
/** All of a backup is read each time: a store of its own every so often keeps that quick. */
const backupsPerStore = 10;
const writers = 8;
const canary = systemRandom.bytes(24);
const stores = new AuditedStores();
const directory = mkdtempSync(join(tmpdir(), 'coffer-audit-backup-'));
after(() => {
  stores.closeAll();
  rmSync(directory, { recursive: true, force: true });
});

const rootOf = (audit: Audit): string => Buffer.from(audit.root).toString('hex');

/** Writes secrets until it is told to stop; remembers the log's root at each size there was. */
class Load {
  readonly roots = new Map<number, string>();
  readonly #audit: Audit;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<unknown>;

  constructor(audit: Audit) {
    this.#audit = audit;
    this.#note();
    const all = Array.from({ length: writers }, (_, writer) => this.#write(writer));
    this.#ended = Promise.all(all);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
  }

  async #write(writer: number): Promise<void> {
    const run = this.#audit.size;
    const { signal } = this.#stopping;
    for (let index = 0; !signal.aborted; index += 1) {
      const id = `r${run}-${writer}-${index}`;
      await this.#audit.commit({
        writes: [
          { kind: 'secret', id, bytes: Buffer.from(`name ${canary.toString('hex')} ${id}`) },
          { kind: 'value', id: `${id}.1`, bytes: Buffer.concat([canary, Buffer.from(id)]) },
        ],
        expectations: [{ kind: 'secret', id, revision: 0 }],
        entries: [{ ...testEntry('put'), resource: id }],
      });
      // All members of a commit get here before the next one begins.
      this.#note();
    }
  }

  #note(): void {
    this.roots.set(this.#audit.size, rootOf(this.#audit));
  }
}

/** Every entry has its effect, and every effect its entry. */
async function requireOne(barrier: Barrier, audit: Audit): Promise<void> {
  const recorded: string[] = [];
  for (let from: number | undefined = 0; from !== undefined; ) {
    const page: Awaited<ReturnType<Audit['entries']>> = await audit.entries({ from, limit: 1000 });
    recorded.push(...page.entries.map(({ resource }) => resource));
    from = page.next;
  }
  const found: string[] = [];
  const secrets = barrier.view('secret');
  for (let after = ''; ; ) {
    const page = await secrets.list(after === '' ? { limit: 1000 } : { limit: 1000, after });
    found.push(...page.map(({ id }) => id));
    after = page.at(-1)?.id ?? '';
    if (page.length < 1000) break;
  }
  deepEqual(found.toSorted(), recorded.toSorted());
}

/** @returns How many of them saw commits go by. */
async function backUp(rounds: number, name: string): Promise<number> {
  const place = stores.place();
  using stranger = new KeyFilePlace();
  await stranger.unsealed();
  const physical = openSqlite({ path: join(directory, name), missing: 'create' });
  const { audit } = await stores.start(place, physical);
  const path = join(directory, 'backup.db');
  let moved = 0;
  for (let round = 0; round < rounds; round += 1) {
    const load = new Load(audit);
    const before = audit.size;
    await physical.backup(path);
    await load.stop();
    const restored = openSqlite({ path, missing: 'refuse' });
    const copy = await stores.start(place, restored);
    const { size } = copy.audit;
    ok(size >= before && size <= audit.size, `${before} … ${size} … ${audit.size}`);
    equal(rootOf(copy.audit), load.roots.get(size), `the root at ${size}`);
    if (size > before) {
      notEqual(rootOf(copy.audit), load.roots.get(before), 'control: another size, another root');
      moved += 1;
    }
    await requireOne(copy.barrier, copy.audit);
    await rejects(stranger.unsealed({ physical: restored }), { code: 'seal.wrong-material' });
    await restored.close();
    deepEqual(formsFound(readFileSync(path, 'latin1'), canary), []);
    appendFileSync(path, canary.toString('base64'));
    ok(formsFound(readFileSync(path, 'latin1'), canary).length > 0, 'control: planted');
    removeStore(path);
  }
  audit.close();
  await physical.close();
  return moved;
}

test(`${backups} backups of a store that eight write to are each one moment of its log (G4)`, async () => {
  let moved = 0;
  for (let made = 0; made < backups; made += backupsPerStore) {
    moved += await backUp(Math.min(backupsPerStore, backups - made), `store-${made}`);
  }
  ok(moved > 0, 'there was no load: no backup saw a commit go by');
});
