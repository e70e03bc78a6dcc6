/**
 * Goal: whoever is refused at the node port is on the audit log, and cannot fill it.
 * Method: the real admission over nodes of which none is live, and a clock that stands still until it is told
 * to go on.
 */
import { deepEqual, equal, throws } from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { limits } from '../base/limits.ts';
import { silentLog } from '../base/log.ts';
import { parseName } from '../model/name.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import type { AuditEntry } from './audit/audit.ts';
import { NodeAdmission } from './node-admission.ts';

test('refusals are recorded with node, reason and address, so many a second, and the others counted', async () => {
  const clock = new ManualClock();
  const entries: AuditEntry[] = [];
  const admission = new NodeAdmission({
    identity: {
      nodes: {
        liveNode: () => ({ kind: 'refused', reason: 'revoked', name: parseName('node-1') }),
      },
    } as never,
    audit: {
      state: 'ready',
      commit: async (request) => {
        entries.push(...request.entries);
        return { revision: 1, sequences: [] };
      },
    },
    clock,
    log: silentLog,
  });
  const refuse = (): void =>
    throws(() => admission.peerOf(undefined as unknown as X509Certificate, '192.0.2.7'), {
      code: 'node.refused',
      detail: { reason: 'revoked' },
    });
  for (let count = 0; count < 1000; count += 1) refuse();
  equal(entries.length, limits.anonymousEntriesPerSecond);
  const { principal, action, resource, outcome, detail } = entries[0] as AuditEntry;
  deepEqual(
    [principal.kind, principal.source, action, resource, outcome, detail],
    [
      'anonymous',
      '192.0.2.7',
      'node.connect',
      'nodes/node-1',
      'node.refused',
      { reason: 'revoked' },
    ],
  );
  clock.advance(1000);
  refuse();
  const unlisted = String(1000 - limits.anonymousEntriesPerSecond);
  deepEqual(entries.at(-1)?.detail, { reason: 'revoked', unlisted });
});
