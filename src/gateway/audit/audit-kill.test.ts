/**
 * Goal: SIGKILL at any moment, also in the middle of a rotation, loses nothing that was acknowledged
 * and leaves no effect without its entry, nor an entry without its effect (G1, G12, G35).
 * Method: a process writes over SQLite and is killed after some acknowledgements, again and again on one
 * store; after each time the store is unsealed here (which checks the state digest), its records are
 * compared with its entries, and the log with a checkpoint remembered before. The control commits the
 * entry after the effect, and must be caught.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { AuditVerifier } from '../../crypto/audit-verify.ts';
import { compileCache } from '../../testing/compile-cache.ts';
import { Barrier } from '../barrier/barrier.ts';
import { openSqlite } from '../physical/sqlite.ts';
import { Audit } from './audit.ts';

const program = join(import.meta.dirname, '../../testing/audited-writer.ts');
const directory = mkdtempSync(join(tmpdir(), 'coffer-kill-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const keyFile = join(directory, 'key');
writeFileSync(keyFile, Buffer.concat([Buffer.from('coffer-key-1\n'), systemRandom.bytes(32)]), {
  mode: 0o600,
});

/** Runs the writer until it acknowledged so many, kills it, and gives the ids that it told. */
async function killedAfter(store: string, acks: number, ...flags: string[]): Promise<string[]> {
  const child = spawn(process.execPath, [program, store, keyFile, ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
  });
  const ids: string[] = [];
  createInterface(child.stdout).on('line', (id) => {
    ids.push(id);
    // An acknowledgement marks one moment of the writer's round; any other must be hit as well.
    if (ids.length === acks) setTimeout(() => child.kill('SIGKILL'), systemRandom.fraction() * 12);
  });
  const [code, signal] = await once(child, 'close');
  deepEqual([code, signal], [null, 'SIGKILL'], 'it ran until it was killed');
  // A line may have been cut in the middle.
  return ids.filter((id) => /^r\d+-\d+-\d+$/.test(id));
}

interface Found {
  readonly records: readonly string[];
  readonly recorded: readonly string[];
  readonly note: string;
  readonly verdict: string;
  readonly rotations: number;
}

async function look(store: string, remembered: readonly string[]): Promise<Found> {
  const parts = { clock: systemClock, random: systemRandom, log: silentLog };
  const physical = openSqlite({ path: store, missing: 'refuse' });
  const barrier = await Barrier.open({ ...parts, physical, projections: [], seal: { keyFile } });
  await barrier.unseal(Buffer.alloc(0));
  const audit = new Audit({ ...parts, barrier });
  const records: string[] = [];
  for (const view of [barrier.view('secret'), barrier.view('value')]) {
    for (let after = ''; ; ) {
      const page = await view.list({ limit: 1000, ...(after === '' ? {} : { after }) });
      for (const { id, bytes } of page) {
        equal(bytes.toString(), id.replace(/\/1$/, ''));
        if (view.kind === 'secret') records.push(id);
      }
      after = page.at(-1)?.id ?? '';
      if (page.length < 1000) break;
    }
  }
  const entries: Buffer[] = [];
  const recorded: string[] = [];
  for (let from: number | undefined = 0; from !== undefined; ) {
    const page: Awaited<ReturnType<Audit['entries']>> = await audit.entries({ from, limit: 1000 });
    for (const { action, resource, bytes } of page.entries) {
      entries.push(bytes);
      if (action === 'put') recorded.push(resource);
    }
    from = page.next;
  }
  const { note, verifierKey } = await audit.checkpoint();
  const verifier = new AuditVerifier(verifierKey, [...remembered, note]);
  for (const entry of entries) verifier.add(entry);
  const verdict = verifier.finish().kind;
  // Each makes a root key and a journal key.
  const rotations = (barrier.rootKeys.status().keyNumber - 1) / 2;
  audit.close();
  await physical.close();
  return {
    records: records.toSorted(),
    recorded: recorded.toSorted(),
    note,
    verdict,
    rotations,
  };
}

/** Kills one store's writer so many times, and looks after each. @returns rotations on the way */
async function killRepeatedly(store: string, rounds: number): Promise<number> {
  const acked = new Set<string>();
  const notes: string[] = [];
  let rotations = 0;
  for (let round = 0; round < rounds; round++) {
    for (const id of await killedAfter(store, 1 + systemRandom.integer(400))) acked.add(id);
    const found = await look(store, notes);
    deepEqual(found.records, found.recorded, `round ${round}: an effect and its entry are one`);
    const there = new Set(found.records);
    for (const id of acked) ok(there.has(id), `round ${round}: ${id} was acknowledged`);
    equal(found.verdict, 'verified', `round ${round}: the log continues what was remembered`);
    notes.push(found.note);
    ({ rotations } = found);
  }
  return rotations;
}

test('SIGKILL while writing and rotating: what was acknowledged is there, each with its entry', async () => {
  const rounds = process.env['COFFER_LONG'] === '1' ? 1000 : 20;
  // A store of its own every ten rounds: reading all of it each time must stay quick. Two stores at once:
  // while one is read, the other's writer runs.
  const [roundsPerStore, lanes] = [10, 2];
  const killIn = async (lane: number): Promise<number> => {
    let rotations = 0;
    for (let done = 0; done < rounds / lanes; done += roundsPerStore) {
      rotations += await killRepeatedly(join(directory, `store-${lane}-${done}`), roundsPerStore);
    }
    return rotations;
  };
  const rotated = await Promise.all(Array.from({ length: lanes }, (_, lane) => killIn(lane)));
  const rotations = rotated.reduce((sum, count) => sum + count, 0);
  ok(rotations > 0, 'control: no rotation was on the way');
});

test('control: an entry that is committed after its effect is caught missing', async () => {
  for (let round = 0; round < 20; round++) {
    const store = join(directory, `late-${round}`);
    await killedAfter(store, 20 + systemRandom.integer(50), '--entry-late');
    const { records, recorded } = await look(store, []);
    if (records.length > recorded.length) return;
  }
  throw new Error('the careless writer was never caught');
});
