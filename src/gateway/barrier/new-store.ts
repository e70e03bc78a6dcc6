/** A new installation: its keys, their seal, and a store whose first commit brings them along. */
import { wipe } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { AeadKey } from '../../crypto/aead.ts';
import { makeId } from '../../model/id.ts';
import { createSeal, rootKeyBytes, type SealContext, type SealRequest } from '../seal/seal.ts';
import { StateDigest } from './digest.ts';
import { Keyring } from './keyring.ts';
import { makeKeyringRow } from './keyring-row.ts';
import type { SealedUnder } from './root-keys.ts';
import { RowIndex } from './row-index.ts';
import { Store } from './store.ts';

export interface NewStore {
  readonly store: Store;
  readonly seal: SealedUnder;
  /** One text per keeper, to be shown once and wiped. */
  readonly shares: readonly Buffer[];
}

/** @throws what `createSeal` throws */
export async function makeStore(
  request: SealRequest,
  means: { readonly clock: Clock; readonly random: Random; readonly seal: SealContext },
): Promise<NewStore> {
  const { clock, random } = means;
  const keyring = Keyring.create(makeId('installation', means), clock.wallMs(), random);
  const raw = random.bytes(rootKeyBytes);
  try {
    const { record, shares } = await createSeal(request, raw, means.seal);
    const seal = { record, key: AeadKey.fromBytes(raw) };
    const keyringRow = makeKeyringRow(keyring, { ...seal, random });
    const [index, digest] = [new RowIndex(random), new StateDigest()];
    const [trailer, head] = [Buffer.alloc(0), Buffer.alloc(0)];
    const parts = { keyring, random, index, digest, revision: 0, trailer, head, keyringRow };
    return { store: new Store(parts), seal, shares };
  } finally {
    wipe(raw);
  }
}
