/**
 * Goal: given a remembered checkpoint, every change of older entries is found (G36), without trust in
 * whoever wrote the log (G37).
 * Method: thousands of random mutations of one log, truncation at many points, and whole logs computed
 * again by somebody who has the signing key; each against checkpoints remembered before. The control is
 * the untouched log, and the recomputed one against its own checkpoint only.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { type AuditVerdict, AuditVerifier } from './audit-verify.ts';
import { signCheckpoint } from './checkpoint.ts';
import { Frontier, hashLeaf } from './merkle.ts';
import { formatVerifier, type NoteSigner, noteSigner } from './note.ts';

const long = process.env['COFFER_LONG'] === '1';
const size = 10_000;

function makeSigner(): NoteSigner {
  const { privateKey } = generateKeyPairSync('ed25519');
  return noteSigner('note', 'cofferdam/ins_test', privateKey);
}

function makeEntry(sequence: number, text: string): Buffer {
  const entry = Buffer.alloc(9 + text.length);
  entry[0] = 1;
  entry.writeBigUInt64BE(BigInt(sequence), 1);
  entry.write(text, 9);
  return entry;
}

/** A checkpoint at each of these sizes, as the log would have signed it. */
function sign(signer: NoteSigner, entries: readonly Buffer[], sizes: readonly number[]): string[] {
  const frontier = Frontier.empty();
  const notes: string[] = [];
  const note = (): void => {
    if (!sizes.includes(frontier.size)) return;
    const checkpoint = {
      origin: signer.name,
      size: frontier.size,
      root: frontier.root(),
      extensions: [],
    };
    notes.push(signCheckpoint(checkpoint, signer));
  };
  note();
  for (const entry of entries) {
    frontier.append(hashLeaf(entry));
    note();
  }
  return notes;
}

const signer = makeSigner();
const key = formatVerifier(signer);
const log = Array.from({ length: size }, (_, index) => makeEntry(index, `entry ${index}`));
const [middle, last] = sign(signer, log, [size / 2, size]) as [string, string];

function verifyAudit(
  verifierKey: string,
  notes: readonly string[],
  entries: Iterable<Uint8Array>,
): AuditVerdict {
  const verifier = new AuditVerifier(verifierKey, notes);
  for (const entry of entries) verifier.add(entry);
  return verifier.finish();
}

function reasonOf(entries: readonly Buffer[], notes: readonly string[]): string {
  const verdict = verifyAudit(key, notes, entries);
  return verdict.kind === 'verified' ? 'verified' : verdict.reason;
}

test('AuditVerifier accepts the log as it was signed, also before and after a checkpoint', () => {
  deepEqual(verifyAudit(key, [last, middle], log).kind, 'verified');
  const partly = verifyAudit(key, [middle], log);
  ok(partly.kind === 'verified' && partly.size === size / 2 && partly.unverified === size / 2);
  const empty = sign(signer, [], [0]);
  equal(reasonOf([], empty), 'verified');
});

test('AuditVerifier says where the first wrong entry is', () => {
  const at = size / 2 + 7;
  const changed = log.with(at, makeEntry(at, 'entry xxx'));
  deepEqual(verifyAudit(key, [middle, last], changed), {
    kind: 'refused',
    reason: 'changed',
    from: size / 2,
    to: size - 1,
  });
  const gone = log.toSpliced(at, 1);
  deepEqual(verifyAudit(key, [last], gone), {
    kind: 'refused',
    reason: 'misplaced',
    from: at,
    to: at,
  });
  equal(reasonOf(log.slice(0, at), [last]), 'cut');
});

test('AuditVerifier finds every random mutation of a log (G36)', () => {
  // A tree of the same size but few entries keeps thousands of mutations affordable.
  const short = log.slice(0, 64);
  const notes = sign(signer, short, [64]);
  let state = 12345;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const mutations: readonly ((at: number) => Buffer[])[] = [
    (at) => {
      const entry = Buffer.from(short[at] as Buffer);
      const bit = random(entry.length * 8);
      entry[bit >> 3] = (entry[bit >> 3] as number) ^ (1 << (bit & 7));
      return short.with(at, entry);
    },
    (at) => short.toSpliced(at, 1),
    (at) => short.toSpliced(at, 0, makeEntry(at, 'inserted')),
    (at) => short.toSpliced(at, 0, short[random(64)] as Buffer),
    (at) => {
      const other = (at + 1 + random(63)) % 64;
      return short.with(at, short[other] as Buffer).with(other, short[at] as Buffer);
    },
    (at) => short.with(at, Buffer.concat([short[at] as Buffer, Buffer.of(0)])),
    (at) => short.with(at, (short[at] as Buffer).subarray(0, -1)),
    // Removed, and all that follow renumbered: no entry is out of its place.
    (at) =>
      short.toSpliced(at, 1).map((entry, index) => makeEntry(index, entry.toString('latin1', 9))),
  ];
  const rounds = long ? 100_000 : 10_000;
  for (let round = 0; round < rounds; round++) {
    const mutated = mutations[round % mutations.length]?.(random(64)) ?? [];
    ok(reasonOf(mutated, notes) !== 'verified', `round ${round}`);
    if (round % 1000 === 0) equal(reasonOf(short, notes), 'verified', 'control');
  }
});

test('AuditVerifier finds a log that was cut, at a hundred points; long, at a thousand', () => {
  const step = long ? 1 : 10;
  const verifier = (upTo: number): string => {
    const own = new AuditVerifier(key, [last]);
    for (let index = 0; index < upTo; index++) own.add(log[index] as Buffer);
    const verdict = own.finish();
    return verdict.kind === 'verified' ? 'verified' : verdict.reason;
  };
  const short = log.slice(0, 1000);
  const notes = sign(signer, short, [1000]);
  for (let at = 0; at < 1000; at += step) equal(reasonOf(short.slice(0, at), notes), 'cut');
  equal(verifier(size), 'verified', 'control');
});

test('a log computed anew with the signing key is found by whoever remembers one checkpoint', () => {
  const forged = log.with(17, makeEntry(17, 'nothing happened'));
  const [own] = sign(signer, forged, [size]) as [string];
  equal(reasonOf(forged, [own]), 'verified', 'control: against its own checkpoint it is perfect');
  equal(reasonOf(forged, [own, middle]), 'changed');
  equal(reasonOf(forged, [last]), 'changed');
  equal(reasonOf(log, [last, own]), 'fork');
});

test('AuditVerifier refuses keys and checkpoints that are not what they should be', () => {
  equal(reasonOf(log, []), 'no-checkpoint');
  equal(reasonOf(log, ['nonsense']), 'bad-checkpoint');
  equal(reasonOf(log, [last.replace(`\n${size}\n`, `\n${size - 1}\n`)]), 'bad-checkpoint');
  const stranger = makeSigner();
  equal(
    reasonOf(log, sign(stranger, log.slice(0, 2), [2])),
    'bad-checkpoint',
    'another key of that name',
  );
  equal(verifyAudit('not a key', [last], log).kind, 'refused');
});
