/** Goal: grants that meet in one directory come to one set, the same on every gateway, and say what lost. */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import type { Grant } from '../../model/grant.ts';
import { anyGrant, name, secret } from './policy-samples.suite.ts';
import type { WantedSet } from './policy.ts';
import { compileGrant, wantedSets } from './wanted.ts';

const setsOf = (...grants: readonly Grant[]): readonly WantedSet[] =>
  wantedSets(grants.map((grant) => compileGrant(grant, 600_000)));

test('wantedSets: what a grant leaves out has its default', () => {
  deepEqual(setsOf({ group: name('api'), secrets: [{ secret: secret('payments/db') }] }), [
    {
      target: '/run/secrets',
      files: [{ secret: 'payments/db', file: 'db', mode: 0o400, group: 'api' }],
      refused: [],
      signals: [],
      onLeaseLoss: 'wipe',
      leaseMs: 600_000,
    },
  ]);
});

test('wantedSets: the strictest of several grants wins for the whole directory', () => {
  const [set, other] = setsOf(
    {
      group: name('b'),
      secrets: [{ secret: secret('b') }],
      onLeaseLoss: 'keep',
      leaseSeconds: 900,
      onChange: { signal: 'SIGUSR1' },
    },
    { group: name('a'), secrets: [{ secret: secret('a') }], onChange: { signal: 'SIGHUP' } },
    {
      group: name('c'),
      secrets: [{ secret: secret('a') }],
      target: '/run/z',
      onLeaseLoss: 'keep',
      leaseSeconds: 900,
    },
  );
  deepEqual(
    [set?.onLeaseLoss, set?.leaseMs, set?.signals, set?.files.map((file) => file.file)],
    ['wipe', 600_000, ['SIGHUP', 'SIGUSR1'], ['a', 'b']],
  );
  deepEqual([other?.target, other?.onLeaseLoss, other?.leaseMs], ['/run/z', 'keep', 900_000]);
});

test('wantedSets: the same secret with another mode or owner is another file, and collides', () => {
  const wanted = { secret: secret('payments/db') };
  const refused = (more: object): unknown[] =>
    setsOf(
      { group: name('a'), secrets: [wanted] },
      { group: name('b'), secrets: [{ ...wanted, ...more }] },
    ).flatMap((set) => set.refused.map(({ group, fault, instead }) => [group, fault, instead]));
  deepEqual(refused({}), [], 'control');
  for (const more of [{ mode: '0440' }, { uid: 0 }, { gid: 0 }]) {
    deepEqual(refused(more), [['b', 'grant.file-collision', 'a']], JSON.stringify(more));
  }
});

test('wantedSets: a file that two groups want goes to the first by name, and the other hears of it', () => {
  const shared = { file: name('db') };
  const [set] = setsOf(
    {
      group: name('late'),
      secrets: [{ secret: secret('mail/db'), ...shared }, { secret: secret('mail/key') }],
    },
    { group: name('early'), secrets: [{ secret: secret('payments/db'), ...shared }] },
    { group: name('same'), secrets: [{ secret: secret('payments/db'), ...shared }] },
  );
  deepEqual(
    set?.files.map((file) => [file.file, file.secret, file.group]),
    [
      ['db', 'payments/db', 'early'],
      ['key', 'mail/key', 'late'],
    ],
  );
  deepEqual(set?.refused, [
    {
      secret: 'mail/db',
      file: 'db',
      group: 'late',
      fault: 'grant.file-collision',
      instead: 'early',
    },
  ]);
});

test('wantedSets: a directory takes only so many files, and says which it does not', () => {
  const many = (group: string): Grant => ({
    group: name(group),
    secrets: Array.from({ length: 100 }, (_, at) => ({
      secret: secret(`${group}/s${at}`),
      file: name(`${group}${at}`),
    })),
  });
  const [set] = setsOf(many('a'), many('b'));
  equal(set?.files.length, limits.setFilesMax);
  equal(set?.refused.length, 200 - limits.setFilesMax);
  deepEqual(
    [...new Set(set?.refused.map((file) => `${file.group} ${file.fault}`))],
    ['b limit.exceeded'],
  );
});

test('wantedSets does not depend on the order in which grants come', () => {
  const distinct = fc.uniqueArray(anyGrant, { selector: (grant) => grant.group, maxLength: 6 });
  fc.assert(
    fc.property(distinct, fc.integer(), (grants, seed) => {
      const shuffled = grants.toSorted(
        (left, right) => hash(left.group, seed) - hash(right.group, seed),
      );
      deepEqual(setsOf(...shuffled), setsOf(...grants));
    }),
    { numRuns: 2000 },
  );
});

function hash(text: string, seed: number): number {
  return Array.from(text).reduce(
    (sum, char) => (Math.imul(sum, 31) + char.charCodeAt(0)) | 0,
    seed,
  );
}
