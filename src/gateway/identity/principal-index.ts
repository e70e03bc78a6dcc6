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
  readonly #byRecord = new Map<string, StoredPrincipal>();
  readonly #byId = new Map<string, StoredPrincipal>();

  reset(): void {
    this.#byRecord.clear();
    this.#byId.clear();
  }

  apply({ id, bytes }: Applied): void {
    const old = this.#byRecord.get(id);
    if (old) this.#byId.delete(old.id);
    this.#byRecord.delete(id);
    if (bytes === undefined) return;
    const principal = decodeRecord(this.kind, bytes) as StoredPrincipal;
    this.#byRecord.set(id, principal);
    this.#byId.set(principal.id, principal);
  }

  byId(id: string): StoredPrincipal | undefined {
    return this.#byId.get(id);
  }

  get size(): number {
    return this.#byId.size;
  }
}

export class CredentialIndex implements Projection {
  readonly kind = 'credential';
  readonly #byPublicId = new Map<string, StoredCredential>();

  reset(): void {
    this.#byPublicId.clear();
  }

  apply({ id, bytes }: Applied): void {
    if (bytes === undefined) {
      this.#byPublicId.delete(id);
      return;
    }
    const json = decodeRecord(this.kind, bytes) as CredentialJson;
    this.#byPublicId.set(id, { ...json, hash: Buffer.from(json.hash, 'base64') });
  }

  get(publicId: string): StoredCredential | undefined {
    return this.#byPublicId.get(publicId);
  }
}
