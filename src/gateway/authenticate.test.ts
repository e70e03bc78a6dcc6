/**
 * Goal: who cannot be known because the gateway is sealed is told that, and not that the token is bad.
 * Method: an identity that knows nobody, as it is while sealed; once sealed, once not.
 */
import { equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import { RequestRig } from '../testing/request-rig.ts';
import { createAuthenticate } from './authenticate.ts';

test('a token is refused as sealed while sealed, and as unknown, with an entry, while not', async () => {
  const rig = new RequestRig();
  const nobody = { authenticate: () => Promise.reject(new Fault('auth.failed')) };
  let isSealed = true;
  const authenticate = createAuthenticate(nobody, rig.requests.anonymousLog, () => isSealed);
  await rejects(authenticate('coffer_x', 'test'), { code: 'barrier.sealed' });
  equal(rig.audit.kept.length, 0);
  isSealed = false;
  await rejects(authenticate('coffer_x', 'test'), { code: 'auth.failed' });
  equal(rig.audit.kept.at(-1)?.outcome, 'auth.failed');
});
