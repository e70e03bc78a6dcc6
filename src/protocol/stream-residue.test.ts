/**
 * Goal: a set that is encoded or decoded leaves no copy of a value but the one that its owner wipes
 * (T9, G45). Method: the buffers that were made, and those that were taken, are searched afterwards.
 */
import { equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { wipe } from '../base/bytes.ts';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import type { AssignedSet } from '../model/assignment.ts';
import { makeId } from '../model/id.ts';
import { SecretValue } from '../model/secret-value.ts';
import { BufferWatch } from '../testing/buffer-watch.ts';
import { decodeFromGateway, encodeFromGateway } from './stream-messages.ts';

const canary = 'canary-7d1e5c';

function setWith(names: readonly string[]): AssignedSet {
  return {
    ...{ workloadId: 'w', target: '/run/secrets', setRevision: 1, signals: [], terms: 't' },
    ...{ keepOnLeaseLoss: false, leaseMs: 5000, urgent: false },
    files: names.map((name) => ({
      ...{ name, version: 1, mode: 0o400 },
      secretId: makeId('secret', { clock: systemClock, random: systemRandom }),
      content: SecretValue.copy(Buffer.from(canary)),
    })),
  };
}

test('what is encoded is the only copy of its values', (t) => {
  const set = setWith(['a', 'b']);
  const value = Buffer.from(canary);
  const watch = new BufferWatch(t);
  const bytes = encodeFromGateway({ kind: 'assign', set });
  equal(watch.holding(value), 1, 'control: the one that is sent');
  wipe(bytes);
  equal(watch.holding(value), 0);
});

test('a set whose second file is broken leaves nothing of the first', (t) => {
  const bytes = encodeFromGateway({ kind: 'assign', set: setWith(['a', '../b']) });
  const taken: Buffer[] = [];
  const { own } = SecretValue;
  SecretValue.own = (buffer) => {
    taken.push(buffer);
    return own.call(SecretValue, buffer);
  };
  t.after(() => (SecretValue.own = own));
  throws(() => decodeFromGateway(bytes), { code: 'stream.malformed' });
  ok(taken.length > 0);
  ok(taken.every((buffer) => buffer.every((byte) => byte === 0)));
});
