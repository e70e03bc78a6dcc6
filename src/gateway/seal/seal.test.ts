/**
 * Goal: the three built-in seals pass the suite, and each keeps the promises that are its own: the
 * key file's permissions, the passphrase's bounds, the shares' step-by-step progress.
 * Method: real files in a directory of the test's own; small argon2id costs; tables of slips.
 */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isFault } from '../../base/fault.ts';
import { systemRandom as random } from '../../base/random.ts';
import {
  createSeal,
  createUnsealer,
  parseSealRecord,
  type SealContext,
  sealWeakenings,
  type Unsealer,
} from './seal.ts';
import { testSeal } from './seal.suite.ts';

const directory = mkdtempSync(join(tmpdir(), 'coffer-seal-'));
after(() => rmSync(directory, { recursive: true }));
let places = 0;

function newPlace(): string {
  const place = join(directory, String(places++));
  mkdirSync(place);
  return place;
}

const rootKey = random.bytes(32);
const nothing = new Uint8Array(0);
const cost = { memoryKib: 19 * 1024, passes: 2, lanes: 1 };
const passphrase = Buffer.from('correct horse battery staple');

testSeal('keyfile', async () => {
  const keyFile = join(newPlace(), 'key');
  return {
    context: { random, keyFile },
    request: { kind: 'keyfile' },
    material: () => [nothing],
    async spoil() {
      unlinkSync(keyFile);
      await createSeal({ kind: 'keyfile' }, rootKey, { random, keyFile });
      return [nothing];
    },
  };
});

testSeal('passphrase', async () => ({
  context: { random },
  request: { kind: 'passphrase', passphrase, cost },
  material: () => [passphrase],
  spoil: async () => [Buffer.from('correct horse battery stapl3')],
}));

testSeal('shares', async () => ({
  context: { random },
  request: { kind: 'shares', count: 5, threshold: 3 },
  material: (created) => [4, 0, 2].map((at) => created.shares[at]!),
  async spoil(created) {
    // A forged share: right set, index and checksum, wrong content.
    const { formatShare, readShare } = await import('../../crypto/shares.ts');
    const read = readShare(created.shares[1]!);
    ok(read.kind === 'share');
    const forged = formatShare({ ...read.share, bytes: random.bytes(32) });
    return [created.shares[0]!, forged, created.shares[2]!];
  },
}));

test('A key file is created exclusively, 0600 whatever the umask, and opened only if it still is', async () => {
  const place = newPlace();
  const keyFile = join(place, 'key');
  const context: SealContext = { random, keyFile };
  const umask = process.umask(0o277);
  const { record } = await createSeal({ kind: 'keyfile' }, rootKey, context).finally(() =>
    process.umask(umask),
  );
  equal(statSync(keyFile).mode & 0o777, 0o600);
  const content = readFileSync(keyFile);
  await rejects(createSeal({ kind: 'keyfile' }, rootKey, context), problem('exists'));
  deepEqual(readFileSync(keyFile), content, 'an existing key file is left alone');
  const supply = (): Promise<unknown> => createUnsealer(record, context).supply(nothing);
  await supply();
  chmodSync(keyFile, 0o400);
  await supply();

  for (const mode of [0o640, 0o604, 0o660, 0o620, 0o700, 0o666]) {
    chmodSync(keyFile, mode);
    await rejects(supply(), problem('too-open'), mode.toString(8));
  }
  chmodSync(keyFile, 0o600);
  await supply();

  renameSync(keyFile, `${keyFile}.moved`);
  await rejects(supply(), problem('missing'));
  symlinkSync(`${keyFile}.moved`, keyFile);
  await rejects(supply(), problem('symbolic-link'));
  await rejects(createSeal({ kind: 'keyfile' }, rootKey, context), problem('exists'));
  unlinkSync(keyFile);
  symlinkSync(join(place, 'elsewhere'), keyFile);
  await rejects(createSeal({ kind: 'keyfile' }, rootKey, context), problem('exists'));
  ok(!existsSync(join(place, 'elsewhere')), 'a dangling link is not written through');
  unlinkSync(keyFile);
  mkdirSync(keyFile, 0o600);
  await rejects(supply(), problem('not-a-file'));
  rmSync(keyFile, { recursive: true });
  for (const wrong of [
    Buffer.alloc(0),
    content.subarray(0, -1),
    Buffer.concat([content, Buffer.of(10)]),
    Buffer.alloc(content.length),
  ]) {
    writeFileSync(keyFile, wrong, { mode: 0o600 });
    await rejects(supply(), problem('not-a-key'));
    unlinkSync(keyFile);
  }
  throws(() => createUnsealer(record, { random }), problem('not-configured'));
  const inMissing = { random, keyFile: join(place, 'no', 'key') };
  await rejects(createSeal({ kind: 'keyfile' }, rootKey, inMissing), problem('not-writable'));
});

const isRoot = process.geteuid?.() === 0;
test('A key file of another user is refused', {
  skip: isRoot ? false : 'needs root to give a file away: sudo node --test',
}, async () => {
  const context = { random, keyFile: join(newPlace(), 'key') };
  const { record } = await createSeal({ kind: 'keyfile' }, rootKey, context);
  chownSync(context.keyFile, 65534, 65534);
  await rejects(createUnsealer(record, context).supply(nothing), problem('other-owner'));
  chownSync(context.keyFile, 0, 65534);
  equal((await createUnsealer(record, context).supply(nothing)).kind, 'unsealed');
});

test('An existing key file seals another root key, and both records open', async () => {
  const context: SealContext = { random, keyFile: join(newPlace(), 'key') };
  const first = await createSeal({ kind: 'keyfile' }, rootKey, context);
  const otherKey = random.bytes(32);
  const second = await createSeal({ kind: 'keyfile', existing: true }, otherKey, context);
  for (const [{ record }, expected] of [
    [first, rootKey],
    [second, otherKey],
  ] as const) {
    deepEqual(await createUnsealer(record, context).supply(nothing), {
      kind: 'unsealed',
      rootKey: expected,
    });
  }
  const none = { random, keyFile: join(newPlace(), 'key') };
  await rejects(createSeal({ kind: 'keyfile', existing: true }, rootKey, none), problem('missing'));
});

test('sealWeakenings names a key file near the data and a single share', async () => {
  const place = newPlace();
  mkdirSync(join(place, 'keys'));
  const codesOf = async (keyFile: string, dataPath?: string): Promise<readonly string[]> => {
    const context = { random, keyFile, ...(dataPath === undefined ? {} : { dataPath }) };
    const { record } = await createSeal({ kind: 'keyfile' }, rootKey, context);
    const weakenings = await sealWeakenings(record, context);
    unlinkSync(keyFile);
    return weakenings;
  };
  const dataPath = join(place, 'coffer.db');
  deepEqual(await codesOf(join(place, 'key'), dataPath), ['key-file-beside-data']);
  deepEqual(await codesOf(join(place, 'keys', '..', 'key'), dataPath), ['key-file-beside-data']);
  deepEqual(await codesOf(join(place, 'keys', 'key'), dataPath), ['key-file-same-device']);
  deepEqual(await codesOf(join(place, 'key')), []);
  if (existsSync('/dev/shm') && statSync('/dev/shm').dev !== statSync(place).dev) {
    const other = mkdtempSync('/dev/shm/coffer-seal-');
    deepEqual(await codesOf(join(other, 'key'), dataPath), []);
    rmSync(other, { recursive: true });
  }
  const single = await createSeal({ kind: 'shares', count: 1, threshold: 1 }, rootKey, { random });
  deepEqual(await sealWeakenings(single.record, { random }), ['single-share']);
  const several = await createSeal({ kind: 'shares', count: 3, threshold: 2 }, rootKey, { random });
  deepEqual(await sealWeakenings(several.record, { random }), []);
});

test('The shares unsealer counts, names each slip, and keeps what was given before', async () => {
  const context = { random };
  const request = { kind: 'shares', count: 5, threshold: 3 } as const;
  const { record, shares } = await createSeal(request, rootKey, context);
  const strangers = await createSeal(request, rootKey, context);
  const unsealer = createUnsealer(record, context);
  const give = (text: Uint8Array | string): Promise<unknown> => unsealer.supply(Buffer.from(text));
  deepEqual(unsealer.progress(), { given: 0, needed: 3 });
  deepEqual(await give(shares[4]!), { kind: 'waiting', given: 1, needed: 3 });
  const typed = shares[1]!.toString('latin1');
  const last = typed.endsWith('0') ? '1' : '0';
  await rejects(give(typed.slice(0, -1) + last), { code: 'seal.share-unreadable' });
  await rejects(give('not a share'), { code: 'seal.share-unreadable' });
  await rejects(give(strangers.shares[1]!), { code: 'seal.share-foreign' });
  await rejects(give(shares[4]!), { code: 'seal.share-repeated' });
  deepEqual(unsealer.progress(), { given: 1, needed: 3 });
  deepEqual(await give(` ${typed.toUpperCase()}\n`), { kind: 'waiting', given: 2, needed: 3 });
  deepEqual(await give(shares[0]!), { kind: 'unsealed', rootKey });
  deepEqual(unsealer.progress(), { given: 0, needed: 3 }, 'nothing is kept');

  const atOnce = await Promise.all(shares.slice(0, 4).map((text) => give(text)));
  deepEqual(atOnce.at(2), { kind: 'unsealed', rootKey });
  deepEqual(atOnce.at(3), { kind: 'waiting', given: 1, needed: 3 });
  unsealer.reset();
  deepEqual(unsealer.progress(), { given: 0, needed: 3 });
});

test('A single share unseals alone', async () => {
  const request = { kind: 'shares', count: 1, threshold: 1 } as const;
  const { record, shares } = await createSeal(request, rootKey, { random });
  deepEqual(await createUnsealer(record, { random }).supply(shares[0]!), {
    kind: 'unsealed',
    rootKey,
  });
});

test('After wrong shares the right ones still unseal', async () => {
  const request = { kind: 'shares', count: 3, threshold: 2 } as const;
  const { record, shares } = await createSeal(request, rootKey, { random });
  const { formatShare, readShare } = await import('../../crypto/shares.ts');
  const read = readShare(shares[0]!);
  ok(read.kind === 'share');
  const forged = formatShare({ ...read.share, bytes: random.bytes(32) });
  const unsealer = createUnsealer(record, { random });
  await unsealer.supply(forged);
  await rejects(unsealer.supply(shares[1]!), { code: 'seal.wrong-material' });
  deepEqual(unsealer.progress(), { given: 0, needed: 2 });
  await unsealer.supply(shares[0]!);
  deepEqual(await unsealer.supply(shares[1]!), { kind: 'unsealed', rootKey });
});

test('Passphrases have bounds, one line end is dropped, and one is tried at a time', async () => {
  const create = (bytes: Uint8Array): Promise<unknown> =>
    createSeal({ kind: 'passphrase', passphrase: bytes, cost }, rootKey, { random });
  for (const wrong of ['', 'short', 'eleven char', 'x'.repeat(1025)]) {
    await rejects(create(Buffer.from(wrong)), { code: 'request.invalid' });
  }
  const request = { kind: 'passphrase', passphrase: Buffer.from(`${passphrase}\n`), cost } as const;
  const { record } = await createSeal(request, rootKey, { random });
  const unsealer: Unsealer = createUnsealer(record, { random });
  for (const typed of [passphrase, `${passphrase}\n`, `${passphrase}\r\n`]) {
    equal((await unsealer.supply(Buffer.from(typed))).kind, 'unsealed');
  }
  const both = [unsealer.supply(passphrase), unsealer.supply(passphrase)];
  await rejects(both[1]!, { code: 'seal.busy' });
  equal((await both[0]!).kind, 'unsealed');
  for (const wrong of [`${passphrase}\n\n`, ` ${passphrase}`, 'short', 'x'.repeat(5000)]) {
    await rejects(unsealer.supply(Buffer.from(wrong)), { code: 'seal.wrong-material' });
  }
});

test('A hostile record can neither weaken nor exhaust', async () => {
  const request = { kind: 'passphrase', passphrase, cost } as const;
  const { record } = await createSeal(request, rootKey, { random });
  for (const change of [
    { memoryKib: 8 },
    { memoryKib: 2 ** 40 },
    { passes: 10_000 },
    { lanes: 0 },
  ]) {
    const changed = { ...record, parameters: { ...record.parameters, ...change } };
    throws(() => createUnsealer(parseSealRecord(changed), { random }), { code: 'seal.corrupt' });
  }
  const nested = { ...record, parameters: { salt: { toString: 1 } } };
  throws(() => parseSealRecord(nested), { code: 'seal.corrupt' });
  for (const wrong of [undefined, null, 1, 'x', [], {}]) {
    throws(() => parseSealRecord(wrong), { code: 'seal.corrupt' });
  }
});

test('A record opens only with its own kind of material', async () => {
  const context = { random, keyFile: join(newPlace(), 'key') };
  const { record } = await createSeal({ kind: 'keyfile' }, rootKey, context);
  linkSync(context.keyFile, `${context.keyFile}.copy`);
  const copy = { random, keyFile: `${context.keyFile}.copy` };
  equal(
    (await createUnsealer(record, copy).supply(nothing)).kind,
    'unsealed',
    'the path is no secret',
  );
});

test('Records give the frozen vectors', async () => {
  interface Vector {
    readonly name: string;
    readonly keyFile?: string;
    readonly material: readonly string[];
    readonly record: unknown;
  }
  const vectors = JSON.parse(
    readFileSync(new URL('../../../vectors/seal-record.json', import.meta.url), 'utf8'),
  ) as {
    readonly rootKey: string;
    readonly success: readonly Vector[];
    readonly mustFail: readonly (Vector & { readonly fault: string })[];
  };
  const keyFile = join(newPlace(), 'key');
  const open = async (vector: Vector): Promise<string> => {
    const content = Buffer.from(vector.keyFile ?? '', 'hex');
    writeFileSync(keyFile, content, { mode: 0o600 });
    const unsealer = createUnsealer(parseSealRecord(vector.record), { random, keyFile });
    let opened = '';
    for (const piece of vector.material) {
      const outcome = await unsealer.supply(Buffer.from(piece));
      if (outcome.kind === 'unsealed') opened = outcome.rootKey.toString('hex');
    }
    return opened;
  };
  for (const vector of vectors.success) equal(await open(vector), vectors.rootKey, vector.name);
  for (const vector of vectors.mustFail) {
    await rejects(open(vector), { code: vector.fault }, vector.name);
  }
});

function problem(expected: string): (error: unknown) => boolean {
  return (error) => {
    ok(isFault(error, 'seal.key-file'));
    equal(error.detail['problem'], expected);
    return true;
  };
}
