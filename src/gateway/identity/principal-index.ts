/** Principals with their bindings, and the credentials that prove them, in memory. */
import { Fault } from '../../base/fault.ts';
import type { Id } from '../../model/id.ts';
import type { Name } from '../../model/name.ts';
import type { Binding, PrincipalKind } from '../../model/principal.ts';
import type { Projection } from '../barrier/barrier.ts';

export type StoredPrincipalKind = Extract<PrincipalKind, 'user' | 'machine'>;

/** A person or a program that holds tokens. Kept under the keyed hash of kind and name. */
export interface StoredPrincipal {
  readonly id: Id<'principal'>;
  readonly kind: StoredPrincipalKind;
  readonly name: Name;
  readonly bindings: readonly Binding[];
  readonly createdAtMs: number;
}

/** A bearer token, kept under its public id. */
export interface StoredCredential {
  readonly principalId: Id<'principal'>;
  readonly hash: Uint8Array;
  readonly createdAtMs: number;
  /** Absent: until it is removed. */
  readonly endsAtMs?: number;
}

/** With where it is kept, and since when it is as it is. */
export interface IndexedPrincipal extends StoredPrincipal {
  readonly recordId: string;
  readonly revision: number;
}

export interface IndexedCredential extends StoredCredential {
  readonly publicId: string;
}

type CredentialJson = Omit<StoredCredential, 'hash'> & { readonly hash: string };

const format = 1;

export function encodePrincipal(principal: StoredPrincipal): Buffer {
  return Buffer.from(JSON.stringify({ format, ...principal }), 'utf8');
}

export function encodeCredential(credential: StoredCredential): Buffer {
  const hash = Buffer.from(credential.hash).toString('base64');
  return Buffer.from(JSON.stringify({ format, ...credential, hash }), 'utf8');
}

type Applied = Parameters<Projection['apply']>[0];

/** @throws Fault `barrier.corrupt` for a record of a format that this version does not know. */
export function decodeRecord(kind: Projection['kind'], bytes: Uint8Array): unknown {
  const json = JSON.parse(Buffer.from(bytes).toString('utf8')) as { readonly format: number };
  if (json.format !== format) throw new Fault('barrier.corrupt', { kind, format: json.format });
  return json;
}

export class PrincipalIndex implements Projection {
  readonly kind = 'principal';
  readonly #byRecord = new Map<string, IndexedPrincipal>();
  readonly #byId = new Map<string, IndexedPrincipal>();

  reset(): void {
    this.#byRecord.clear();
    this.#byId.clear();
  }

  apply({ id, revision, bytes }: Applied): void {
    const old = this.#byRecord.get(id);
    if (old) this.#byId.delete(old.id);
    this.#byRecord.delete(id);
    if (bytes === undefined) return;
    const stored = decodeRecord(this.kind, bytes) as StoredPrincipal;
    const principal = { ...stored, recordId: id, revision };
    this.#byRecord.set(id, principal);
    this.#byId.set(principal.id, principal);
  }

  all(): IteratorObject<IndexedPrincipal> {
    return this.#byId.values();
  }

  byId(id: string): IndexedPrincipal | undefined {
    return this.#byId.get(id);
  }
}

export class CredentialIndex implements Projection {
  readonly kind = 'credential';
  readonly #byPublicId = new Map<string, IndexedCredential>();
  readonly #byPrincipal = new Map<string, readonly IndexedCredential[]>();

  reset(): void {
    this.#byPublicId.clear();
    this.#byPrincipal.clear();
  }

  apply({ id, bytes }: Applied): void {
    const old = this.#byPublicId.get(id);
    this.#byPublicId.delete(id);
    if (old)
      this.#keep(
        old.principalId,
        this.of(old.principalId).filter((one) => one !== old),
      );
    if (bytes === undefined) return;
    const json = decodeRecord(this.kind, bytes) as CredentialJson;
    const credential = { ...json, publicId: id, hash: Buffer.from(json.hash, 'base64') };
    this.#byPublicId.set(id, credential);
    this.#keep(json.principalId, [...this.of(json.principalId), credential]);
  }

  of(principalId: string): readonly IndexedCredential[] {
    return this.#byPrincipal.get(principalId) ?? [];
  }

  #keep(principalId: string, credentials: readonly IndexedCredential[]): void {
    if (credentials.length === 0) this.#byPrincipal.delete(principalId);
    else this.#byPrincipal.set(principalId, credentials);
  }

  get(publicId: string): StoredCredential | undefined {
    return this.#byPublicId.get(publicId);
  }
}
