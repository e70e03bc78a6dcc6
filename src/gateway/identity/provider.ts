/**
 * Where principals come from: one question, asked of each provider in turn. This is the seam for directories
 * and OpenID Connect; until there are such, the built-in tokens are the only provider.
 */
import type { Clock } from '../../base/clock.ts';
import type { Principal } from '../../model/principal.ts';
import type { CredentialIndex, PrincipalIndex } from './principal-index.ts';
import { parseBearer, provesSecret } from './token.ts';

export interface IdentityProvider {
  /**
   * Who the bearer is; `undefined` if it proves nobody. Unknown and known ids, wrong and expired
   * tokens take the same work.
   */
  authenticate(bearer: string, source: string): Promise<Principal | undefined>;
}

interface ProviderOptions {
  readonly principals: PrincipalIndex;
  readonly credentials: CredentialIndex;
  readonly clock: Clock;
}

/** Every kind of provider there is. */
export const identityProviders = [tokenProvider] as const;

/** Stands in for what does not parse, so that it costs as much as what does. */
const nobody = { publicId: '0'.repeat(32), secret: '0'.repeat(43) };

function tokenProvider(options: ProviderOptions): IdentityProvider {
  return {
    async authenticate(bearer, source) {
      const { publicId, secret } = parseBearer(bearer) ?? nobody;
      const credential = options.credentials.get(publicId);
      const proven = provesSecret(secret, credential?.hash);
      const principal = options.principals.byId(credential?.principalId ?? '');
      if (!proven || !credential || !principal) return undefined;
      if (credential.endsAtMs !== undefined && options.clock.wallMs() >= credential.endsAtMs) {
        return undefined;
      }
      const { id, kind, name } = principal;
      return { kind, id, name, method: 'token', source };
    },
  };
}
