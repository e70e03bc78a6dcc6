/**
 * Goal: however an init ends, there is an installation that somebody can use, or none, and the next init
 * makes one.
 * Method: the files are copied before each call that changes any, as a kill at that moment would leave
 * them; from each copy init is run again, and the token that was shown, then or now, must open the API.
 * Control: showing after the commit is caught: a store that is whole and whose token nobody has.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs, { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { Fault, isFault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { gatewayConfig } from './config.ts';
import { openCore } from './core.ts';
import { sealContext, storePath } from './data-directory.ts';
import { type Initialised, initialise } from './init.ts';
import { openPhysical } from './physical/physical.ts';
import type { SealRequest } from './seal/seal.ts';

const context = { clock: systemClock, random: systemRandom, log: silentLog };
const seals: readonly SealRequest[] = [
  { kind: 'keyfile' },
  { kind: 'shares', count: 3, threshold: 2 },
];

/** What people have seen: bytes are wiped once they were shown. */
interface Shown {
  readonly token: string;
  readonly shares: readonly string[];
}

function newDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-init-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const configIn = (directory: string) =>
  gatewayConfig({ data: join(directory, 'data'), 'key-file': join(directory, 'key') });

function seen({ ownerToken, shares }: Initialised): Shown {
  return { token: ownerToken, shares: shares.map((share) => share.toString('latin1')) };
}

/** Who the token is, to a gateway that is unsealed with the shares. */
async function whoIs(directory: string, { token, shares }: Shown): Promise<string> {
  const config = configIn(directory);
  const physical = await openPhysical({
    ...{ kind: 'sqlite', path: storePath(config), missing: 'refuse' },
  } as const);
  try {
    const settings = { address: '', pin: '', streamAddress: '', trustDomain: 'test' };
    const core = await openCore({
      ...context,
      physical,
      seal: sealContext(config),
      leaseMs: 60_000,
      settings: () => settings,
    });
    const pieces = shares.length === 0 ? [''] : shares.slice(1);
    for (const piece of pieces) await core.barrier.unseal(Buffer.from(piece));
    return (await core.identity.authenticate(token, 'test')).name;
  } finally {
    await physical.close();
  }
}

interface Moment {
  readonly directory: string;
  readonly before: string;
  /** By then. */
  readonly shown: Shown | undefined;
}

const changing = [
  ...['openSync', 'writeFileSync', 'fchmodSync', 'fsyncSync', 'closeSync', 'linkSync'],
  ...['renameSync', 'rmSync', 'mkdirSync', 'mkdtempSync'],
] as const;

/** Runs init, and keeps the files as they are before each call that may change them. */
async function momentsOf(
  t: TestContext,
  act: (directory: string, shown: (made: Initialised) => void) => Promise<unknown>,
): Promise<readonly Moment[]> {
  const [directory, copies] = [newDirectory(t), newDirectory(t)];
  const moments: Moment[] = [];
  let shown: Shown | undefined;
  let isCopying = false;
  const keep = (before: string): void => {
    if (isCopying) return;
    isCopying = true;
    const copy = join(copies, String(moments.length));
    execFileSync('cp', ['-a', directory, copy]);
    moments.push({ directory: copy, before, shown });
    isCopying = false;
  };
  const watch = (object: object, name: string): void => {
    const original = Reflect.get(object, name) as (...given: unknown[]) => unknown;
    t.mock.method(
      object,
      name as never,
      function (this: unknown, ...given: unknown[]) {
        keep(`${name} ${typeof given[0] === 'string' ? given[0].slice(0, 60) : ''}`);
        return original.apply(this, given);
      } as never,
    );
  };
  for (const name of changing) watch(fs, name);
  watch(DatabaseSync.prototype, 'exec');
  watch(DatabaseSync.prototype, 'close');
  watch(StatementSync.prototype, 'run');
  watch(StatementSync.prototype, 'get');
  syncBuiltinESMExports();
  try {
    await act(directory, (made) => (shown = seen(made)));
    keep('the end');
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  }
  return moments;
}

/** Those at which something had changed since the one before. */
function changes(moments: readonly Moment[]): readonly Moment[] {
  let last = '';
  return moments.filter(({ directory, shown }) => {
    const names = readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted();
    const files = names.map((name) => [name.slice(directory.length), readFileSync(name, 'latin1')]);
    const now = JSON.stringify([files, shown]);
    const isNew = now !== last;
    last = now;
    return isNew;
  });
}

/** Init again, as a person would. @returns What is usable then; `undefined` if nothing is. */
async function again({ directory, shown }: Moment, seal: SealRequest): Promise<Shown | undefined> {
  try {
    return seen(await initialise(configIn(directory), seal, context));
  } catch (error) {
    if (!isFault(error, 'barrier.initialised')) throw error;
    return shown;
  }
}

for (const seal of seals) {
  test(`an init that is killed before any step leaves one that can be used, or can be repeated: ${seal.kind}`, async (t) => {
    const moments = await momentsOf(t, (directory, shown) =>
      initialise(configIn(directory), seal, context, async (made) => shown(made)),
    );
    const distinct = changes(moments);
    ok(distinct.length >= 15, `only ${distinct.length} of ${moments.length} moments differ`);
    let whole = 0;
    for (const moment of distinct) {
      const usable = await again(moment, seal);
      ok(usable, `killed before ${moment.before}: a store whose token nobody has`);
      if (usable === moment.shown) whole += 1;
      equal(await whoIs(moment.directory, usable), 'owner', `killed before ${moment.before}`);
    }
    ok(whole > 0 && whole < distinct.length, 'some after the commit, some before');
  });
}

test('control: an installation that is shown after its commit can be lost in between', async (t) => {
  const seal: SealRequest = { kind: 'keyfile' };
  const moments = await momentsOf(t, async (directory, shown) => {
    shown(await initialise(configIn(directory), seal, context));
  });
  let lost = 0;
  for (const moment of changes(moments)) {
    if ((await again(moment, seal)) === undefined) lost += 1;
  }
  ok(lost > 0);
});

test('an init that fails leaves neither store nor key file, and the next one makes both', async (t) => {
  const directory = newDirectory(t);
  const config = configIn(directory);
  const fails = initialise(config, { kind: 'keyfile' }, context, () =>
    Promise.reject(new Fault('storage.full')),
  );
  await rejects(fails, { code: 'storage.full' });
  deepEqual([existsSync(join(directory, 'key')), existsSync(storePath(config))], [false, false]);
  const made = await initialise(config, { kind: 'keyfile' }, context);
  equal(await whoIs(directory, seen(made)), 'owner');
});

test('an init touches no key file and no store that it did not make', async (t) => {
  const directory = newDirectory(t);
  const config = configIn(directory);
  const made = await initialise(config, { kind: 'keyfile' }, context);
  const key = readFileSync(join(directory, 'key'));
  await rejects(initialise(config, { kind: 'keyfile' }, context), { code: 'barrier.initialised' });
  const elsewhere = { ...config, dataDirectory: join(directory, 'other') };
  await rejects(initialise(elsewhere, { kind: 'keyfile' }, context), {
    code: 'seal.key-file',
    detail: { problem: 'exists', path: join(directory, 'key') },
  });
  equal(existsSync(storePath(elsewhere)), false);
  const shared = initialise(elsewhere, { kind: 'keyfile', existing: true }, context, () =>
    Promise.reject(new Fault('storage.full')),
  );
  await rejects(shared, { code: 'storage.full' });
  deepEqual(readFileSync(join(directory, 'key')), key);
  equal(await whoIs(directory, seen(made)), 'owner');

  // A store whose keyring was taken away is not begun anew.
  const path = storePath(config);
  {
    using database = new DatabaseSync(path);
    database.exec("DELETE FROM rows WHERE key = 'barrier/keyring'");
  }
  const before = readFileSync(path);
  for (const revision of [1, 0]) {
    {
      using database = new DatabaseSync(path);
      database.exec(`UPDATE store SET revision = ${revision}`);
    }
    await rejects(initialise(config, { kind: 'keyfile' }, context), { code: 'barrier.tampered' });
    ok(readFileSync(path).length >= before.length, 'it is still there');
  }
});
