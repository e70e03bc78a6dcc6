/** Authentication as the HTTPS listener asks for it: with what failed on the audit log, within bounds. */
import { Fault, isFault } from '../base/fault.ts';
import type { Principal } from '../model/principal.ts';
import type { AnonymousLog } from './anonymous-log.ts';
import type { Identity } from './identity/identity.ts';

/** @throws Fault `auth.required`, `auth.failed`; `barrier.sealed`, since then nobody is known */
export function createAuthenticate(
  identity: Pick<Identity, 'authenticate'>,
  anonymousLog: AnonymousLog,
  isSealed: () => boolean,
): (bearer: string | undefined, source: string) => Promise<Principal> {
  return async (bearer, source) => {
    try {
      return await identity.authenticate(bearer, source);
    } catch (error) {
      if (isFault(error, 'auth.failed')) {
        // A good token would fail as well.
        if (isSealed()) throw new Fault('barrier.sealed');
        const about = { action: 'authenticate', outcome: error.code, source };
        await anonymousLog.note({ ...about, requestId: '' });
      }
      throw error;
    }
  };
}
