/**
 * Goal: every physical storage keeps the contract of physical.ts, so that what is above it cannot
 * tell them apart.
 * Method: examples for each promise, then random histories against a model that is a plain Map.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { AssertionError } from '../../base/assert.ts';
import { keyCharsMax, listItemsMax, rowBytesMax } from './key-range.ts';
import type {
  CommitOutcome,
  ListOptions,
  Physical,
  PhysicalBatch,
  Row,
  ScanOptions,
} from './physical.ts';

export interface PhysicalSubject {
  readonly physical: Physical;
  /** Opens the same storage again, as a restart would, or the same instance if it lives in memory. */
  restart(): Promise<Physical>;
  /** A path for a backup, in a directory that goes away with the test. */
  readonly backupPath: string;
  [Symbol.asyncDispose](): Promise<void>;
}

export function physicalSuite(name: string, setUp: () => Promise<PhysicalSubject>): void {
  describe(`physical: ${name}`, () => {
    commitCases(setUp);
    listCases(setUp);
    scanCases(setUp);
    backupCases(setUp);
    propertyCases(setUp);
  });
}

function commitCases(setUp: () => Promise<PhysicalSubject>): void {
  test('an empty store is at revision 0 and has no rows', async () => {
    await using subject = await setUp();
    equal(await subject.physical.revision(), 0);
    equal(await subject.physical.get('secret/1'), undefined);
    deepEqual(await subject.physical.list('', { limit: 10 }), []);
  });

  test('commit writes, replaces and deletes rows, and a restart finds them', async () => {
    await using subject = await setUp();
    const { physical } = subject;
    await commit(physical, { revision: 1, writes: [put('a/1', 'one'), put('a/2', 'two')] });
    await commit(physical, { revision: 2, writes: [put('a/1', 'ONE'), remove('a/2')] });
    await commit(physical, { revision: 3, writes: [remove('a/9'), put('b/1', '')] });
    const reopened = await subject.restart();
    equal(await reopened.revision(), 3);
    deepEqual(show(await reopened.get('a/1')), { key: 'a/1', revision: 2, text: 'ONE' });
    equal(await reopened.get('a/2'), undefined);
    deepEqual(show(await reopened.get('b/1')), { key: 'b/1', revision: 3, text: '' });
  });

  test('commit takes an empty batch, and only moves the revision', async () => {
    await using subject = await setUp();
    await commit(subject.physical, { revision: 1 });
    equal(await subject.physical.revision(), 1);
  });

  test('commit says behind and writes nothing when the revision is not the next', async () => {
    await using subject = await setUp();
    const { physical } = subject;
    await commit(physical, { revision: 1, writes: [put('a/1', 'one')] });
    for (const revision of [1, 3, 7]) {
      const outcome = await physical.commit(batch({ revision, writes: [put('a/1', 'other')] }));
      deepEqual(outcome, { kind: 'behind', revision: 1 });
    }
    deepEqual(show(await physical.get('a/1')), { key: 'a/1', revision: 1, text: 'one' });
  });

  test('commit names the keys in conflict and writes nothing', async () => {
    await using subject = await setUp();
    const { physical } = subject;
    await commit(physical, { revision: 1, writes: [put('a/1', 'one'), put('a/2', 'two')] });
    const outcome = await physical.commit({
      revision: 2,
      writes: [put('a/1', 'other'), put('a/3', 'three')],
      expectations: [
        { key: 'a/1', revision: 1 },
        { key: 'a/2', revision: 0 },
        { key: 'a/3', revision: 0 },
        { key: 'a/4', revision: 1 },
      ],
    });
    deepEqual(outcome, { kind: 'conflict', keys: ['a/2', 'a/4'] });
    equal(await physical.revision(), 1);
    deepEqual(show(await physical.get('a/1')), { key: 'a/1', revision: 1, text: 'one' });
    equal(await physical.get('a/3'), undefined);
  });

  test('rows are copies: changing what went in or came out changes nothing', async () => {
    await using subject = await setUp();
    const bytes = Buffer.from('value');
    await commit(subject.physical, { revision: 1, writes: [{ key: 'a/1', bytes }] });
    bytes.fill(0);
    (await subject.physical.get('a/1'))?.bytes.fill(0);
    (await subject.physical.list('a/', { limit: 1 }))[0]?.bytes.fill(0);
    deepEqual(show(await subject.physical.get('a/1')), { key: 'a/1', revision: 1, text: 'value' });
  });

  test('commit keeps the largest row and the longest key', async () => {
    await using subject = await setUp();
    const key = 'k'.repeat(keyCharsMax);
    const bytes = Buffer.alloc(rowBytesMax, 0xa5);
    await commit(subject.physical, { revision: 1, writes: [{ key, bytes }] });
    const found = await (await subject.restart()).get(key);
    equal(bytes.compare(found?.bytes ?? Buffer.alloc(0)), 0);
  });

  test('commit refuses what only a bug would ask', async () => {
    await using subject = await setUp();
    const { physical } = subject;
    const bad: PhysicalBatch[] = [
      batch({ revision: 0 }),
      batch({ revision: 1.5 }),
      batch({ revision: 1, writes: [put('', 'x')] }),
      batch({ revision: 1, writes: [put('with space', 'x')] }),
      batch({ revision: 1, writes: [put('ümlaut', 'x')] }),
      batch({ revision: 1, writes: [put('nul\0', 'x')] }),
      batch({ revision: 1, writes: [put('k'.repeat(keyCharsMax + 1), 'x')] }),
      batch({ revision: 1, writes: [put('a/1', 'x'), remove('a/1')] }),
      { revision: 1, writes: [], expectations: [{ key: 'a/1', revision: -1 }] },
    ];
    for (const one of bad) await rejects(physical.commit(one), AssertionError);
    await rejects(physical.list('', { limit: 0 }), AssertionError);
    await rejects(physical.list('', { limit: listItemsMax + 1 }), AssertionError);
    equal(await physical.revision(), 0);
  });

  test('reopen and purge keep every row', async () => {
    await using subject = await setUp();
    const { physical } = subject;
    await commit(physical, { revision: 1, writes: [put('a/1', 'one'), put('a/2', 'two')] });
    await commit(physical, { revision: 2, writes: [remove('a/2')] });
    await physical.purge();
    await physical.reopen();
    equal(await physical.revision(), 2);
    deepEqual((await physical.list('', { limit: 9 })).map(show), [
      { key: 'a/1', revision: 1, text: 'one' },
    ]);
    await commit(physical, { revision: 3 });
  });
}

function listCases(setUp: () => Promise<PhysicalSubject>): void {
  test('list pages through a prefix in byte order, both ways, without its neighbours', async () => {
    await using subject = await setUp();
    const { physical } = subject;
    const inside = ['a/!', 'a/1', 'a/10', 'a/2', 'a/A', 'a/a', 'a/~', 'a/~~'];
    const outside = ['a', 'a.', 'a0', 'A/1', 'b/1', '~', '!'];
    const writes = [...inside, ...outside].map((key) => put(key, key));
    await commit(physical, { revision: 1, writes });
    deepEqual(await pages(physical, 'a/', { limit: 3 }), inside);
    deepEqual(await pages(physical, 'a/', { limit: 3, reverse: true }), inside.toReversed());
    deepEqual(await pages(physical, '', { limit: 4 }), [...inside, ...outside].sort());
    deepEqual(await pages(physical, 'a/zz', { limit: 4 }), []);
  });
}

function backupCases(setUp: () => Promise<PhysicalSubject>): void {
  test('backup never overwrites', async () => {
    await using subject = await setUp();
    await commit(subject.physical, { revision: 1, writes: [put('a/1', 'one')] });
    const made = await subject.physical.backup(subject.backupPath);
    equal(made.revision, 1);
    equal(made.bytes > 0, true);
    await rejects(subject.physical.backup(subject.backupPath), { code: 'backup.exists' });
  });
}

const keyArbitrary = fc.oneof(
  fc.constantFrom(
    'a',
    'a/',
    'a/1',
    'a/10',
    'a/2',
    'a0',
    'b/1',
    '~',
    '~~',
    '!',
    '!!',
    '%',
    '_',
    'A',
  ),
  fc.string({ minLength: 1, maxLength: 4, unit: fc.constantFrom('!', '%', '/', '_', 'a', '~') }),
);
const stepArbitrary = fc.record({
  revisionOff: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: -2, max: 2 })),
  writes: fc.uniqueArray(
    fc.record({ key: keyArbitrary, bytes: fc.option(fc.uint8Array({ maxLength: 40 })) }),
    { selector: (write) => write.key, maxLength: 6 },
  ),
  expectations: fc.array(
    fc.record({
      key: keyArbitrary,
      off: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constant(1)),
    }),
    { maxLength: 3 },
  ),
  prefix: fc.oneof(fc.constant(''), keyArbitrary),
  after: fc.option(keyArbitrary, { nil: undefined }),
  limit: fc.integer({ min: 1, max: 12 }),
  reverse: fc.boolean(),
});

function scanCases(setUp: () => Promise<PhysicalSubject>): void {
  test('scan gives every row once but those left out, however many it is told to expect', async () => {
    await using subject = await setUp();
    const { physical } = subject;
    deepEqual(await scanned(physical, { without: 'log/', expected: 0 }), []);
    // Before, among and after what is left out; three pages of each, written in no order; some gone again.
    const kinds = ['a', 'log', 'log-not', 'z'];
    const all = Array.from({ length: 10_000 }, (_, index) => {
      const id = (index * 7919) % 10_000;
      return put(`${kinds[id % kinds.length]}/${id}`, `${id}`);
    });
    await commit(physical, { revision: 1, writes: all });
    const some = all.filter((_, index) => index % 10 === 0).map(({ key }) => key);
    await commit(physical, { revision: 2, writes: some.map(remove) });
    await commit(physical, { revision: 3, writes: [put('a/0', 'again'), put('z', 'alone')] });
    const listed = (await physical.list('', { limit: listItemsMax })).map(show);
    equal(listed.length, 9001 + (some.includes('a/0') ? 1 : 0));
    for (const without of ['log/', 'a/', 'z/', 'none/']) {
      const rest = listed.filter((row) => !row?.key.startsWith(without));
      for (const expected of [0, rest.length, 1_000_000]) {
        deepEqual(await scanned(physical, { without, expected }), rest, `${without} ${expected}`);
      }
    }
  });
}

/** In order of keys. */
async function scanned(physical: Physical, options: ScanOptions): Promise<unknown[]> {
  const rows: Row[] = [];
  for await (const page of physical.scan(options)) rows.push(...page);
  return rows.sort((left, right) => (left.key < right.key ? -1 : 1)).map(show);
}

function propertyCases(setUp: () => Promise<PhysicalSubject>): void {
  test('random histories give what a plain Map gives', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 30 }), async (steps) => {
        await using subject = await setUp();
        const model = new Model();
        for (const step of steps) {
          const next: PhysicalBatch = {
            revision: Math.max(1, model.revision + 1 + step.revisionOff),
            writes: step.writes.map(({ key, bytes }) => ({ key, bytes: bytes ?? undefined })),
            expectations: step.expectations.map(({ key, off }) => ({
              key,
              revision: (model.rows.get(key)?.revision ?? 0) + off,
            })),
          };
          deepEqual(await subject.physical.commit(next), model.commit(next));
          const options: ListOptions = {
            limit: step.limit,
            reverse: step.reverse,
            ...(step.after === undefined ? {} : { after: step.after }),
          };
          deepEqual(
            (await subject.physical.list(step.prefix, options)).map(show),
            model.list(step.prefix, options).map(show),
          );
        }
        const reopened = await subject.restart();
        equal(await reopened.revision(), model.revision);
        deepEqual(
          (await reopened.list('', { limit: listItemsMax })).map(show),
          model.list('', { limit: listItemsMax }).map(show),
        );
      }),
      { numRuns: process.env['COFFER_LONG'] === '1' ? 2000 : 100 },
    );
  });
}

/** The contract again, as plainly as it can be said. */
class Model {
  revision = 0;
  readonly rows = new Map<string, Row>();

  commit({ revision, writes, expectations }: PhysicalBatch): CommitOutcome {
    if (revision !== this.revision + 1) return { kind: 'behind', revision: this.revision };
    const keys = expectations
      .filter((expected) => (this.rows.get(expected.key)?.revision ?? 0) !== expected.revision)
      .map(({ key }) => key);
    if (keys.length > 0) return { kind: 'conflict', keys };
    for (const { key, bytes } of writes) {
      if (bytes === undefined) this.rows.delete(key);
      else this.rows.set(key, { key, revision, bytes });
    }
    this.revision = revision;
    return { kind: 'committed' };
  }

  list(prefix: string, { after, limit, reverse }: ListOptions): Row[] {
    const sorted = [...this.rows.values()].sort((left, right) =>
      Buffer.compare(Buffer.from(left.key), Buffer.from(right.key)),
    );
    const ordered = reverse === true ? sorted.reverse() : sorted;
    return ordered
      .filter(({ key }) => key.startsWith(prefix))
      .filter(({ key }) => after === undefined || (reverse === true ? key < after : key > after))
      .slice(0, limit);
  }
}

async function pages(
  physical: Physical,
  prefix: string,
  options: ListOptions,
): Promise<readonly string[]> {
  const keys: string[] = [];
  for (;;) {
    const after = keys.at(-1);
    const page = await physical.list(prefix, after === undefined ? options : { ...options, after });
    if (page.length === 0) return keys;
    keys.push(...page.map(({ key }) => key));
  }
}

async function commit(physical: Physical, partial: Partial<PhysicalBatch>): Promise<void> {
  deepEqual(await physical.commit(batch(partial)), { kind: 'committed' });
}

function batch(partial: Partial<PhysicalBatch>): PhysicalBatch {
  return { revision: 1, writes: [], expectations: [], ...partial };
}

function put(key: string, text: string): { key: string; bytes: Uint8Array } {
  return { key, bytes: Buffer.from(text) };
}

function remove(key: string): { key: string; bytes: undefined } {
  return { key, bytes: undefined };
}

/** A row as something that compares by value. */
function show(
  row: Row | undefined,
): { readonly key: string; readonly revision: number; readonly text: string } | undefined {
  if (row === undefined) return undefined;
  return { key: row.key, revision: row.revision, text: Buffer.from(row.bytes).toString('latin1') };
}
