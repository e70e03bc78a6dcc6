/**
 * Goal: the authority comes back as it was kept, and no part of it from what was cut or lengthened.
 * Method: every cut of its record; one part more. Control: the whole record is read.
 */
import { equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { joinPrefixed } from '../../base/bytes.ts';
import { systemRandom as random } from '../../base/random.ts';
import { makeAuthority } from '../../crypto/x509.ts';
import { AuthorityIndex, authorityRecordId, encodeAuthority } from './node-index.ts';

test('AuthorityIndex takes a whole record and no other', () => {
  const made = makeAuthority({
    ...{ commonName: 'test', trustDomain: 'test', nowMs: Date.UTC(2026, 1), lifetimeMs: 1e9 },
    random,
  });
  const whole = encodeAuthority(made);
  const index = new AuthorityIndex();
  const apply = (bytes: Buffer): void => index.apply({ id: authorityRecordId, revision: 1, bytes });
  apply(whole);
  equal(index.get().certificate.fingerprint256, made.certificate.fingerprint256, 'control');
  index.reset();
  const shorter = Array.from({ length: whole.length }, (_, at) => whole.subarray(0, at));
  const longer = [joinPrefixed(['']), joinPrefixed(['x']), Buffer.alloc(3)].map((more) =>
    Buffer.concat([whole, more]),
  );
  for (const bytes of [...shorter, ...longer]) {
    throws(() => apply(bytes), { code: 'barrier.corrupt' }, `${bytes.length} bytes`);
  }
  throws(() => index.get(), { code: 'barrier.sealed' });
});
