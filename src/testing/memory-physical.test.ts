/**
 * Goal: the storage of tests and simulations keeps the same contract as the real ones, also under a
 * decorator that does nothing.
 * Method: the conformance suite.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { batchAt } from './commit-history.ts';
import { FaultyPhysical } from './faulty-physical.ts';
import { MemoryPhysical } from './memory-physical.ts';
import type { Physical } from '../gateway/physical/physical.ts';
import { type PhysicalSubject, physicalSuite } from '../gateway/physical/physical.suite.ts';

function subjectOf(physical: Physical): PhysicalSubject {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-memory-'));
  return {
    physical,
    restart: async () => physical,
    backupPath: join(directory, 'backup'),
    async [Symbol.asyncDispose]() {
      rmSync(directory, { recursive: true });
    },
  };
}

physicalSuite('memory', async () => subjectOf(new MemoryPhysical()));
physicalSuite('memory, decorated', async () =>
  subjectOf(new FaultyPhysical(new MemoryPhysical(), () => undefined)),
);

test('what a failed commit wrote is seen only once the storage was opened anew, as on a disk', async () => {
  for (const [mishap, after] of [
    ['failed-after', 3],
    ['failed-before', 2],
    ['full', 2],
  ] as const) {
    const inner = new MemoryPhysical();
    const storage = new FaultyPhysical(inner, ({ revision }) =>
      revision === 3 ? mishap : undefined,
    );
    for (const revision of [1, 2]) await storage.commit(batchAt(revision));
    const before = await storage.list('', { limit: 100 });
    const code = mishap === 'full' ? 'storage.full' : 'storage.failed';
    await rejects(storage.commit(batchAt(3)), { code });
    equal(await inner.revision(), after, 'control: what is on the disk');
    equal(await storage.revision(), 2);
    deepEqual(await storage.list('', { limit: 100 }), before);
    await storage.reopen();
    equal(await storage.revision(), after);
    deepEqual(await storage.list('', { limit: 100 }), await inner.list('', { limit: 100 }));
  }
});
