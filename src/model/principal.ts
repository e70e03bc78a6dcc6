/** Who acts. One value, passed whole, so that no part of an identity can be forgotten on the way. */
import type { Name, PathPattern } from './name.ts';

export type PrincipalKind = 'user' | 'machine' | 'node' | 'gateway' | 'anonymous';

export interface Principal {
  readonly kind: PrincipalKind;
  /** `prn_…`, `nod_…`, or the kind itself for `gateway` and `anonymous`. Compared byte for byte. */
  readonly id: string;
  /** For people; unique among principals of the kind. */
  readonly name: string;
  /** How it proved who it is: `token`, `mtls`, `none`, `self`. */
  readonly method: 'token' | 'mtls' | 'none' | 'self';
  /** Where the request came from: an address, or `local`. */
  readonly source: string;
}

export const gatewayPrincipal: Principal = {
  kind: 'gateway',
  id: 'gateway',
  name: 'gateway',
  method: 'self',
  source: 'local',
};

export function anonymousFrom(source: string): Principal {
  return { kind: 'anonymous', id: 'anonymous', name: 'anonymous', method: 'none', source };
}

/** What a principal was given: a role, on the resources that a pattern matches (`secrets/payments/**`). */
export interface Binding {
  readonly role: Name;
  readonly paths: readonly PathPattern[];
}
