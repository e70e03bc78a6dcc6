/**
 * Identity: who acts. Principals and their tokens, nodes and their certificates.
 *
 * Nothing here has an effect: changes are plans that the audit log commits with their entry.
 *
 * Promises
 *   - A token or certificate exists only once the commit that records it has succeeded.
 *   - A join token works once, for one node name, until its end: redeeming it removes it, and expects
 *     it to be there, in the commit that writes the node.
 *   - Renewal keeps name and key and never adds a right. What a node is comes from its record.
 *   - Every failed authentication says the same and costs the same.
 * Does not promise
 *   - That a certificate which OpenSSL accepts is accepted: `liveNode` asks the allow-list.
 */
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import { type Authority, makeAuthority } from '../../crypto/x509.ts';
import { makeId } from '../../model/id.ts';
import type { Name } from '../../model/name.ts';
import type { Binding, Principal } from '../../model/principal.ts';
import type { Projection, RecordExpectation, RecordWrite, View } from '../barrier/barrier.ts';
import {
  AuthorityIndex,
  authorityRecordId,
  encodeAuthority,
  JoinTokenIndex,
  NodeIndex,
} from './node-index.ts';
import { Nodes } from './nodes.ts';
import {
  CredentialIndex,
  encodeCredential,
  encodePrincipal,
  PrincipalIndex,
  type StoredPrincipalKind,
} from './principal-index.ts';
import { type IdentityProvider, identityProviders } from './provider.ts';
import { formatBearer, makeTokenSecret } from './token.ts';
import { Tokens } from './tokens.ts';

export type { IndexedNode, NodeCertificate, StoredNode } from './node-index.ts';
export type { JoinPlan, LiveNode, Nodes, RenewPlan, TokenPlan } from './nodes.ts';
export type { NewToken, TokenHolder } from './tokens.ts';
export type { StoredPrincipal } from './principal-index.ts';
export type { IdentityProvider } from './provider.ts';

export interface IdentityPlan {
  readonly writes: readonly RecordWrite[];
  readonly expectations: readonly RecordExpectation[];
  /** For the audit entry. */
  readonly detail: Readonly<Record<string, string>>;
}

/** What a new enforcer must know, and what certificates say. */
export interface NodeSettings {
  /** Where the HTTPS listener answers: `host:port`. */
  readonly address: string;
  /** `sha256:…` of the HTTPS listener's key, or of its authority. */
  readonly pin: string;
  /** Where the node port answers: `host:port`. */
  readonly streamAddress: string;
  readonly trustDomain: string;
  /** How long a node's certificate lives; `limits.nodeCertificateMs` when left out. */
  readonly nodeCertificateMs?: number;
}

export interface IdentityOptions {
  readonly views: {
    readonly principal: View;
    readonly credential: View;
    readonly node: View;
    readonly 'join-token': View;
    readonly authority: View;
  };
  readonly clock: Clock;
  readonly random: Random;
  /** Asked each time: keys and addresses may be renewed while running. */
  readonly settings: () => NodeSettings;
}

/** How long the installation's authority lives. Changing it is a new installation's worth of joins. */
const authorityMs = 10 * 365 * 24 * 3_600_000;

export class Identity {
  readonly nodes: Nodes;
  readonly tokens: Tokens;
  readonly #options: IdentityOptions;
  readonly #principals = new PrincipalIndex();
  readonly #credentials = new CredentialIndex();
  readonly #nodeIndex = new NodeIndex();
  readonly #joinTokens = new JoinTokenIndex();
  readonly #authority = new AuthorityIndex();
  readonly #providers: readonly IdentityProvider[];

  constructor(options: IdentityOptions) {
    this.#options = options;
    this.nodes = new Nodes({
      ...options,
      nodes: this.#nodeIndex,
      joinTokens: this.#joinTokens,
      authority: this.#authority,
    });
    this.tokens = new Tokens({
      views: options.views,
      clock: options.clock,
      principals: this.#principals,
      credentials: this.#credentials,
      planPrincipal: (principal) => this.planPrincipal(principal),
    });
    const sources = { principals: this.#principals, credentials: this.#credentials };
    this.#providers = identityProviders.map((make) => make({ ...sources, clock: options.clock }));
  }

  get projections(): readonly Projection[] {
    return [
      this.#principals,
      this.#credentials,
      this.#nodeIndex,
      this.#joinTokens,
      this.#authority,
    ];
  }

  /**
   * Who a bearer token belongs to.
   *
   * @param source - The peer's address.
   * @throws Fault `auth.required` without a token, `auth.failed` for every token that proves nobody
   */
  async authenticate(bearer: string | undefined, source: string): Promise<Principal> {
    if (bearer === undefined) throw new Fault('auth.required');
    for (const provider of this.#providers) {
      const principal = await provider.authenticate(bearer, source);
      if (principal) return principal;
    }
    throw new Fault('auth.failed');
  }

  /** What the principal was given; empty for whom we do not keep, or no more. Asked at each decision. */
  bindingsOf(principal: Principal): readonly Binding[] {
    if (!this.tokens.isLive(principal.id)) return [];
    return this.#principals.byId(principal.id)?.bindings ?? [];
  }

  /**
   * A new principal with its first token.
   *
   * @param principal.tokenEndsAtMs - Left out: until the token is removed.
   * @returns The token, which nothing keeps: show it once, after the commit. A second principal of one
   *   kind and name is a conflict when it is committed.
   */
  planPrincipal(principal: {
    readonly kind: StoredPrincipalKind;
    readonly name: Name;
    readonly bindings: readonly Binding[];
    readonly tokenEndsAtMs?: number;
  }): IdentityPlan & { readonly token: string } {
    const { views, clock, random } = this.#options;
    const { kind, name, bindings, tokenEndsAtMs } = principal;
    const id = makeId('principal', this.#options);
    const token = makeTokenSecret(random);
    const createdAtMs = clock.wallMs();
    const recordId = views.principal.nameId(kind, name);
    return {
      writes: [
        views.principal.put(recordId, encodePrincipal({ id, kind, name, bindings, createdAtMs })),
        views.credential.put(
          token.publicId,
          encodeCredential({
            principalId: id,
            hash: token.hash,
            createdAtMs,
            ...(tokenEndsAtMs === undefined ? {} : { endsAtMs: tokenEndsAtMs }),
          }),
        ),
      ],
      expectations: [
        views.principal.expect(recordId, 0),
        views.credential.expect(token.publicId, 0),
      ],
      detail: { principal: id, name },
      token: formatBearer(token),
    };
  }

  /** The authority that signs for nodes and for the gateway's node port, at `init`. Wipe the write. */
  planAuthority(): IdentityPlan & { readonly authority: Authority } {
    const { views, clock, random, settings } = this.#options;
    const authority = makeAuthority({
      commonName: 'Cofferdam node authority',
      trustDomain: settings().trustDomain,
      nowMs: clock.wallMs(),
      lifetimeMs: authorityMs,
      random,
    });
    const { authority: view } = views;
    return {
      writes: [view.put(authorityRecordId, encodeAuthority(authority))],
      expectations: [view.expect(authorityRecordId, 0)],
      detail: {},
      authority,
    };
  }

  /** For the node port: what it presents certificates of. @throws Fault `barrier.sealed` */
  authorityForGateway(): ReturnType<AuthorityIndex['get']> {
    return this.#authority.get();
  }
}
