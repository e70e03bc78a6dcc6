/**
 * Goal: no row and no field of one is taken for another's, of any kind, version or installation (G9), and no
 * two things have one place (V2).
 * Method: sixty rows of every kind over memory, each in the place of each other, whole and by field; random
 * lists of parts whose places are compared. Controls: each honest row is read; parts that are glued together
 * without their lengths do meet.
 */
import { equal, ok, rejects } from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { joinPrefixed } from '../../base/bytes.ts';
import { KeyFilePlace } from '../../testing/unsealed-barrier.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import type { Row } from '../physical/physical.ts';
import type { RecordKind } from './barrier.ts';
import { recordKinds } from './record.ts';

const isRecord = ({ key }: Row): boolean => !key.startsWith('barrier/');

async function freshStore() {
  const own = new KeyFilePlace();
  after(() => own[Symbol.dispose]());
  const physical = new MemoryPhysical();
  return { physical, barrier: await own.unsealed({ physical }) };
}

/** Header fields of an envelope: form, key number, revision; then its parts; then all of it. */
const spans = [
  [0, Infinity],
  [1, 2],
  [2, 6],
  [6, 14],
  [14, Infinity],
  [14, 86],
  [86, Infinity],
] as const;

/** Of every kind there is, five; the first of each in two versions, written at different revisions. */
async function rowsOfEveryKind() {
  const { physical, barrier } = await freshStore();
  // Of the log the tree is what binds.
  const kinds = recordKinds.filter((kind) => kind !== 'audit');
  const write = async (id: string, text: string): Promise<void> => {
    const writes = kinds.map((kind) => ({ kind, id, bytes: Buffer.from(`${kind} ${id} ${text}`) }));
    await barrier.commit({ writes, expectations: [], trailer: Buffer.alloc(0) });
  };
  const rows = async (): Promise<readonly Row[]> =>
    (await physical.list('', { limit: 10_000 })).filter(isRecord);
  for (const id of ['a', 'b', 'c', 'd', 'e']) await write(id, 'one');
  const older = (await rows()).filter(({ key }) => key.endsWith('/a'));
  await write('a', 'two');
  return { physical, barrier, older, records: await rows() };
}

function kindAndId({ key }: Row): readonly [RecordKind, string] {
  const [kind = '', id = ''] = key.split('/');
  return [kind as RecordKind, id];
}

test('Barrier refuses a row that stands in the place of another (G9), all pairs, whole and by field', async () => {
  const { physical, barrier, older, records } = await rowsOfEveryKind();
  const elsewhere = await rowsOfEveryKind();
  equal(records.length, 60);
  let forged: Row | undefined;
  const original = physical.get.bind(physical);
  physical.get = async (key) => (key === forged?.key ? forged : original(key));
  let swaps = 0;
  for (const target of records) {
    const [kind, id] = kindAndId(target);
    const namesake = elsewhere.records.filter(({ key }) => key === target.key);
    for (const donor of [...records, ...older, ...namesake]) {
      for (const [from, to] of spans) {
        const bytes = Buffer.concat([
          target.bytes.subarray(0, from),
          donor.bytes.subarray(from, to),
          target.bytes.subarray(Math.min(to, target.bytes.length)),
        ]);
        if (bytes.equals(target.bytes)) continue;
        forged = { ...target, bytes };
        await rejects(barrier.view(kind).get(id), { code: 'barrier.corrupt' });
        swaps += 1;
      }
    }
    forged = target;
    ok(await barrier.view(kind).get(id), 'control: the honest row is read');
  }
  // Some fields are the same in many rows, such as the key's number.
  ok(swaps > 60 * 59 * 4, `${swaps} swaps`);
});

test('View.nameId and joinPrefixed: no two lists of parts are taken for one another (V2)', async () => {
  const { barrier } = await freshStore();
  const views = recordKinds.map((kind) => barrier.view(kind));
  const seen = new Map<string, string>();
  const part = fc.string({
    unit: fc.constantFrom('a', 'b', '/', '\0', '\u0001', ':', 'é'),
    maxLength: 4,
  });
  const asked = fc.record({
    view: fc.constantFrom(...views),
    parts: fc.array(part, { maxLength: 4 }),
  });
  fc.assert(
    fc.property(asked, ({ view, parts }) => {
      const what = JSON.stringify([view.kind, parts]);
      for (const id of [
        view.nameId(...parts),
        joinPrefixed([view.kind, ...parts]).toString('hex'),
      ]) {
        equal(seen.get(id) ?? what, what);
        seen.set(id, what);
      }
    }),
    { numRuns: process.env['COFFER_LONG'] === '1' ? 1_000_000 : 5000 },
  );
  const glued = new Set(
    views.flatMap(({ kind }) => [[kind, 'a', 'b'].join(''), [kind, 'ab'].join('')]),
  );
  ok(glued.size < views.length * 2, 'control: parts that are merely glued together meet');
});
