/** Records: what is above the barrier. Plain bytes under a kind and a server-made id. */

/** Each kind is a key prefix and a capability: a view is bound to one. */
export const recordKinds = [
  'installation',
  'secret',
  'value',
  'group',
  'grant',
  'node',
  'join-token',
  'principal',
  'credential',
  'authority',
  'idempotency',
  /** The key that signs audit checkpoints. */
  'audit-key',
  /** Entries and tree of the audit log; covered by the tree, not by the state digest. */
  'audit',
] as const;
export type RecordKind = (typeof recordKinds)[number];

export interface StoredRecord {
  readonly id: string;
  /** The revision of the commit that wrote it. */
  readonly revision: number;
  readonly bytes: Buffer;
}

/** Made by a view, carried out by a commit. */
export interface RecordWrite {
  readonly kind: RecordKind;
  readonly id: string;
  /** `undefined` removes. */
  readonly bytes: Uint8Array | undefined;
}

/** Revision 0: there must be no such record. */
export interface RecordExpectation {
  readonly kind: RecordKind;
  readonly id: string;
  readonly revision: number;
}

/**
 * What is kept in memory of one kind. Fed in commit order: everything there is at unseal, then each
 * change before the commit that made it resolves, so that a reader always sees its own writes.
 */
export interface Projection {
  readonly kind: RecordKind;
  /** Forget everything: the gateway was sealed, or loads anew. */
  reset(): void;
  /** Must not throw for a record that this version wrote. `bytes` is lent: do not keep it. */
  apply(record: {
    readonly id: string;
    readonly revision: number;
    readonly bytes: Uint8Array | undefined;
  }): void;
  /** Everything that there is has been applied: what is cheaper to do once, is done now. */
  loaded?(): void;
}

export interface Change {
  readonly kind: RecordKind;
  readonly id: string;
  readonly revision: number;
  readonly removed: boolean;
}

/** A prefix-bound handle on the barrier: whoever is handed one cannot name a record outside its kind. */
export interface View {
  readonly kind: RecordKind;
  /** @throws Fault `barrier.sealed`, `barrier.corrupt` */
  get(id: string): Promise<StoredRecord | undefined>;
  /** In id order, strictly after `after`. @throws Fault `barrier.sealed`, `barrier.corrupt` */
  list(options: {
    readonly after?: string;
    readonly limit: number;
    readonly reverse?: boolean;
  }): Promise<readonly StoredRecord[]>;
  put(id: string, bytes: Uint8Array): RecordWrite;
  remove(id: string): RecordWrite;
  expect(id: string, revision: number): RecordExpectation;
  /**
   * The id of a record that people know by name: 40 hexadecimal digits of a keyed hash (HMAC-SHA256)
   * of the kind and the parts, joined without ambiguity.
   *
   * Two creations of one name meet in one record, so expecting revision 0 lets only one win; and a
   * stolen database shows no name. The key is the installation's own, sealed, and never changes: the
   * same parts give the same id for as long as the installation lives. It also serves to sign what
   * must come back unchanged (cursors) and to recognise inputs without keeping them (idempotency).
   *
   * @throws Fault `barrier.sealed`
   */
  nameId(...parts: readonly (string | Uint8Array)[]): string;
}
