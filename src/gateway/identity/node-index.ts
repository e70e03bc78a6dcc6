/**
 * Nodes, the join tokens that are out, and the authority that signs for nodes, in memory.
 *
 * A node's certificates are an allow-list: what is not on it is refused, whoever signed it.
 */
import type { X509Certificate } from 'node:crypto';
import { joinPrefixed, splitPrefixed } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import { type Authority, readAuthority } from '../../crypto/x509.ts';
import type { NodeId } from '../../model/id.ts';
import type { Name } from '../../model/name.ts';
import type { Projection } from '../barrier/barrier.ts';
import { decodeRecord } from './principal-index.ts';

export interface NodeCertificate {
  /** Hexadecimal, as in the certificate. */
  readonly serial: string;
  /** Of the whole certificate: 64 hexadecimal digits. */
  readonly sha256: string;
  readonly endsAtMs: number;
}

export interface StoredNode {
  readonly id: NodeId;
  readonly name: Name;
  readonly state: 'live' | 'revoked';
  /** `sha256:…` of the one key that this node may have certificates for. */
  readonly keyPin: string;
  /** Empty once revoked. */
  readonly certificates: readonly NodeCertificate[];
  readonly joinedAtMs: number;
  readonly revokedAtMs?: number;
}

export interface IndexedNode {
  readonly node: StoredNode;
  readonly revision: number;
}

/** Kept under its public id. */
export interface StoredJoinToken {
  readonly nodeName: Name;
  /** The id that the node will have, unless it has one already. */
  readonly nodeId: NodeId;
  /** SHA-256 of the secret, base64. */
  readonly hash: string;
  readonly createdAtMs: number;
  readonly endsAtMs: number;
}

export interface IndexedJoinToken extends StoredJoinToken {
  readonly publicId: string;
  readonly revision: number;
}

type Applied = Parameters<Projection['apply']>[0];

export function encodeJson(value: StoredNode | StoredJoinToken): Buffer {
  return Buffer.from(JSON.stringify({ format: 1, ...value }), 'utf8');
}

export class NodeIndex implements Projection {
  readonly kind = 'node';
  readonly #byRecord = new Map<string, Name>();
  readonly #byName = new Map<Name, IndexedNode>();

  reset(): void {
    this.#byRecord.clear();
    this.#byName.clear();
  }

  apply({ id, revision, bytes }: Applied): void {
    if (bytes === undefined) {
      const name = this.#byRecord.get(id);
      if (name !== undefined) this.#byName.delete(name);
      this.#byRecord.delete(id);
      return;
    }
    const node = decodeRecord(this.kind, bytes) as StoredNode;
    this.#byRecord.set(id, node.name);
    this.#byName.set(node.name, { node, revision });
  }

  get(name: Name): IndexedNode | undefined {
    return this.#byName.get(name);
  }

  names(): readonly Name[] {
    return [...this.#byName.keys()];
  }
}

export class JoinTokenIndex implements Projection {
  readonly kind = 'join-token';
  readonly #byPublicId = new Map<string, IndexedJoinToken>();

  reset(): void {
    this.#byPublicId.clear();
  }

  apply({ id, revision, bytes }: Applied): void {
    if (bytes === undefined) this.#byPublicId.delete(id);
    else {
      const token = decodeRecord(this.kind, bytes) as StoredJoinToken;
      this.#byPublicId.set(id, { ...token, publicId: id, revision });
    }
  }

  get(publicId: string): IndexedJoinToken | undefined {
    return this.#byPublicId.get(publicId);
  }

  all(): Iterable<IndexedJoinToken> {
    return this.#byPublicId.values();
  }
}

export const authorityRecordId = 'nodes';
const authorityFormat = Buffer.of(1);

/** The one authority: its certificate and its private key (PKCS#8), which only the barrier's seal hides. */
export class AuthorityIndex implements Projection {
  readonly kind = 'authority';
  #authority: Authority | undefined;

  reset(): void {
    this.#authority = undefined;
  }

  apply({ id, bytes }: Applied): void {
    if (id !== authorityRecordId) return;
    this.#authority = bytes && decodeAuthority(bytes);
  }

  /** @throws Fault `barrier.sealed` while there is none in memory. */
  get(): Authority {
    if (!this.#authority) throw new Fault('barrier.sealed');
    return this.#authority;
  }
}

/** Holds the private key: whoever carries the write out wipes it. */
export function encodeAuthority(authority: Authority): Buffer {
  const key = authority.privateKey.export({ format: 'der', type: 'pkcs8' });
  const bytes = joinPrefixed([authorityFormat, authority.certificate.raw, key]);
  key.fill(0);
  return bytes;
}

function decodeAuthority(bytes: Uint8Array): Authority {
  const [format, certificate, key, ...more] = splitPrefixed(bytes) ?? [];
  const isWhole = format?.equals(authorityFormat) === true && more.length === 0;
  const authority = isWhole && certificate && key ? readAuthority(certificate, key) : undefined;
  if (!authority) throw new Fault('barrier.corrupt', { kind: 'authority' });
  return authority;
}

export function certificateEntry(certificate: X509Certificate): NodeCertificate {
  return {
    serial: certificate.serialNumber.toLowerCase(),
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    endsAtMs: certificate.validToDate.getTime(),
  };
}
