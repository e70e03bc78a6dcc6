/**
 * Goal: the storage of tests and simulations keeps the same contract as the real ones, also under a
 * decorator that does nothing.
 * Method: the conformance suite.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
