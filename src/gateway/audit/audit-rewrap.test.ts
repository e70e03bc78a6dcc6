/**
 * Goal: after a rotation and a rewrap the old root key opens nothing, and after its destruction nothing
 * opens the old rows (G12), wherever the gateway died on the way.
 * Method: the real log and barrier, dying before and after every commit of a rotation, then revived;
 * our own decryptor in the hands of somebody who kept the old keyring and the seal's key file.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemRandom } from '../../base/random.ts';
import { AeadKey } from '../../crypto/aead.ts';
import {
  type AuditedStore,
  AuditedStores,
  recordedActions,
  testEntry,
  testRequest,
} from '../../testing/audited-store.ts';
import { FaultyPhysical } from '../../testing/faulty-physical.ts';
import { snapshotOf } from '../../testing/physical-snapshot.ts';
import type { KeyFilePlace } from '../../testing/unsealed-barrier.ts';
import type { RecordKind } from '../barrier/barrier.ts';
import { Envelope, readHeader } from '../barrier/envelope.ts';
import type { Keyring } from '../barrier/keyring.ts';
import { openKeyringRow, parseKeyringRow } from '../barrier/keyring-row.ts';
import { MemoryPhysical } from '../../testing/memory-physical.ts';
import type { Row } from '../physical/physical.ts';
import { createUnsealer } from '../seal/seal.ts';

const stores = new AuditedStores();
after(() => stores.closeAll());

const kinds: readonly RecordKind[] = ['secret', 'value', 'group', 'node'];

async function rotate(gateway: AuditedStore): Promise<void> {
  const maintenance = gateway.barrier.rootKeys.rotate();
  await gateway.audit.commit({ ...testRequest('system.rotate-root-key'), maintenance });
}

/** The keyring of a store, as somebody with its key file reads it. */
async function stolenKeyring(place: KeyFilePlace, rows: readonly Row[]): Promise<Keyring> {
  const stored = rows.find(({ key }) => key === 'barrier/keyring');
  ok(stored);
  const row = parseKeyringRow(stored.bytes);
  const context = { random: systemRandom, keyFile: place.keyFile };
  const outcome = await createUnsealer(row.record, context).supply(Buffer.alloc(0));
  ok(outcome.kind === 'unsealed');
  return openKeyringRow(row, AeadKey.fromBytes(outcome.rootKey));
}

/** The records of a store that a keyring opens: our own decryptor, in the attacker's hands. */
function opened(keyring: Keyring, rows: readonly Row[]): string[] {
  const envelope = new Envelope(keyring, systemRandom);
  return rows
    .filter(({ key, bytes }) => {
      const slash = key.indexOf('/');
      const [kind, id] = [key.slice(0, slash), key.slice(slash + 1)];
      const { revision = 0 } = readHeader(bytes) ?? {};
      const purpose = kind === 'audit' ? 'journal' : kind === 'barrier' ? 'head' : 'record';
      return revision > 0 && envelope.open({ purpose, kind, id, revision }, bytes) !== undefined;
    })
    .map(({ key }) => key);
}

/** The old root key on the new rows, and what is left of the old key on the old rows. */
async function opensNothing(
  place: KeyFilePlace,
  oldRows: readonly Row[],
  newRows: readonly Row[],
): Promise<void> {
  const [oldKeyring, newKeyring] = [
    await stolenKeyring(place, oldRows),
    await stolenKeyring(place, newRows),
  ];
  const journal = (keys: string[]): string[] => keys.filter((key) => !key.startsWith('audit/'));
  deepEqual(journal(opened(oldKeyring, newRows)), [], 'the old root key opens no row');
  deepEqual(journal(opened(newKeyring, oldRows)), [], 'what is destroyed opens no old row either');
  const older = new Set(oldRows.map(({ key }) => key));
  const readable = opened(oldKeyring, newRows).filter((key) => !older.has(key));
  deepEqual(readable, [], 'nor anything that was recorded since');
  const secretRows = newRows.filter(({ key }) => kinds.some((kind) => key.startsWith(`${kind}/`)));
  ok(opened(newKeyring, newRows).length > secretRows.length, 'control: the new keyring opens all');
  ok(opened(oldKeyring, oldRows).length > secretRows.length, 'control: as the old one did before');
}

test('after a rotation and a rewrap the old root key opens nothing (G12), killed at every commit on the way', async () => {
  const place = stores.place();
  const origin = new MemoryPhysical();
  const first = await stores.start(place, origin);
  const writes = kinds.flatMap((kind) =>
    Array.from({ length: 150 }, (_, index) => ({
      kind,
      id: `${kind}-${index}`,
      bytes: Buffer.from(`${kind} ${index}`),
    })),
  );
  await first.audit.commit({ writes, expectations: [], entries: [testEntry('fill')] });
  const before = await first.barrier.view('value').get('value-7');
  const oldRows = await origin.list('', { limit: 10_000 });

  for (const mishap of ['crash-before', 'crash-after'] as const) {
    for (let at = 1; ; at++) {
      const inner = await snapshotOf(origin);
      let count = 0;
      const dying = new FaultyPhysical(inner, () => (++count === at ? mishap : undefined));
      const doomed = await stores.start(place, dying);
      const { signal } = new AbortController();
      const died = await rotate(doomed)
        .then(() => doomed.audit.rewrap(signal))
        .then(
          () => false,
          () => true,
        );
      doomed.audit.close();

      const revived = await stores.start(place, inner);
      if (revived.barrier.rootKeys.status().keyNumber === 1) await rotate(revived);
      await revived.audit.rewrap(signal);
      deepEqual(revived.barrier.rootKeys.status(), { keyNumber: 3, remaining: 0 });
      const newRows = await inner.list('', { limit: 10_000 });
      const keyring = await stolenKeyring(place, newRows);
      deepEqual([keyring.derive(1, 'wrap'), keyring.deactivatedRoots], [undefined, []]);
      for (const { kind, id, bytes } of writes) {
        if (!id.endsWith('7')) continue;
        equal((await revived.barrier.view(kind).get(id))?.bytes.compare(bytes), 0);
      }
      equal(
        (await revived.barrier.view('value').get('value-7'))?.revision,
        before?.revision,
        'a rewrap is no change',
      );
      deepEqual((await recordedActions(revived.audit))[0], 'fill');
      await opensNothing(place, oldRows, newRows);
      revived.audit.close();
      if (!died) {
        ok(at > 5, `control: ${at - 1} commits were died at`);
        break;
      }
    }
  }
});
