/**
 * Goal (G11): whatever somebody writes over the store's file, a gateway that starts from it answers what it
 * would have answered, or refuses with a fault. Never another plaintext, never a crash.
 * Method: a real store, of which each round changes bytes at random: anywhere, where SQLite keeps its
 * structure, whole pages exchanged. Everything there is to be read is read, and compared with the
 * untouched store. Controls: the untouched store reads as it is; some edits are refused, some change nothing.
 */
import { ok, rejects } from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { isFault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom as random } from '../base/random.ts';
import { parseName, parseSecretName } from '../model/name.ts';
import { SecretValue } from '../model/secret-value.ts';
import { newOwner } from '../testing/new-owner.ts';
import { type RecordKind, recordKinds } from './barrier/record.ts';
import { gatewayConfig } from './config.ts';
import { type Core, openCore } from './core.ts';
import { makeDataDirectory, sealContext, storePath } from './data-directory.ts';
import { startGateway } from './gateway.ts';
import { initialise } from './init.ts';
import { openPhysical, removeStore } from './physical/physical.ts';

const rounds = process.env['COFFER_LONG'] === '1' ? 10_000 : 300;
const pageBytes = 4096;
const directory = mkdtempSync(join(tmpdir(), 'coffer-edited-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const context = { clock: systemClock, random, log: silentLog };
const configFor = (name: string) =>
  gatewayConfig({
    data: join(directory, name),
    'key-file': join(directory, 'key'),
    listen: '127.0.0.1:0',
    'node-listen': '127.0.0.1:0',
  });

/** Opens the store as a gateway does, and closes it whatever happens. */
async function withCore<T>(path: string, act: (core: Core) => Promise<T>): Promise<T> {
  const physical = await openPhysical({ kind: 'sqlite', path, missing: 'refuse' });
  try {
    const core = await openCore({
      ...context,
      physical,
      seal: sealContext(configFor('store')),
      leaseMs: 60_000,
      settings: () => ({ address: '', pin: '', streamAddress: '', trustDomain: 'test' }),
    });
    try {
      await core.barrier.unseal(Buffer.alloc(0));
      return await act(core);
    } finally {
      core.audit.close();
    }
  } finally {
    await physical.close();
  }
}

/** Which records there are: kind and id. */
async function idsOf({ barrier }: Core): Promise<readonly (readonly [RecordKind, string])[]> {
  const ids: [RecordKind, string][] = [];
  for (const kind of recordKinds) {
    const records = await barrier.view(kind).list({ limit: 1000 });
    ids.push(...records.map(({ id }): [RecordKind, string] => [kind, id]));
  }
  return ids;
}

/** Everything that a gateway ever reads: each record by its id, the log from end to end, its proofs. */
async function readAll(
  { barrier, audit }: Core,
  ids: readonly (readonly [RecordKind, string])[],
): Promise<string> {
  const parts: unknown[] = [barrier.revision, barrier.installation, audit.size];
  for (const [kind, id] of ids) {
    const record = await barrier.view(kind).get(id);
    parts.push([kind, id, record?.revision, record?.bytes.toString('base64')]);
  }
  const { entries } = await audit.entries({ from: 0, limit: 1000 });
  parts.push(entries.map(({ bytes }) => bytes.toString('base64')));
  for (const sequence of [0, audit.size >> 1, audit.size - 1]) {
    const { inclusion } = await audit.prove(sequence);
    parts.push(inclusion.map((hash) => Buffer.from(hash).toString('hex')));
  }
  return JSON.stringify(parts);
}

async function makeStore(): Promise<string> {
  const config = configFor('store');
  await initialise(config, { kind: 'keyfile' }, context);
  const path = storePath(config);
  await withCore(path, async (core) => {
    const { request, owner: principal } = newOwner(core, 'ada');
    await core.audit.commit(request);
    const presence = { of: () => undefined, connected: 0 };
    const requests = core.connect({ presence, system: {} as never });
    const asked = { principal, requestId: 'r' };
    for (let index = 0; index < 30; index += 1) {
      const name = parseSecretName(`payments/key-${index % 20}`);
      const value = SecretValue.copy(Buffer.from(`canary-${index}`.repeat(1 + index * 20)));
      await requests.handle({ ...asked, operation: 'secret.put', input: { name }, value });
    }
    for (let index = 0; index < 10; index += 1) {
      const name = parseName(`group-${index}`);
      const match = { docker: { labels: { app: `${index}` } } };
      const input = { name, match };
      await requests.handle({ ...asked, operation: 'group.put', input, ifRevision: 0 });
    }
  });
  return path;
}

/** Changes some bytes, in the ways that a careless or a careful hand might. */
function edit(whole: Buffer): Buffer {
  const bytes = Buffer.from(whole);
  const anywhere = (): number => random.integer(bytes.length);
  const ways: readonly (() => void)[] = [
    () => bytes.writeUInt8(random.integer(256), anywhere()),
    () => bytes.set(random.bytes(1 + random.integer(16)), random.integer(bytes.length - 16)),
    // Where pages of SQLite say what is in them, and where.
    () => {
      const page = random.integer(bytes.length / pageBytes) * pageBytes;
      bytes.set(random.bytes(1 + random.integer(4)), page + random.integer(120));
    },
    () => {
      const from = anywhere();
      bytes.copyWithin(anywhere(), from, from + 1 + random.integer(200));
    },
    () => {
      const [one, other] = [0, 1].map(() => random.integer(bytes.length / pageBytes) * pageBytes);
      bytes.copyWithin(one ?? 0, other ?? 0, (other ?? 0) + pageBytes);
    },
    () => {
      const from = anywhere();
      bytes.fill(0, from, Math.min(bytes.length, from + 1 + random.integer(300)));
    },
  ];
  for (let count = 1 + random.integer(4); count > 0; count -= 1) {
    ways[random.integer(ways.length)]?.();
  }
  return bytes;
}

test(`${rounds} edited stores answer as the untouched one, or refuse with a fault (G11)`, async (t) => {
  const path = await makeStore();
  const whole = readFileSync(path);
  const ids = await withCore(path, idsOf);
  const honest = await withCore(path, (core) => readAll(core, ids));
  const edited = join(directory, 'edited.db');
  const outcomes = new Map<string, number>();
  for (let round = 0; round < rounds; round += 1) {
    removeStore(edited);
    const bytes = edit(whole);
    writeFileSync(edited, bytes, { mode: 0o600 });
    let outcome = 'the same';
    try {
      ok((await withCore(edited, (core) => readAll(core, ids))) === honest, 'another answer');
    } catch (error) {
      const isExpected = isFault(error) && /^(storage|barrier|seal)\./.test(error.code);
      if (!isExpected) {
        const kept = join(tmpdir(), `coffer-edited-${process.pid}-${round}.db`);
        writeFileSync(kept, bytes);
        throw new Error(`round ${round}, kept as ${kept}`, { cause: error });
      }
      outcome = error.code;
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(outcomes)));
  const same = outcomes.get('the same') ?? 0;
  ok(same > 0 && same < rounds, 'control: some changed nothing, some were refused');
});

test('a store whose keyring is gone is not one that was never made', async () => {
  const config = configFor('stripped');
  makeDataDirectory(config);
  const path = storePath(config);
  writeFileSync(path, readFileSync(storePath(configFor('store'))), { mode: 0o600 });
  await (await startGateway(config, context))[Symbol.asyncDispose]();
  for (const sql of [
    "DELETE FROM rows WHERE key = 'barrier/keyring'",
    'UPDATE store SET revision = 0',
  ]) {
    {
      using database = new DatabaseSync(path);
      database.exec(sql);
    }
    const refused = { code: 'barrier.tampered', detail: { what: 'keyring' } };
    await rejects(startGateway(config, context), refused);
    await rejects(initialise(config, { kind: 'keyfile' }, context), refused);
  }
  {
    using database = new DatabaseSync(path);
    database.exec('DELETE FROM rows');
  }
  const empty = { code: 'gateway.not-initialised' };
  await rejects(startGateway(config, context), empty, 'control: nothing at all');
});
