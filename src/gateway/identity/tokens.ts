/** Tokens of principals: who has one, how one is made and revoked. Plans only. */
import { Fault } from '../../base/fault.ts';
import type { Clock } from '../../base/clock.ts';
import type { Name } from '../../model/name.ts';
import type { Binding } from '../../model/principal.ts';
import type { IdentityOptions, IdentityPlan } from './identity.ts';
import type { CredentialIndex, IndexedPrincipal, PrincipalIndex } from './principal-index.ts';

/** A principal and how long its tokens are good. */
export interface TokenHolder {
  readonly principal: IndexedPrincipal;
  /** Of the token that is good for longest; undefined: until it is revoked. */
  readonly endsAtMs: number | undefined;
}

export interface NewToken {
  readonly name: Name;
  readonly binding: Binding;
  /** Left out: until it is revoked. */
  readonly endsAtMs?: number | undefined;
}

interface TokensOptions {
  readonly views: Pick<IdentityOptions['views'], 'principal' | 'credential'>;
  readonly clock: Clock;
  readonly principals: PrincipalIndex;
  readonly credentials: CredentialIndex;
  readonly planPrincipal: (principal: {
    readonly kind: 'machine';
    readonly name: Name;
    readonly bindings: readonly Binding[];
    readonly tokenEndsAtMs?: number;
  }) => IdentityPlan & { readonly token: string };
}

export class Tokens {
  readonly #options: TokensOptions;

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** By name, ascending; also those whose tokens have ended. */
  list(): readonly TokenHolder[] {
    const all = [...this.#options.principals.all()].map((principal) => this.#holder(principal));
    return all.toSorted((a, b) => (a.principal.name < b.principal.name ? -1 : 1));
  }

  /** Undefined for who proves themselves otherwise. */
  holder(principalId: string): TokenHolder | undefined {
    const principal = this.#options.principals.byId(principalId);
    return principal && this.#holder(principal);
  }

  /** Whether any token of a principal is good now. */
  isLive(principalId: string): boolean {
    const nowMs = this.#options.clock.wallMs();
    return this.#options.credentials
      .of(principalId)
      .some(({ endsAtMs = Number.POSITIVE_INFINITY }) => nowMs < endsAtMs);
  }

  /** For a program. @throws Fault `principal.exists` */
  planCreate({ name, binding, endsAtMs }: NewToken): IdentityPlan & { readonly token: string } {
    if (this.#find(name)) throw new Fault('principal.exists', { name });
    const ends = endsAtMs === undefined ? {} : { tokenEndsAtMs: endsAtMs };
    const { planPrincipal } = this.#options;
    const plan = planPrincipal({ kind: 'machine', name, bindings: [binding], ...ends });
    const detail = { ...plan.detail, role: binding.role, paths: binding.paths.join(' ') };
    return { ...plan, detail };
  }

  /**
   * Removes a principal and its tokens. Its name is free again, its id is never used again.
   *
   * @throws Fault `resource.unknown`; `token.last-owner` for the last one that may do everything
   */
  planRevoke(name: Name): IdentityPlan & { readonly holder: TokenHolder } {
    const { views, credentials } = this.#options;
    const principal = this.#find(name);
    if (!principal) throw new Fault('resource.unknown', { resource: `tokens/${name}` });
    const other = this.#options.principals
      .all()
      .find((one) => one !== principal && this.#isLastingOwner(one));
    if (this.#isLastingOwner(principal) && !other) throw new Fault('token.last-owner', { name });
    const { principal: view, credential } = views;
    return {
      writes: [
        view.remove(principal.recordId),
        ...credentials.of(principal.id).map(({ publicId }) => credential.remove(publicId)),
      ],
      expectations: [
        view.expect(principal.recordId, principal.revision),
        // Of two owners who revoke each other at once, one stays.
        ...(other ? [view.expect(other.recordId, other.revision)] : []),
      ],
      detail: { principal: principal.id },
      holder: this.#holder(principal),
    };
  }

  /** Somebody who may do everything, for ever. */
  #isLastingOwner({ id, bindings }: IndexedPrincipal): boolean {
    const isOwner = bindings.some(
      ({ role, paths }) => role === 'owner' && paths.some((path) => path === '**'),
    );
    return (
      isOwner && this.#options.credentials.of(id).some(({ endsAtMs }) => endsAtMs === undefined)
    );
  }

  #find(name: Name): IndexedPrincipal | undefined {
    return this.#options.principals.all().find((principal) => principal.name === name);
  }

  #holder(principal: IndexedPrincipal): TokenHolder {
    const ends = this.#options.credentials.of(principal.id).map(({ endsAtMs }) => endsAtMs);
    const isForEver = ends.includes(undefined);
    const latest = Math.max(0, ...ends.map((endsAtMs) => endsAtMs ?? 0));
    return { principal, endsAtMs: isForEver ? undefined : latest };
  }
}
