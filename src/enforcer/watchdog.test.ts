/**
 * Goal: the watchdog looks where a lease is over, and nowhere else (G27).
 * Method: `dueNow` over remembered states; what it then does to mounts is in scenarios/enforcer-life.
 */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkloadProcess } from '../model/workload.ts';
import type { Holding } from './reconcile.ts';
import { type RememberedState, stateFromText, stateToText } from './remembered.ts';
import { dueNow } from './watchdog.ts';

const graceMs = 4000;
const heardAtBootMs = 1_000_000;
const where: WorkloadProcess = {
  pid: 1,
  startTicks: 1,
  mountNamespace: 1,
  userNamespace: 1,
  cgroup: '/c',
  uid: 0,
  gid: 0,
  userNamespaced: false,
};

function holding(workloadId: string, leaseMs: number, keepOnLeaseLoss = false): Holding {
  const target = `/run/secrets/${leaseMs}`;
  return { workloadId, target, setRevision: 1, files: [], terms: '', leaseMs, keepOnLeaseLoss };
}

function due(state: RememberedState, silentMs: number): string[] {
  const read = stateFromText(stateToText(state));
  return dueNow(read, heardAtBootMs + silentMs).map(({ workloadId }) => workloadId);
}

test('dueNow names containers whose lease is over by the time that a living enforcer may take', () => {
  const state: RememberedState = {
    heardAtBootMs,
    processes: ['short', 'long', 'both', 'kept', 'unknown'].map((workloadId) => ({
      workloadId,
      process: where,
    })),
    holdings: [
      holding('short', 5000),
      holding('long', 300_000),
      holding('both', 5000),
      holding('both', 300_000),
      holding('kept', 5000, true),
    ],
  };
  deepEqual(due(state, 5000 + graceMs - 1), []);
  deepEqual(due(state, 5000 + graceMs), ['short', 'both']);
  deepEqual(due(state, 300_000 + graceMs), ['short', 'long', 'both']);
  // Of a container in which nothing is remembered, something may have been placed in the last moment.
  deepEqual(due(state, 600_000 + graceMs - 1), ['short', 'long', 'both']);
  deepEqual(due(state, 600_000 + graceMs), ['short', 'long', 'both', 'unknown']);
});
