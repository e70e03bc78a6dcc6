/** Authentication as the HTTPS listener asks for it: with what failed on the audit log, within bounds. */
import { isFault } from '../base/fault.ts';
import type { Principal } from '../model/principal.ts';
import type { AnonymousLog } from './anonymous-log.ts';
import type { Identity } from './identity/identity.ts';

/** @throws Fault `auth.required`, `auth.failed` */
export function createAuthenticate(
  identity: Pick<Identity, 'authenticate'>,
  anonymousLog: AnonymousLog,
): (bearer: string | undefined, source: string) => Promise<Principal> {
  return async (bearer, source) => {
    try {
      return await identity.authenticate(bearer, source);
    } catch (error) {
      if (isFault(error, 'auth.failed')) {
        const about = { action: 'authenticate', outcome: error.code, source };
        await anonymousLog.note({ ...about, requestId: '' });
      }
      throw error;
    }
  };
}
