/**
 * Goal: no value and no key is left in a buffer of ours after it was sealed, opened or rewrapped (T9).
 * Method: every buffer that is made meanwhile is searched afterwards; random bytes are remembered as
 * they were drawn. Controls: what is still in use is found.
 */
import { equal, ok } from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Random, systemRandom } from '../../base/random.ts';
import { AeadKey, openBytes, sealBytes } from '../../crypto/aead.ts';
import { BufferWatch } from '../../testing/buffer-watch.ts';
import { KeyFilePlace } from '../../testing/unsealed-barrier.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import { Envelope, type Place } from './envelope.ts';
import { Keyring } from './keyring.ts';

/** Each block as it was drawn, beside the block as it is now. */
class WatchedRandom implements Random {
  readonly drawn: { readonly now: Buffer; readonly before: Buffer }[] = [];

  bytes(length: number): Buffer {
    const now = systemRandom.bytes(length);
    this.drawn.push({ now, before: Buffer.from(now) });
    return now;
  }

  integer(limit: number): number {
    return systemRandom.integer(limit);
  }

  fraction(): number {
    return systemRandom.fraction();
  }
}

const isWiped = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);
const place = (kind: string): Place => ({ purpose: 'record', kind, id: 'a', revision: 7 });

test('sealing, opening and rewrapping leave neither the value nor its data key', (t) => {
  const random = new WatchedRandom();
  const keyring = Keyring.create('ins_1', 1, systemRandom);
  const envelope = new Envelope(keyring, random);
  const canary = systemRandom.bytes(40);
  const rows = new Map<string, Buffer>();
  const watch = new BufferWatch(t);
  for (const kind of ['value', 'secret']) rows.set(kind, envelope.seal(place(kind), canary));
  equal(watch.holding(canary), 0, 'sealed');
  const [block] = random.drawn;
  const dataKey = block?.before.subarray(0, 32) ?? Buffer.alloc(0);
  equal(dataKey.length, 32);
  ok(isWiped(block?.now.subarray(0, 32) ?? dataKey), 'the data key where it was drawn');
  ok(!isWiped(dataKey), 'control');

  for (const [kind, row] of rows) {
    const opened = envelope.open(place(kind), row);
    equal(watch.holding(canary), 1, 'control: what was opened');
    opened?.fill(0);
    equal(watch.holding(canary), 0, `${kind} opened`);
    const next = new Envelope(keyring.rotate(2, systemRandom), systemRandom);
    ok(next.rewrap(place(kind), row));
    equal(watch.holding(canary), 0, `${kind} rewrapped`);
  }
  equal(watch.holding(dataKey), 1, 'the data key only in this test’s own copy of what was drawn');
});

test('what does not authenticate is wiped and not handed out', (t) => {
  const canary = systemRandom.bytes(40);
  const key = AeadKey.fromBytes(systemRandom.bytes(32));
  const sealed = sealBytes(key, canary, Buffer.from('here'), systemRandom);
  const watch = new BufferWatch(t);
  equal(openBytes(key, sealed, Buffer.from('there')), undefined);
  equal(watch.holding(canary), 0);
  ok(openBytes(key, sealed, Buffer.from('here')));
  equal(watch.holding(canary), 1, 'control');
});

test('initialising and unsealing leave no key of the installation', async (t) => {
  const own = new KeyFilePlace();
  after(() => own[Symbol.dispose]());
  const random = new WatchedRandom();
  const physical = new MemoryPhysical();
  const barrier = await own.unsealed({ physical, random });
  const keys = random.drawn.filter(({ now }) => now.length === 32);
  ok(keys.length >= 5, 'control: root key, keyring, key file');
  ok(keys.every(({ now }) => isWiped(now)));
  await barrier.seal();
  const watch = new BufferWatch(t);
  const again = await own.unsealed({ physical });
  equal(again.state, 'ready');
  for (const [index, { before }] of keys.entries()) equal(watch.holding(before), 0, `${index}`);
  const [{ before }] = keys as [(typeof keys)[number]];
  Buffer.from(before);
  equal(watch.holding(before), 1, 'control: a copy would be seen');
});
