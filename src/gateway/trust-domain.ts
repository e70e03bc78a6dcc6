/**
 * Whether this gateway was started for the trust domain that its store was made for: nodes know it by that
 * name alone, and would take it for an impostor.
 */
import { Fault } from '../base/fault.ts';
import { authorityTrustDomain } from '../crypto/certificate-identity.ts';
import type { GatewayConfig } from './config.ts';
import type { Identity } from './identity/identity.ts';

/** Asks while the barrier is unsealed. @throws Fault `gateway.trust-domain` */
export function requireTrustDomain(
  { identity }: { readonly identity: Pick<Identity, 'authorityForGateway'> },
  { trustDomain: given }: Pick<GatewayConfig, 'trustDomain'>,
): void {
  const stored = authorityTrustDomain(identity.authorityForGateway().certificate);
  if (stored !== given) throw new Fault('gateway.trust-domain', { given, stored });
}
