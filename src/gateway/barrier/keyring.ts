/**
 * The keyring: every key of an installation, sealed as one blob by the seal and kept in one row.
 *
 * root keys     seal records and wrap the data keys of values. One is active; older ones are
 *               deactivated until nothing is under them, then destroyed (states after NIST SP 800-57).
 * journal keys  seal audit rows, which are never rewritten. One per root key, so that a root key which
 *               became known opens nothing that was recorded after its rotation; kept while the log is.
 * digest key    keys the state digest. name key: keys the ids of records that people know by name.
 *               Both live as long as the installation.
 *
 * A keyring is a value: changing one makes another. Layout: docs/FORMATS.md#keyring.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { assert, defined } from '../../base/assert.ts';
import { allocate, joinPrefixed, splitPrefixed, wipe } from '../../base/bytes.ts';
import type { Random } from '../../base/random.ts';
import { aeadKeyBytes, type AeadKey } from '../../crypto/aead.ts';
import { deriveAeadKey } from '../../crypto/kdf.ts';

type KeyUse = 'root' | 'journal';
type KeyState = 'active' | 'deactivated' | 'destroyed';

interface KeyEntry {
  /** 1, 2, 3, …; never used again. */
  readonly number: number;
  readonly use: KeyUse;
  readonly state: KeyState;
  readonly createdAtMs: number;
  /** When it reached its state. */
  readonly changedAtMs: number;
  /** `undefined` once destroyed. */
  readonly key: KeyObject | undefined;
}

/** Which part of the store a derived key is for. */
export type KeyPurpose = 'record' | 'wrap' | 'journal' | 'head';

const formatVersion = 1;
const uses = ['root', 'journal'] as const;
const states = ['active', 'deactivated', 'destroyed'] as const;
const entryBytes = 4 + 1 + 1 + 8 + 8 + aeadKeyBytes;

interface KeyringParts {
  readonly installation: string;
  readonly digestKey: KeyObject;
  readonly nameKey: KeyObject;
  readonly entries: readonly KeyEntry[];
}

export class Keyring {
  readonly installation: string;
  readonly digestKey: KeyObject;
  readonly nameKey: KeyObject;
  readonly #entries: readonly KeyEntry[];
  readonly #derived = new Map<string, AeadKey>();

  private constructor(parts: KeyringParts) {
    this.installation = parts.installation;
    this.digestKey = parts.digestKey;
    this.nameKey = parts.nameKey;
    this.#entries = parts.entries;
  }

  static create(installation: string, nowMs: number, random: Random): Keyring {
    const digestKey = makeKey(random);
    const nameKey = makeKey(random);
    const empty = new Keyring({ installation, digestKey, nameKey, entries: [] });
    return empty.rotate(nowMs, random);
  }

  /** The number of the key that new rows are sealed under. */
  active(use: KeyUse): number {
    const found = this.#entries.find((entry) => entry.use === use && entry.state === 'active');
    return defined(found, 'a keyring has an active key of each use').number;
  }

  /** Root keys that nothing new is sealed under. */
  get deactivatedRoots(): readonly number[] {
    return this.#entries
      .filter((entry) => entry.use === 'root' && entry.state === 'deactivated')
      .map((entry) => entry.number);
  }

  /** `undefined` if there is no such key, any more or for this purpose. */
  derive(number: number, purpose: KeyPurpose): AeadKey | undefined {
    const name = `${purpose}/${number}`;
    const known = this.#derived.get(name);
    if (known !== undefined) return known;
    const entry = this.#entries.find((candidate) => candidate.number === number);
    const use: KeyUse = purpose === 'journal' ? 'journal' : 'root';
    if (entry?.key === undefined || entry.use !== use) return undefined;
    const derived = deriveAeadKey(entry.key, `cofferdam/${purpose}/v1`, [this.installation]);
    this.#derived.set(name, derived);
    return derived;
  }

  /** With a new active root key and a new active journal key. */
  rotate(nowMs: number, random: Random): Keyring {
    const deactivated = this.#entries.map((entry) =>
      entry.state === 'active'
        ? { ...entry, state: 'deactivated' as const, changedAtMs: nowMs }
        : entry,
    );
    const first = 1 + Math.max(0, ...this.#entries.map((entry) => entry.number));
    const made = uses.map((use, index) => ({
      number: first + index,
      use,
      state: 'active' as const,
      createdAtMs: nowMs,
      changedAtMs: nowMs,
      key: makeKey(random),
    }));
    return new Keyring({ ...this.#parts(), entries: [...deactivated, ...made] });
  }

  /** Without the bytes of these deactivated root keys. */
  destroy(numbers: readonly number[], nowMs: number): Keyring {
    const entries = this.#entries.map((entry) => {
      if (!numbers.includes(entry.number)) return entry;
      assert(entry.use === 'root' && entry.state === 'deactivated', 'only what is out of use ends');
      return { ...entry, state: 'destroyed' as const, changedAtMs: nowMs, key: undefined };
    });
    return new Keyring({ ...this.#parts(), entries });
  }

  /** Plain keys: for the seal, and wiped by the caller. */
  toBytes(): Buffer {
    const digestKey = this.digestKey.export();
    const nameKey = this.nameKey.export();
    const entries = this.#entries.map(encodeEntry);
    const joined = joinPrefixed([this.installation, digestKey, nameKey, ...entries]);
    const bytes = allocate(1 + joined.length);
    bytes[0] = formatVersion;
    bytes.set(joined, 1);
    for (const secret of [digestKey, nameKey, joined, ...entries]) wipe(secret);
    return bytes;
  }

  /** Reads what `toBytes` wrote; `undefined` if the bytes are no keyring. The caller wipes them. */
  static fromBytes(bytes: Uint8Array): Keyring | undefined {
    if (bytes[0] !== formatVersion) return undefined;
    const [installation, digestKey, nameKey, ...rest] = splitPrefixed(bytes.subarray(1)) ?? [];
    if (installation === undefined || digestKey?.length !== 32 || nameKey?.length !== 32) {
      return undefined;
    }
    const entries: KeyEntry[] = [];
    for (const line of rest) {
      const entry = decodeEntry(line);
      if (entry === undefined) return undefined;
      entries.push(entry);
    }
    const actives = entries.filter((entry) => entry.state === 'active').map((entry) => entry.use);
    if (actives.toSorted().join() !== uses.toSorted().join()) return undefined;
    return new Keyring({
      installation: installation.toString('latin1'),
      digestKey: createSecretKey(digestKey),
      nameKey: createSecretKey(nameKey),
      entries,
    });
  }

  #parts(): KeyringParts {
    const { installation, digestKey, nameKey } = this;
    return { installation, digestKey, nameKey, entries: this.#entries };
  }
}

function makeKey(random: Random): KeyObject {
  const raw = random.bytes(aeadKeyBytes);
  try {
    return createSecretKey(raw);
  } finally {
    wipe(raw);
  }
}

function encodeEntry(entry: KeyEntry): Buffer {
  const bytes = allocate(entryBytes);
  bytes.writeUInt32BE(entry.number, 0);
  bytes.writeUInt8(uses.indexOf(entry.use), 4);
  bytes.writeUInt8(states.indexOf(entry.state), 5);
  bytes.writeBigUInt64BE(BigInt(Math.floor(entry.createdAtMs)), 6);
  bytes.writeBigUInt64BE(BigInt(Math.floor(entry.changedAtMs)), 14);
  const raw = entry.key?.export();
  if (raw === undefined) return bytes;
  bytes.set(raw, 22);
  wipe(raw);
  return bytes;
}

function decodeEntry(bytes: Buffer): KeyEntry | undefined {
  if (bytes.length !== entryBytes) return undefined;
  const use = uses[bytes.readUInt8(4)];
  const state = states[bytes.readUInt8(5)];
  if (use === undefined || state === undefined) return undefined;
  return {
    number: bytes.readUInt32BE(0),
    use,
    state,
    createdAtMs: Number(bytes.readBigUInt64BE(6)),
    changedAtMs: Number(bytes.readBigUInt64BE(14)),
    key: state === 'destroyed' ? undefined : createSecretKey(bytes.subarray(22)),
  };
}
