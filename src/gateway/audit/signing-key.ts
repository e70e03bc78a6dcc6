/** The key that signs checkpoints: an Ed25519 seed, kept as a record, apart from every other key. */
import { createPrivateKey } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import { wipe } from '../../base/bytes.ts';
import { type NoteSigner, noteSigner } from '../../crypto/note.ts';

export const seedBytes = 32;
/** PKCS #8 of an Ed25519 seed up to the seed itself (RFC 8410): DER, so that it is never text. */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

/** What checkpoints of this installation are headed with. */
export function originOf(installation: string): string {
  return `cofferdam/${installation}`;
}

/** Does not keep or wipe the seed. */
export function signerFromSeed(seed: Uint8Array, installation: string): NoteSigner {
  assert(seed.length === seedBytes, 'an Ed25519 seed has 32 bytes');
  const key = Buffer.concat([pkcs8Prefix, seed]);
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  wipe(key);
  return noteSigner('note', originOf(installation), privateKey);
}
