/**
 * Goal: a set that is encoded or decoded leaves no copy of a value but the one that its owner wipes
 * (T9, G45). Method: the buffers of the writer, and those that were taken, are searched afterwards.
 */
import { equal, ok, throws } from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import type { AssignedSet } from '../model/assignment.ts';
import { makeId } from '../model/id.ts';
import { SecretValue } from '../model/secret-value.ts';
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

/** Every buffer that a writer of the library had. */
function collect(t: TestContext): Uint8Array[] {
  const had: Uint8Array[] = [];
  const prototype = BinaryWriter.prototype as unknown as {
    buffer: Uint8Array;
    raw: (chunk: Uint8Array) => BinaryWriter;
  };
  const { raw } = prototype;
  prototype.raw = function (chunk) {
    const after = raw.call(this, chunk);
    had.push(this.buffer);
    return after;
  };
  t.after(() => (prototype.raw = raw));
  return had;
}

test('values do not pass through a writer that leaves copies behind', (t) => {
  const had = collect(t);
  const bytes = encodeFromGateway({ kind: 'assign', set: setWith(['a', 'b']) });
  ok(Buffer.from(bytes).includes(canary), 'control: it is in what is sent');
  equal(had.filter((buffer) => Buffer.from(buffer).includes(canary)).length, 0);
  new BinaryWriter().bytes(Buffer.from(canary));
  equal(had.filter((buffer) => Buffer.from(buffer).includes(canary)).length, 1, 'control');
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
