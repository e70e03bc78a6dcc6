/**
 * Goal: every kind of seal keeps the promises of `seal.ts` (G12, V23, V24).
 * Method: each kind is wrapped, unsealed, given wrong material, and every field of its record is
 * changed. Control: the unchanged record with the right material, in the same test.
 */
import { deepEqual, equal, notDeepEqual, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '../../base/fault.ts';
import { systemRandom } from '../../base/random.ts';
import { formsFound } from '../../testing/canary-scan.ts';
import {
  type CreatedSeal,
  createSeal,
  createUnsealer,
  parseSealRecord,
  rootKeyBytes,
  type SealContext,
  type SealRecord,
  type SealRequest,
  type UnsealOutcome,
} from './seal.ts';

/** A seal in a place of its own. */
export interface SealUnderTest {
  readonly context: SealContext;
  readonly request: SealRequest;
  /** What unseals it, piece by piece. */
  material(created: CreatedSeal): readonly Uint8Array[];
  /** Makes the right material wrong: another key file in its place, or other pieces. */
  spoil(created: CreatedSeal): Promise<readonly Uint8Array[]>;
}

/** @param make - Called for each test; a seal with nothing created yet. */
export function testSeal(kind: SealRecord['kind'], make: () => Promise<SealUnderTest>): void {
  const rootKey = systemRandom.bytes(rootKeyBytes);

  test(`${kind} seal gives back the root key, after a journey through JSON`, async () => {
    const seal = await make();
    const created = await createSeal(seal.request, rootKey, seal.context);
    equal(created.record.kind, kind);
    const record = parseSealRecord(JSON.parse(JSON.stringify(created.record)));
    equal(canonical(record), canonical(created.record));
    for (const round of [1, 2]) {
      const rootKeyAgain = await unseal(seal, record, seal.material(created));
      deepEqual(rootKeyAgain, rootKey, `round ${round}`);
      equal(rootKeyAgain.buffer.byteLength, rootKeyBytes, 'in memory of its own');
    }
  });

  test(`${kind} seal refuses wrong material with seal.wrong-material`, async () => {
    const seal = await make();
    const created = await createSeal(seal.request, rootKey, seal.context);
    const wrong = await seal.spoil(created);
    await rejects(unseal(seal, created.record, wrong), { code: 'seal.wrong-material' });
  });

  test(`${kind} seal refuses a record of which any field was changed`, async () => {
    const seal = await make();
    const created = await createSeal(seal.request, rootKey, seal.context);
    const material = seal.material(created);
    deepEqual(await unseal(seal, created.record, material), rootKey, 'control');
    const changes = changesOf(created.record);
    ok(changes.length >= 4);
    for (const [name, changed] of changes) {
      await rejects(
        async () => unseal(seal, parseSealRecord(changed), material),
        (error) => isFault(error) && error.code.startsWith('seal.'),
        name,
      );
    }
  });

  test(`${kind} seal records hold nothing of the keys and never repeat`, async () => {
    const records: SealRecord[] = [];
    for (let round = 0; round < 2; round++) {
      const seal = await make();
      const created = await createSeal(seal.request, rootKey, seal.context);
      const text = JSON.stringify(created.record);
      assertWithout(text, [rootKey, ...seal.material(created)]);
      records.push(created.record);
    }
    notDeepEqual(records[0]?.wrappedRootKey, records[1]?.wrappedRootKey);
    notDeepEqual(records[0]?.commitment, records[1]?.commitment);
  });

  test(`${kind} seal keeps material out of its faults`, async () => {
    const seal = await make();
    const created = await createSeal(seal.request, rootKey, seal.context);
    const wrong = await seal.spoil(created);
    await rejects(unseal(seal, created.record, wrong), (error) => {
      ok(isFault(error));
      const shown = `${error.message}${JSON.stringify(error.detail)}${String(error.cause)}`;
      assertWithout(shown, [...wrong, ...seal.material(created)]);
      return true;
    });
  });
}

/** Some seals take nothing. */
function assertWithout(text: string, secrets: readonly Uint8Array[]): void {
  for (const secret of secrets.filter(({ length }) => length > 0)) {
    deepEqual(formsFound(text, secret), []);
    const planted = `${text}${Buffer.from(secret).toString('base64')}`;
    ok(formsFound(planted, secret).length > 0, 'control');
  }
}

function canonical(record: SealRecord): string {
  const { parameters, ...rest } = record;
  const sorted = (members: object): unknown =>
    Object.entries(members).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify([sorted(rest), sorted(parameters)]);
}

async function unseal(
  seal: SealUnderTest,
  record: SealRecord,
  material: readonly Uint8Array[],
): Promise<Buffer> {
  const unsealer = createUnsealer(record, seal.context);
  let outcome: UnsealOutcome | undefined;
  for (const piece of material) {
    const before = unsealer.progress();
    outcome = await unsealer.supply(piece);
    if (outcome.kind === 'waiting') equal(outcome.given, before.given + 1);
  }
  ok(outcome?.kind === 'unsealed', 'the material was enough');
  return outcome.rootKey;
}

/** The record with each field changed in turn, by name. */
function changesOf(record: SealRecord): [string, unknown][] {
  const changes: [string, unknown][] = [
    ['format', { ...record, format: 2 }],
    ['commitment', { ...record, commitment: flipped(record.commitment) }],
    ['wrapped key, first bit', { ...record, wrappedRootKey: flipped(record.wrappedRootKey) }],
    ['wrapped key, cut', { ...record, wrappedRootKey: record.wrappedRootKey.slice(2) }],
    ['no wrapped key', { ...record, wrappedRootKey: undefined }],
    ['a parameter more', { ...record, parameters: { ...record.parameters, extra: 1 } }],
    ['a field more', { ...record, extra: 1 }],
    ['another kind', { ...record, kind: record.kind === 'shares' ? 'passphrase' : 'shares' }],
    ['an unknown kind', { ...record, kind: 'pkcs11' }],
  ];
  for (const [name, value] of Object.entries(record.parameters)) {
    const changed = typeof value === 'number' ? value + 1 : flipped(value);
    const parameters = { ...record.parameters, [name]: changed };
    changes.push([`parameter ${name}`, { ...record, parameters }]);
    const others = Object.entries(record.parameters).filter(([other]) => other !== name);
    changes.push([`no ${name}`, { ...record, parameters: Object.fromEntries(others) }]);
  }
  return changes;
}

function flipped(hex: string): string {
  return (Number.parseInt(hex.slice(0, 1), 16) ^ 1).toString(16) + hex.slice(1);
}
