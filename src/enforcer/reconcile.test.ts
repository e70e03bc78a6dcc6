/**
 * Goal: the decisions about sets are right in every case, the two ends of a lease included.
 * Method: the pure functions themselves, case by case.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { EnforcerRig, leaseMs } from '../testing/enforcer-rig.ts';
import {
  expired,
  holdingOf,
  isHeld,
  leaseEndsMs,
  nextExpiryMs,
  stepFor,
  withoutNew,
} from './reconcile.ts';

const rig = new EnforcerRig();
const app = { id: 'wld_1' } as const;
const file = (name: string, version: number) => rig.file(name, version, `${name} ${version}`);

test('a set is acted on only above the newest revision, and only while its container runs', () => {
  const set = { ...rig.set(app, [file('db', 1)]), setRevision: 7 };
  deepEqual(
    [6, 7, 8].map((newest) => stepFor(set, newest, true)),
    ['place', 'stale', 'stale'],
  );
  equal(stepFor({ ...set, files: [] }, 6, true), 'withdraw');
  equal(stepFor(set, 6, false), 'absent');
});

test('without anything new, only what is there of the same secret stays', () => {
  const held = holdingOf(rig.set(app, [file('db', 1), file('key', 4)]));
  const versions = (set: ReturnType<typeof rig.set>, there = [held]): unknown[] =>
    withoutNew(set, there[0]).files.map(({ name, version, content }) => [name, version, content]);
  const update = rig.set(app, [file('db', 2), file('new', 1), rig.file('key', 4)]);
  deepEqual(versions(update), [
    ['db', 1, 'keep'],
    ['key', 4, 'keep'],
  ]);
  deepEqual(versions({ ...update, urgent: true }), [['key', 4, 'keep']]);
  deepEqual(versions(update, []), [['key', 4, 'keep']]);
  // The name is another secret's now: what stands there is not that one.
  const renamed = rig.set(app, [{ ...file('db', 2), secretId: rig.secretId('other') }]);
  deepEqual(versions(renamed), []);
});

test('a set is held if name, secret and version of every file are, and nothing else is', () => {
  const set = rig.set(app, [file('a', 1), file('b', 1)]);
  equal(isHeld(set, holdingOf(set)), true);
  equal(isHeld(set, undefined), false);
  equal(isHeld(rig.set(app, []), undefined), true);
  for (const files of [
    [file('a', 1)],
    [file('a', 1), file('b', 2)],
    [file('a', 1), file('c', 1)],
    [file('a', 1), { ...file('b', 1), secretId: rig.secretId('other') }],
    [file('a', 1), file('b', 1), file('c', 1)],
  ]) {
    equal(isHeld(set, holdingOf(rig.set(app, files))), false);
  }
});

test('a lease ends at its millisecond, and one that is kept never does', () => {
  const held = holdingOf(rig.set(app, [file('db', 1)]));
  const kept = holdingOf(rig.set(app, [file('db', 1)], { keepOnLeaseLoss: true }));
  const heardAtMs = 500;
  const endMs = heardAtMs + leaseMs;
  deepEqual(expired([held, kept], heardAtMs, endMs - 1), []);
  deepEqual(expired([held, kept], heardAtMs, endMs), [held]);
  equal(nextExpiryMs([kept, held], heardAtMs), endMs);
  equal(nextExpiryMs([kept], heardAtMs), Number.POSITIVE_INFINITY);
});

test('the lease of an inherited set begins anew with the first word after it was taken up', () => {
  const held = holdingOf(rig.set(app, [file('db', 1)]));
  const inherited = { ...held, heardAtBootMs: 500 };
  const takenUp = { ...inherited, takenUpAtBootMs: 800 };
  const ends = [400, 500, 799, 800, 900].map((heardAtMs) =>
    [held, inherited, takenUp].map((set) => leaseEndsMs(set, heardAtMs) - leaseMs),
  );
  deepEqual(ends, [
    [400, 400, 400],
    [500, 500, 500],
    [799, 500, 500],
    [800, 500, 800],
    [900, 500, 900],
  ]);
});
