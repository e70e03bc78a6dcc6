/**
 * Goal: checkpoints are C2SP's, and only what a known key signed is accepted.
 * Method: notes published by other implementations; frozen vectors; every single-character change of
 * a note; a table of malformed notes. Control: the unchanged note.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  addCosignatures,
  type Checkpoint,
  cosignCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from './checkpoint.ts';
import {
  formatVerifier,
  noteSigner,
  noteVerifier,
  parseNote,
  parseVerifier,
  verifySignatures,
} from './note.ts';

const log = noteSigner('note', 'gateway.example/audit', privateKeyOf(1));
const otherLog = noteSigner('note', 'gateway.example/audit', privateKeyOf(2));
const witness = noteSigner('cosignature', 'node/worker-1', privateKeyOf(3));
const witness2 = noteSigner('cosignature', 'node/worker-2', privateKeyOf(4));
const checkpoint: Checkpoint = {
  origin: log.name,
  size: 20_852_163,
  root: Buffer.from('CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=', 'base64'),
  extensions: [],
};
const signed = signCheckpoint(checkpoint, log);

test('parseVerifier and verifySignatures accept what Go publishes', () => {
  const verifier = parseVerifier(
    'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
  );
  ok(verifier !== undefined);
  const text =
    'If you think cryptography is the answer to your problem,\n' +
    "then you don't know what your problem is.\n" +
    '\n' +
    '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
  const note = parseNote(text);
  ok(note !== undefined);
  equal(verifySignatures(note, [verifier])?.length, 1);
  equal(
    verifySignatures({ ...note, text: note.text.replace('your', 'our') }, [verifier]),
    undefined,
  );
  ok(parseVerifier('sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8'));
});

test('Checkpoints give the frozen vectors', () => {
  const vectors = JSON.parse(
    readFileSync(new URL('../../vectors/checkpoint.json', import.meta.url), 'utf8'),
  ) as {
    readonly logKey: string;
    readonly witnessKey: string;
    readonly success: readonly { note: string; size: number; cosignedAt: number[] }[];
    readonly mustFail: readonly { name: string; note: string; reason: string }[];
  };
  const verifiers = [vectors.logKey, vectors.witnessKey].map((line) => parseVerifier(line)!);
  for (const vector of vectors.success) {
    const opened = openCheckpoint(vector.note, verifiers[0]!, verifiers.slice(1));
    ok(opened.kind === 'verified');
    equal(opened.checkpoint.size, vector.size);
    deepEqual(
      opened.cosignatures.map(({ timestampS }) => timestampS),
      vector.cosignedAt,
    );
  }
  ok(vectors.mustFail.length >= 15);
  for (const vector of vectors.mustFail) {
    const opened = openCheckpoint(vector.note, verifiers[0]!, verifiers.slice(1));
    deepEqual(opened, { kind: 'refused', reason: vector.reason }, vector.name);
  }
});

test('openCheckpoint returns what was signed and who cosigned', () => {
  const lines = [witness, witness2].map((each) =>
    cosignCheckpoint(checkpoint, each, 1_700_000_000),
  );
  const cosigned = addCosignatures(addCosignatures(signed, lines), lines);
  equal(cosigned.split('\n— ').length, 4);
  const opened = openCheckpoint(cosigned, log, [witness, witness2]);
  deepEqual(opened, {
    kind: 'verified',
    checkpoint,
    cosignatures: [
      { witness: 'node/worker-1', timestampS: 1_700_000_000 },
      { witness: 'node/worker-2', timestampS: 1_700_000_000 },
    ],
  });
  const unknownWitness = openCheckpoint(cosigned, log, []);
  ok(unknownWitness.kind === 'verified' && unknownWitness.cosignatures.length === 0);
  const extended = { ...checkpoint, extensions: ['epoch 7'] };
  const reopened = openCheckpoint(signCheckpoint(extended, log), log);
  ok(reopened.kind === 'verified');
  deepEqual(reopened.checkpoint, extended);
});

test('openCheckpoint refuses every other signer', () => {
  const refusal = (note: string): string => {
    const opened = openCheckpoint(note, log, [witness]);
    return opened.kind === 'refused' ? opened.reason : opened.kind;
  };
  equal(refusal(signed), 'verified', 'control');
  equal(refusal(signCheckpoint(checkpoint, otherLog)), 'unsigned');
  const stranger = noteSigner('note', 'other.example/audit', privateKeyOf(1));
  equal(
    refusal(signCheckpoint({ ...checkpoint, origin: stranger.name }, stranger)),
    'wrong-origin',
  );
  const text = signed.slice(0, signed.indexOf('\n\n') + 1);
  equal(refusal(`${text}\n${cosignCheckpoint(checkpoint, witness, 1)}`), 'unsigned');
  const forOtherTree = cosignCheckpoint({ ...checkpoint, size: 5 }, witness, 1);
  equal(refusal(addCosignatures(signed, [forOtherTree])), 'wrong-signature');
  const [first = '', second = ''] = [1, 2].map((time) =>
    cosignCheckpoint(checkpoint, witness, time),
  );
  equal(refusal(addCosignatures(signed, [first, second])), 'verified', 'the later stands');
  equal(refusal(`${signed}${first}${second}`), 'wrong-signature');
});

test('openCheckpoint refuses every single-character change', () => {
  const characters = signed.split('');
  for (const [at, character] of characters.entries()) {
    const others = ['0', 'A', '\n', '=', ' '].filter((other) => other !== character);
    for (const changed of [
      ...others.map((other) => characters.with(at, other)),
      characters.toSpliced(at, 1),
    ]) {
      equal(openCheckpoint(changed.join(''), log).kind, 'refused', `at ${at}`);
    }
  }
});

test('parseCheckpoint and parseVerifier know one spelling', () => {
  const root = Buffer.from(checkpoint.root).toString('base64');
  ok(parseCheckpoint(`o\n1\n${root}\n`) !== undefined, 'control');
  for (const text of [
    '',
    'o\n1\n',
    `o\n01\n${root}\n`,
    `o\n-1\n${root}\n`,
    `o\n1e3\n${root}\n`,
    `o\n+1\n${root}\n`,
    `o\n9007199254740993\n${root}\n`,
    `\n1\n${root}\n`,
    `o\n1\n${root}`,
    `o\n1\n${root.slice(0, -1)}\n`,
    `o\n1\n${root.replace('=', '')}\n`,
    `o\n1\n${root.replace('2I=', '2J=')}\n`,
    `o\n1\n${root}\n\n`,
    `o\r\n1\n${root}\n`.replace('1\n', '1\r\n'),
  ]) {
    equal(parseCheckpoint(text), undefined, JSON.stringify(text));
  }
  const line = formatVerifier(log);
  deepEqual(parseVerifier(line)?.keyId, log.keyId);
  equal(formatVerifier(parseVerifier(line)!), line);
  for (const wrong of [
    '',
    line.slice(0, -1),
    `${line} `,
    line.replace('gateway', 'gatewai'),
    line.replace(log.keyId, '00000000'),
    line.replace('+A', '+B'),
  ]) {
    equal(parseVerifier(wrong), undefined, wrong);
  }
});

test('Keys of the wrong kind are bugs', () => {
  throws(() => cosignCheckpoint(checkpoint, log, 1));
  throws(() => signCheckpoint({ ...checkpoint, origin: 'x' }, log));
  throws(() => noteVerifier('note', 'a b', log.publicKey));
  throws(() => noteVerifier('note', 'a+b', log.publicKey));
  ok(
    noteVerifier('note', 'a', log.publicKey).keyId !==
      noteVerifier('cosignature', 'a', log.publicKey).keyId,
  );
});

/** A fixed Ed25519 key, so that vectors can be made again. */
function privateKeyOf(seed: number): KeyObject {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const der = Buffer.concat([prefix, Buffer.alloc(32, seed)]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}
