/**
 * Goal: proofs, checkpoints and witnesses say what happened (G5, G36), and a log with rows missing is
 * not served.
 * Method: every proof is checked by the verifier, which shares no code with the prover; stores are put
 * back and forked as by whoever has the disk. Each refusal has a control that is accepted.
 */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { after, test } from 'node:test';
import { openCheckpoint } from '../../crypto/checkpoint.ts';
import { leafHashOf, verifyConsistency, verifyInclusion } from '../../crypto/merkle-verify.ts';
import { parseVerifier } from '../../crypto/note.ts';
import { gatewayPrincipal } from '../../model/principal.ts';
import { AuditedStores, testEntry, testRequest } from '../../testing/audited-store.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import { snapshotOf } from '../../testing/physical-snapshot.ts';
import { type EntryFilter, matches } from './filter.ts';

const stores = new AuditedStores();
after(() => stores.closeAll());

test('every entry is proved by an inclusion proof, and every size by a consistency proof', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  const heads: { size: number; root: Buffer }[] = [];
  const remember = async (): Promise<void> => {
    const { note, verifierKey } = await audit.checkpoint();
    const verifier = parseVerifier(verifierKey);
    ok(verifier);
    const opened = openCheckpoint(note, verifier);
    ok(opened.kind === 'verified');
    heads.push({ size: opened.checkpoint.size, root: Buffer.from(opened.checkpoint.root) });
  };
  for (const count of [1, 1, 1, 5, 120, 127, 1, 1, 300, 700, 256, 1]) {
    await Promise.all(Array.from({ length: count }, () => audit.commit(testRequest('x'))));
    await remember();
  }
  const { size, root } = heads.at(-1) ?? { size: 0, root: Buffer.alloc(32) };
  equal(size, 1514);
  for (const sequence of [
    0, 1, 2, 127, 255, 256, 257, 511, 512, 1023, 1024, 1279, 1280, 1500, 1513,
  ]) {
    const { entry: found, inclusion } = await audit.prove(sequence);
    equal(found.sequence, sequence);
    const leafHash = leafHashOf(found.bytes);
    const claim: Parameters<typeof verifyInclusion>[0] = {
      leafHash,
      index: sequence,
      size,
      root,
      proof: inclusion,
    };
    ok(verifyInclusion(claim), `entry ${sequence}`);
    ok(!verifyInclusion({ ...claim, index: (sequence + 1) % size }), 'control: another place');
  }
  for (const old of heads) {
    const { consistency } = await audit.checkpoint(old.size);
    const claim: Parameters<typeof verifyConsistency>[0] = {
      oldSize: old.size,
      oldRoot: old.root,
      size,
      root,
      proof: consistency,
    };
    ok(verifyConsistency(claim), `size ${old.size}`);
    if (old.size < size) ok(!verifyConsistency({ ...claim, oldRoot: root }), 'control');
  }
  await rejects(audit.checkpoint(size + 1), { code: 'request.invalid' });
  await rejects(audit.prove(size), { code: 'resource.unknown' });
});

test('Audit.entriesBack gives what Audit.entries gives, from the end on', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  await Promise.all(
    Array.from({ length: 700 }, (_, index) => audit.commit(testRequest(index % 10 ? 'x' : 'y'))),
  );
  for (const filter of [{}, { action: 'y' }, { action: 'none' }]) {
    for (const limit of [1, 9, 700, 1000]) {
      const found: number[] = [];
      let before: number | undefined = 700;
      while (before !== undefined) {
        const page = await audit.entriesBack({ before, limit, filter });
        ok(page.entries.length <= limit);
        found.push(...page.entries.map(({ sequence }) => sequence));
        before = page.next;
      }
      const { entries } = await audit.entries({ from: 0, limit: 1000, filter });
      deepEqual(found, entries.map(({ sequence }) => sequence).toReversed());
    }
  }
  const last = await audit.entriesBack({ before: 10_000, limit: 2 });
  deepEqual([last.entries.map(({ sequence }) => sequence), last.next], [[699, 698], 698]);
  const [newest] = last.entries;
  const later = { sinceMs: (newest?.timeMs ?? 0) + 1 };
  deepEqual(await audit.entriesBack({ before: 700, limit: 9, filter: later }), {
    entries: [],
    next: undefined,
  });
  const then = { sinceMs: newest?.timeMs ?? 0 };
  ok((await audit.entriesBack({ before: 700, limit: 9, filter: then })).entries.length > 0);
});

test('matches: conditions hold together, and an asterisk at the end stands for what follows', () => {
  const principal = { ...gatewayPrincipal, id: 'prn_1', name: 'ada' };
  const about = { action: 'secret.put', resource: 'secrets/payments/db', outcome: 'ok' };
  const entry = {
    ...about,
    principal,
    rule: '',
    requestId: '',
    detail: {},
    sequence: 1,
    timeMs: 5,
  };
  const holding: readonly EntryFilter[] = [
    {},
    { action: 'secret.put', actor: 'ada' },
    { action: 'secret.*', actor: 'prn_1', resource: 'secrets/payments/**', outcome: 'ok' },
    { action: '*', resource: 'secrets/pay*', sinceMs: 5 },
    { actions: new Set(['secret.put']) },
  ];
  const failing: readonly EntryFilter[] = [
    { action: 'secret' },
    { action: 'secret.*', actor: 'eve' },
    { action: 's*t.put' },
    { resource: 'secrets/mail/**' },
    { resource: 'secrets/payments' },
    { sinceMs: 6 },
    { actions: new Set(['secret.get']) },
  ];
  for (const filter of holding) ok(matches(filter, entry), JSON.stringify(filter));
  for (const filter of failing) ok(!matches(filter, entry), JSON.stringify(filter));
});

test('Audit.entries filters and pages; Audit.tail follows', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  await Promise.all(
    Array.from({ length: 700 }, (_, index) => audit.commit(testRequest(index % 10 ? 'x' : 'y'))),
  );
  let from: number | undefined = 0;
  const found: number[] = [];
  while (from !== undefined) {
    const page = await audit.entries({ from, limit: 9, filter: { action: 'y' } });
    found.push(...page.entries.map(({ sequence }) => sequence));
    from = page.next;
  }
  equal(found.length, 70);
  deepEqual(
    found,
    found.toSorted((a, b) => a - b),
  );
  deepEqual((await audit.entries({ from: 699, limit: 5 })).entries.length, 1);
  deepEqual(await audit.entries({ from: 700, limit: 5 }), { entries: [], next: undefined });

  const { signal } = new AbortController();
  const tail = audit.tail({ filter: { action: 'z' } });
  const waiting = tail.next(signal);
  await audit.commit(testRequest('x'));
  await audit.commit(testRequest('z'));
  deepEqual(
    (await waiting).map(({ action, sequence }) => [action, sequence]),
    [['z', 701]],
  );
  const closed = tail.next(signal);
  tail.close();
  deepEqual(await closed, []);
  const aborting = new AbortController();
  const aborted = audit.tail().next(aborting.signal);
  aborting.abort();
  await rejects(aborted, { name: 'AbortError' });
});

/** How often everybody else had a turn meanwhile. */
async function turnsDuring(act: () => Promise<unknown>): Promise<number> {
  let [turns, goesOn] = [0, true];
  const turn = (): void => {
    turns += 1;
    if (goesOn) setImmediate(turn);
  };
  setImmediate(turn);
  await act();
  goesOn = false;
  return turns;
}

test('whoever reads a long log from its beginning stops nobody else, however little is shown', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  const wide = Array.from({ length: 8000 }, () => testEntry('x'));
  for (let round = 0; round < 3; round++) {
    await audit.commit({ ...testRequest('x'), entries: [testEntry('x'), ...wide] });
  }
  await audit.commit(testRequest('last'));
  const turnsMin = Math.floor(audit.size / 256) - 1;
  const { signal } = new AbortController();
  const last = { action: 'last' };

  const followed = await turnsDuring(async () => {
    const found = await audit.tail({ from: 0, filter: last }).next(signal);
    equal(found[0]?.sequence, audit.size - 1);
  });
  ok(followed >= turnsMin, `${followed} turns in a tail that shows one entry`);

  const watched = await turnsDuring(async () => {
    const tail = audit.tail({ from: 0 });
    for (let seen = 0; seen < audit.size; ) seen += (await tail.next(signal)).length;
  });
  ok(watched >= turnsMin, `${watched} turns in a tail whose reader shows nothing`);

  let pages = 0;
  const listed = await turnsDuring(async () => {
    for (let from: number | undefined = 0; from !== undefined; pages += 1) {
      from = (await audit.entries({ from, limit: 10, filter: last })).next;
    }
  });
  ok(pages >= 4 && listed >= turnsMin - pages, `${listed} turns in ${pages} pages`);

  const unkind = await turnsDuring(async () => {
    for (let from = 0; from < audit.size; from += 256) await audit.entries({ from, limit: 256 });
  });
  equal(unkind, 0, 'control: the same reads, with no turn in between');
});

test('reading the log opens about as many rows as it shows, however the entries were grouped', async () => {
  for (const perCommit of [1, 8, 64, 500]) {
    const physical = new MemoryPhysical();
    const { audit } = await stores.start(stores.place(), physical);
    const [first, ...others] = Array.from({ length: perCommit }, () => testEntry('x'));
    const entries = [first ?? testEntry('x'), ...others] as const;
    const commits = Math.ceil(2000 / perCommit);
    for (let count = 0; count < commits; count++) {
      await audit.commit({ ...testRequest('x'), entries });
    }
    const list = physical.list.bind(physical);
    let [opened, reads] = [0, 0];
    physical.list = async (prefix, options) => {
      const rows = await list(prefix, options);
      opened += rows.length;
      return rows;
    };
    for (let from: number | undefined = 0; from !== undefined; reads += 1) {
      from = (await audit.entries({ from, limit: 256 })).next;
    }
    // Where a page ends within a row, the next one begins with the same row.
    ok(opened <= commits + 2 * reads, `${perCommit} to a row: ${opened} of ${commits} rows`);
  }
});

test('a tail that is left while it catches up ends there', async () => {
  const { audit } = await stores.start(stores.place(), new MemoryPhysical());
  const wide = Array.from({ length: 8000 }, () => testEntry('x'));
  await audit.commit({ ...testRequest('x'), entries: [testEntry('x'), ...wide] });
  const leaving = new AbortController();
  const left = audit.tail({ from: 0, filter: { action: 'none' } }).next(leaving.signal);
  leaving.abort();
  await rejects(left, { name: 'AbortError' });
});

test('a store that was put back is found by whoever remembers more (G5), and only they', async () => {
  const [place, physical] = [stores.place(), new MemoryPhysical()];
  const honest = await stores.start(place, physical);
  for (let index = 0; index < 5; index++)
    await honest.audit.commit(testRequest('x', { a: `${index}` }));
  const early = (await honest.audit.checkpoint()).note;
  const old = await snapshotOf(physical);
  for (let index = 0; index < 3; index++)
    await honest.audit.commit(testRequest('lost', { a: `${index}` }));
  const late = (await honest.audit.checkpoint()).note;
  equal(await honest.audit.observe('n1', early), 'behind');
  equal(await honest.audit.observe('n1', late), 'consistent');
  equal(honest.audit.state, 'ready', 'control: the honest store raises no alarm');

  const back = await stores.start(place, old);
  equal(await back.audit.observe('n1', early), 'consistent');
  equal(back.audit.state, 'ready', 'control: who remembers less cannot know');
  equal(await back.audit.observe('n2', late), 'rollback');
  equal(back.audit.state, 'rollback-suspected');
  await rejects(back.audit.commit(testRequest('write', { a: 'z' })), {
    code: 'audit.rollback-suspected',
  });
  // Least of all what cannot be taken back: a root key, once it is destroyed, is gone on both branches.
  const maintenance = back.barrier.rootKeys.rotate();
  await rejects(back.audit.commit({ ...testRequest('system.rotate-root-key'), maintenance }), {
    code: 'audit.rollback-suspected',
  });
  await back.audit.commit(testRequest('a refusal is still recorded'));

  const again = await stores.start(place, old);
  equal(again.audit.state, 'rollback-suspected', 'a restart does not forget it');
  await again.audit.acceptRollback(
    testEntry('system.accept-rollback', { reason: 'restored a backup' }),
  );
  equal(again.audit.state, 'ready');
  await rejects(again.audit.acceptRollback(testEntry('again')), { code: 'audit.no-rollback' });
  for (let index = 0; index < 9; index++)
    await again.audit.commit(testRequest('y', { a: `${index}` }));
  equal(
    await again.audit.observe('n2', late),
    'superseded',
    'the lost branch is known by its epoch',
  );
  equal(await again.audit.observe('n1', early), 'behind', 'what both branches share is still ours');
  match((await again.audit.checkpoint()).note, /\nepoch 1\n/);
  equal(again.audit.state, 'ready');

  const forked = await stores.start(place, await snapshotOf(old));
  await forked.audit.commit(testRequest('other', { a: 'fork' }));
  const fork = (await forked.audit.checkpoint()).note;
  await again.audit.commit(testRequest('mine', { a: 'mine' }));
  equal(await again.audit.observe('n3', fork), 'fork');
  equal(again.audit.state, 'rollback-suspected');
  await rejects(again.audit.observe('n4', fork.replace(/\n\d+\n/, '\n7\n')), {
    code: 'request.invalid',
  });
});

test('a store that is put back by any number of commits is found at once by a node that saw them', async () => {
  const [place, physical] = [stores.place(), new MemoryPhysical()];
  const { audit } = await stores.start(place, physical);
  const depths = 50;
  // Before its first entry a log has no key yet: who is put back to there is a stranger to every node.
  await audit.commit(testRequest('first'));
  const older: MemoryPhysical[] = [];
  for (let index = 0; index < depths; index++) {
    older.push(await snapshotOf(physical));
    await audit.commit(testRequest(`w${index}`, { a: `${index}` }));
  }
  const { note } = await audit.checkpoint();
  for (const old of older) {
    const back = await stores.start(place, old);
    await back.audit.commit(testRequest('on the wrong branch', { b: 'x' }));
    const verdict = await back.audit.observe('n1', note);
    ok(verdict === 'rollback' || verdict === 'fork');
    await rejects(back.audit.commit(testRequest('more', { b: 'y' })), {
      code: 'audit.rollback-suspected',
    });
  }
  equal(await audit.observe('n1', note), 'consistent', 'control');
});

test('a head that is not quite the newest serves only those who have not seen more', async () => {
  const clock = new ManualClock();
  const { audit } = await stores.start(stores.place(), new MemoryPhysical(), { clock });
  await audit.commit(testRequest('one'));
  equal((await audit.checkpoint(0, { recent: true })).size, 1);
  await audit.commit(testRequest('two'));
  equal((await audit.checkpoint(0, { recent: true })).size, 1, 'one signature serves many');
  equal((await audit.checkpoint(2, { recent: true })).size, 2, 'not whoever knows it already');
  await audit.commit(testRequest('three'));
  equal((await audit.checkpoint(0)).size, 3);
  await audit.commit(testRequest('four'));
  clock.advance(1000);
  equal((await audit.checkpoint(0, { recent: true })).size, 4, 'nor for longer than a second');
});

test('Audit refuses to start over audit rows that are missing or replaced', async () => {
  const [place, physical] = [stores.place(), new MemoryPhysical()];
  const { audit } = await stores.start(place, physical);
  for (let index = 0; index < 300; index++) await audit.commit(testRequest(`e${index}`));
  const rows = await physical.list('audit/', { limit: 10_000 });
  equal(rows.length, 301, '300 bundles and one row of the tree');
  const tampered = async (key: string, bytes: Uint8Array | undefined) => {
    const copy = await snapshotOf(physical);
    const original = { get: copy.get.bind(copy), list: copy.list.bind(copy) };
    copy.list = async (prefix, options) =>
      (await original.list(prefix, options)).flatMap((row) => {
        if (row.key !== key) return [row];
        return bytes === undefined ? [] : [{ ...row, bytes }];
      });
    return (await stores.start(place, copy)).audit;
  };
  const bundle = (index: number) => rows[index]?.bytes;
  const key = (index: number) => `audit/${index.toString(16).padStart(16, '0')}`;
  const attempts = [
    [key(299), undefined],
    [key(260), bundle(261)],
    ['audit/tree-00000000', undefined],
  ] as const;
  for (const [at, bytes] of attempts) {
    const gateway = await tampered(at, bytes);
    await rejects(gateway.checkpoint(), { code: 'barrier.corrupt' }, at);
    await rejects(gateway.commit(testRequest('x')), { code: 'barrier.corrupt' }, at);
  }
  const early = await tampered(key(3), undefined);
  await rejects(
    early.prove(3),
    { code: 'barrier.corrupt' },
    'an old entry is missed when it is asked for',
  );
  await rejects(early.entries({ from: 0, limit: 10 }), { code: 'barrier.corrupt' });
  ok((await early.prove(290)).inclusion.length > 0, 'control: others are still proved');
  const whole = await tampered('none', undefined);
  equal((await whole.prove(3)).entry.action, 'e3', 'control: the untouched copy');
});
