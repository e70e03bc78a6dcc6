/**
 * Goal: a gateway that was sealed keeps nothing of the log's signing key (T9).
 * Method: the heap is searched for ledgers and private keys after sealing, in the middle of whatever
 * could hold them: idle, with a signed head at hand, with a commit in doubt, while opening. Control:
 * before sealing they are found.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, test } from 'node:test';
import { queryObjects } from 'node:v8';
import { Fault } from '../../base/fault.ts';
import { AuditedStores, testRequest } from '../../testing/audited-store.ts';
import { FaultyPhysical } from '../../testing/faulty-physical.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import { Ledger } from './ledger.ts';

const stores = new AuditedStores();
after(() => stores.closeAll());

type Class = Parameters<typeof queryObjects>[0];
const privateKeyClass = generateKeyPairSync('ed25519').privateKey.constructor;

/** Ledgers and private keys that anything can reach. */
function reachable(): readonly number[] {
  return [Ledger as unknown as Class, privateKeyClass].map((type) =>
    queryObjects(type, { format: 'count' }),
  );
}

const none = reachable();

test('sealing lets go of the signing key, whatever was done with it', async () => {
  const { audit, barrier } = await stores.start(stores.place(), new MemoryPhysical());
  await audit.commit(testRequest('one', { a: '1' }));
  await audit.checkpoint();
  deepEqual(reachable(), [1, (none[1] ?? 0) + 1], 'control: before');
  await barrier.seal();
  deepEqual(reachable(), none);

  await barrier.unseal(Buffer.alloc(0));
  await audit.prove(0);
  deepEqual(reachable(), [1, (none[1] ?? 0) + 1], 'control: again');
  await barrier.seal();
  deepEqual(reachable(), none);
  await rejects(audit.checkpoint(), { code: 'barrier.sealed' });
});

test('sealing lets go of a commit in doubt', async () => {
  let fails = false;
  const physical = new FaultyPhysical(new MemoryPhysical(), () => (fails ? 'full' : undefined));
  const { audit, barrier } = await stores.start(stores.place(), physical);
  await audit.commit(testRequest('one', { a: '1' }));
  physical.reopen = () => Promise.reject(new Fault('storage.full'));
  fails = true;
  await rejects(audit.commit(testRequest('two', { a: '2' })), { code: 'storage.full' });
  equal(audit.state, 'read-only');
  await barrier.seal();
  deepEqual(reachable(), none);
});

test('a log that is sealed while it is opened is not opened', async () => {
  const [place, physical] = [stores.place(), new MemoryPhysical()];
  const first = await stores.start(place, physical);
  await first.audit.commit(testRequest('one', { a: '1' }));
  await first.barrier.seal();
  const { audit, barrier } = await stores.start(place, physical);
  const get = physical.get.bind(physical);
  const reading = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  physical.get = async (key) => {
    if (!key.startsWith('audit-key/')) return get(key);
    reading.resolve();
    await goOn.promise;
    return get(key);
  };
  const opening = audit.checkpoint();
  await reading.promise;
  await barrier.seal();
  await barrier.unseal(Buffer.alloc(0));
  goOn.resolve();
  await rejects(opening, { code: 'barrier.sealed' });
  deepEqual(reachable(), none);
  equal((await audit.checkpoint()).size, 1, 'control: of the new unsealing it is');
  await barrier.seal();
});
