/** Nodes: how they join, renew and are revoked, and which certificates are live. Plans only. */
import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { keyPin, readNodeIdentity } from '../../crypto/certificate-identity.ts';
import { checkCsr } from '../../crypto/csr.ts';
import { issueNodeCertificate } from '../../crypto/x509.ts';
import { makeId } from '../../model/id.ts';
import { type Name, parseName } from '../../model/name.ts';
import type { RecordWrite } from '../barrier/barrier.ts';
import type { IdentityOptions, IdentityPlan, NodeSettings } from './identity.ts';
import {
  type AuthorityIndex,
  certificateEntry,
  encodeJson,
  type IndexedJoinToken,
  type IndexedNode,
  type JoinTokenIndex,
  type NodeCertificate,
  type NodeIndex,
  type StoredJoinToken,
  type StoredNode,
} from './node-index.ts';
import { makeTokenSecret, provesSecret } from './token.ts';

interface NodesOptions {
  readonly views: IdentityOptions['views'];
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: () => NodeSettings;
  readonly nodes: NodeIndex;
  readonly joinTokens: JoinTokenIndex;
  readonly authority: AuthorityIndex;
}

export interface TokenPlan extends IdentityPlan {
  /** What the token must say, beside addresses and pin. Show it once, after the commit. */
  readonly publicId: string;
  readonly secret: string;
  readonly endsAtMs: number;
}

export interface JoinPlan extends IdentityPlan {
  readonly node: StoredNode;
  /** PEM. Hand it out after the commit: before, it is on no allow-list. */
  readonly certificate: string;
  readonly authority: string;
}

export type RenewPlan = Omit<JoinPlan, 'authority'>;

export type LiveNode =
  | { readonly kind: 'live'; readonly node: StoredNode; readonly certificate: NodeCertificate }
  | {
      readonly kind: 'refused';
      readonly reason: string;
      /** Which node our authority once said it was. */
      readonly name?: Name;
    };

/** What tells a node that was let in from one that has joined again since. */
export type LetIn = Pick<StoredNode, 'name' | 'keyPin' | 'joinedAtMs'>;

/** Expired join tokens that one new token cleans up at most. */
const cleanedMax = 16;

export class Nodes {
  readonly #options: NodesOptions;

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  find(name: Name): IndexedNode | undefined {
    return this.#options.nodes.get(name);
  }

  /** Names of nodes that joined, revoked ones included, and of those that may join now; ascending. */
  names(): readonly Name[] {
    const waiting = [...this.#options.joinTokens.all()]
      .filter((token) => !this.#hasEnded(token))
      .map((token) => token.nodeName);
    return [...new Set([...this.#options.nodes.names(), ...waiting])].toSorted();
  }

  /** The id that a node which has not joined yet will have; `undefined` if none may join by this name. */
  expectedId(name: Name): string | undefined {
    for (const token of this.#options.joinTokens.all()) {
      if (token.nodeName === name && !this.#hasEnded(token)) return token.nodeId;
    }
    return undefined;
  }

  /** A join token; earlier ones for this name end. @throws Fault `node.revoked` */
  planToken(name: Name): TokenPlan {
    const { views, clock, random, joinTokens } = this.#options;
    const found = this.find(name);
    if (found?.node.state === 'revoked') throw new Fault('node.revoked', { node: name });
    const secret = makeTokenSecret(random);
    const nowMs = clock.wallMs();
    const token: StoredJoinToken = {
      nodeName: name,
      nodeId: found?.node.id ?? makeId('node', this.#options),
      hash: secret.hash.toString('base64'),
      createdAtMs: nowMs,
      endsAtMs: nowMs + limits.joinTokenMsMax,
    };
    const view = views['join-token'];
    const outdated = [...joinTokens.all()]
      .filter((old) => old.nodeName === name || this.#hasEnded(old))
      .toSorted((a, b) => Number(b.nodeName === name) - Number(a.nodeName === name))
      .slice(0, cleanedMax);
    return {
      writes: [
        view.put(secret.publicId, encodeJson(token)),
        ...outdated.map((old) => view.remove(old.publicId)),
      ],
      // Expecting the outdated ones makes two plans for one name conflict, so that one token stays.
      expectations: [
        view.expect(secret.publicId, 0),
        ...outdated.map((old) => view.expect(old.publicId, old.revision)),
        ...this.#expectNode(name),
      ],
      detail: { node: token.nodeId },
      publicId: secret.publicId,
      secret: secret.secret,
      endsAtMs: token.endsAtMs,
    };
  }

  /**
   * Redeems a join token for a certificate.
   *
   * @param given.certificateRequest - PEM, PKCS#10. Its key is used; what it says is not.
   * @throws Fault `auth.failed` for every token that proves nothing: unknown, used, ended, other name
   * @throws Fault `request.invalid` for a request that does not prove its key; the token stays good
   */
  planJoin(given: {
    readonly publicId: string;
    readonly secret: string;
    readonly node: string;
    readonly certificateRequest: string;
  }): JoinPlan {
    const { views, clock, joinTokens } = this.#options;
    const token = joinTokens.get(given.publicId);
    const hash = token && Buffer.from(token.hash, 'base64');
    const proven = provesSecret(given.secret, hash);
    if (!proven || !token || this.#hasEnded(token) || token.nodeName !== given.node) {
      throw new Fault('auth.failed');
    }
    const found = this.find(token.nodeName);
    if (found?.node.state === 'revoked') throw new Fault('auth.failed');
    const publicKey = keyOfRequest(given.certificateRequest);
    const certificate = this.#issue(token.nodeName, publicKey);
    const node: StoredNode = {
      id: token.nodeId,
      name: token.nodeName,
      state: 'live',
      keyPin: keyPin(publicKey),
      // A node that joins again starts anew: certificates for its earlier key end here.
      certificates: [certificateEntry(certificate)],
      joinedAtMs: clock.wallMs(),
    };
    const view = views['join-token'];
    return {
      writes: [view.remove(token.publicId), this.#write(node)],
      expectations: [
        view.expect(token.publicId, token.revision),
        ...this.#expectNode(token.nodeName),
      ],
      detail: { node: node.id, serial: certificateEntry(certificate).serial, key: node.keyPin },
      node,
      certificate: certificate.toString(),
      authority: this.#options.authority.get().certificate.toString(),
    };
  }

  /**
   * A new certificate for a node that has one, with the same key.
   *
   * @param name - Of the node whose live certificate this connection was let in by.
   * @param shown - That certificate. It stays on the list until its end, however many answers are lost:
   *   the node may have no other.
   * @throws Fault `certificate.refused` if it is live no longer, or the request is for another key
   * @throws Fault `request.invalid` for a request that does not prove its key
   */
  planRenew(name: Name, certificateRequest: string, shown?: NodeCertificate): RenewPlan {
    const node = this.find(name)?.node;
    if (node?.state !== 'live') {
      throw new Fault('certificate.refused', { node: name, reason: 'not-live' });
    }
    const publicKey = keyOfRequest(certificateRequest);
    if (keyPin(publicKey) !== node.keyPin) {
      throw new Fault('certificate.refused', { node: name, reason: 'other-key' });
    }
    const issued = this.#issue(node.name, publicKey);
    const nowMs = this.#options.clock.wallMs();
    const kept = node.certificates.filter((entry) => entry.endsAtMs > nowMs);
    const inUse = kept.filter((entry) => entry.sha256 === shown?.sha256);
    const others = kept.filter((entry) => !inUse.includes(entry));
    const room = limits.nodeCertificatesMax - inUse.length;
    const certificates = [...inUse, ...[...others, certificateEntry(issued)].slice(-room)];
    return {
      writes: [this.#write({ ...node, certificates })],
      expectations: this.#expectNode(node.name),
      detail: { node: node.id, serial: certificateEntry(issued).serial },
      node,
      certificate: issued.toString(),
    };
  }

  /** Revoking again changes nothing. Join tokens for the name end too. @throws Fault `resource.unknown` */
  planRevoke(name: Name): IdentityPlan & { readonly node: StoredNode; readonly seen: number } {
    const found = this.find(name);
    if (!found) throw new Fault('resource.unknown', { resource: `nodes/${name}` });
    const { node, revision } = found;
    const detail = { node: node.id };
    if (node.state === 'revoked') {
      return { writes: [], expectations: [], detail, node, seen: revision };
    }
    const revoked: StoredNode = {
      ...node,
      state: 'revoked',
      certificates: [],
      revokedAtMs: this.#options.clock.wallMs(),
    };
    const tokens = [...this.#options.joinTokens.all()].filter((token) => token.nodeName === name);
    const view = this.#options.views['join-token'];
    return {
      writes: [this.#write(revoked), ...tokens.map((token) => view.remove(token.publicId))],
      expectations: this.#expectNode(name),
      detail,
      node: revoked,
      seen: revision,
    };
  }

  /** Whether a certificate that TLS accepted is one of a live node: asked on every connection (V17). */
  liveNode(certificate: X509Certificate): LiveNode {
    const { clock, settings, authority } = this.#options;
    const identity = readNodeIdentity(certificate, {
      authority: authority.get().certificate,
      trustDomain: settings().trustDomain,
      nowMs: clock.wallMs(),
    });
    if (identity.kind === 'refused') return identity;
    const name = parseName(identity.name);
    const node = this.find(name)?.node;
    if (!node) return { kind: 'refused', reason: 'unknown-node', name };
    if (node.state !== 'live') return { kind: 'refused', reason: 'revoked', name };
    const entry = certificateEntry(certificate);
    const listed = node.certificates.some(
      ({ serial, sha256 }) => serial === entry.serial && sha256 === entry.sha256,
    );
    return listed
      ? { kind: 'live', node, certificate: entry }
      : { kind: 'refused', reason: 'not-listed', name };
  }

  /**
   * Whether a node that was let in is the same still: not revoked, and not joined again since. Renewals
   * change nothing, and neither does the end of the certificate that it was let in by.
   */
  isStillLive({ name, keyPin, joinedAtMs }: LetIn): boolean {
    const node = this.find(name)?.node;
    return node?.state === 'live' && node.keyPin === keyPin && node.joinedAtMs === joinedAtMs;
  }

  #issue(name: Name, publicKey: X509Certificate['publicKey']): X509Certificate {
    const { authority, settings, clock, random } = this.#options;
    return issueNodeCertificate(authority.get(), {
      nodeName: name,
      publicKey,
      trustDomain: settings().trustDomain,
      nowMs: clock.wallMs(),
      lifetimeMs: settings().nodeCertificateMs ?? limits.nodeCertificateMs,
      random,
    });
  }

  #write(node: StoredNode): RecordWrite {
    const view = this.#options.views.node;
    return view.put(view.nameId(node.name), encodeJson(node));
  }

  #expectNode(name: Name) {
    const view = this.#options.views.node;
    return [view.expect(view.nameId(name), this.find(name)?.revision ?? 0)];
  }

  #hasEnded(token: IndexedJoinToken): boolean {
    return this.#options.clock.wallMs() >= token.endsAtMs;
  }
}

function keyOfRequest(pem: string): X509Certificate['publicKey'] {
  const match =
    /^-----BEGIN CERTIFICATE REQUEST-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE REQUEST-----\s*$/.exec(
      pem,
    );
  const checked = checkCsr(Buffer.from(match?.[1] ?? '', 'base64'));
  if (checked.kind === 'refused') {
    throw new Fault('request.invalid', { what: 'certificate request', problem: checked.reason });
  }
  return checked.publicKey;
}
