/**
 * Goal: a gateway whose log was rolled back or rewritten is noticed by every node (G36), also by one that
 * was restarted; what a witness says it has seen is durable first.
 * Method: checkpoints of real trees, signed with real keys.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { signCheckpoint } from '../crypto/checkpoint.ts';
import { consistencyProof, Frontier, hashLeaf, type TreeHash } from '../crypto/merkle.ts';
import { formatVerifier, noteSigner } from '../crypto/note.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { Witness, type WitnessMemory } from './witness.ts';
import { loadWitnessMemory, saveWitnessMemory } from './witness-file.ts';

const key = (kind: 'note' | 'cosignature', name: string) =>
  noteSigner(kind, name, generateKeyPairSync('ed25519').privateKey);
const node = key('cosignature', 'node/node-1');

/** A log that says what it likes: `salt` makes another history of the same length. */
class Log {
  readonly signer = key('note', 'log');
  readonly #salt: string;

  constructor(salt = '', signer?: typeof this.signer) {
    this.#salt = salt;
    if (signer) this.signer = signer;
  }

  get verifier(): string {
    return formatVerifier(this.signer);
  }

  show(size: number, since = 0): { note: string; consistency: TreeHash[] } {
    const frontier = Frontier.empty();
    const nodes = new Map<string, TreeHash>();
    for (let leaf = 0; leaf < size; leaf += 1) {
      frontier.append(hashLeaf(Buffer.from(`${this.#salt}${leaf}`)), (level, index, hash) =>
        nodes.set(`${level} ${index}`, hash),
      );
    }
    const root = frontier.root();
    const note = signCheckpoint({ origin: 'log', size, root, extensions: [] }, this.signer);
    const read = (level: number, index: number): TreeHash => nodes.get(`${level} ${index}`)!;
    return { note, consistency: consistencyProof(Math.min(since, size), size, read) };
  }
}

function witness(remembered?: WitnessMemory) {
  const kept: WitnessMemory[] = [];
  const made = new Witness({
    clock: new ManualClock(),
    signer: node,
    remembered,
    remember: (memory) => kept.push(memory),
  });
  return { made, kept };
}

/** A witness that has accepted the log at this size. */
function witnessAt(log: Log, size: number) {
  const { made, kept } = witness();
  made.meet(log.verifier);
  const { note, consistency } = log.show(size);
  equal(made.consider(note, consistency).kind, 'accepted');
  return { made, kept };
}

test('Witness accepts what continues the log, and remembers it before it answers', () => {
  const log = new Log();
  const { made, kept } = witnessAt(log, 5);
  const { note, consistency } = log.show(9, 5);
  const answer = made.consider(note, consistency);
  ok(answer.kind === 'accepted' && answer.cosignature.startsWith('— node/node-1 '));
  ok(kept.at(-1)?.note.includes(answer.cosignature));
  equal(made.alarm, undefined);
  // The same again is no news and no alarm.
  equal(made.consider(note, log.show(9, 9).consistency).kind, 'accepted');
});

test('Witness gives no answer when it cannot remember', () => {
  const log = new Log();
  const { made } = witness();
  made.meet(log.verifier);
  const broken = new Witness({
    clock: new ManualClock(),
    signer: node,
    remembered: { verifier: log.verifier, note: '', alarm: '' },
    remember: () => {
      throw new Error('no space');
    },
  });
  const { note, consistency } = log.show(3);
  throws(() => broken.consider(note, consistency), /no space/);
  equal(broken.note, '');
});

test('Witness refuses a rollback, a fork and a stranger, and raises the alarm', () => {
  const log = new Log();
  const forked = new Log('other', log.signer);
  const cases = [
    ['rollback', log.show(4)],
    ['fork', forked.show(8)],
    ['fork', forked.show(12, 8)],
    ['fork', { ...log.show(12, 8), consistency: [] }],
    ['unsigned', new Log().show(12, 8)],
    ['unsigned', { note: 'nonsense', consistency: [] }],
  ] as const;
  for (const [reason, { note, consistency }] of cases) {
    const { made, kept } = witnessAt(log, 8);
    const before = kept.length;
    const answer = made.consider(note, consistency);
    deepEqual([answer.kind, answer.kind === 'refused' && answer.reason], ['refused', reason]);
    deepEqual([made.alarm, kept.at(-1)?.alarm], [reason, reason]);
    equal(kept.at(-1)?.note, kept[before - 1]?.note, 'its own checkpoint stays');
    equal(witness(kept.at(-1)).made.alarm, reason, 'also after a restart');
    // It ends when the gateway shows the true log again.
    const { note: sound, consistency: proof } = log.show(9, 8);
    equal(made.consider(sound, proof).kind, 'accepted');
    deepEqual([made.alarm, witness(kept.at(-1)).made.alarm], [undefined, undefined]);
  }
});

test('Witness is alarmed also when it cannot remember why, and remembers on the next occasion', () => {
  const log = new Log();
  const kept: WitnessMemory[] = [];
  let isFull = false;
  const made = new Witness({
    clock: new ManualClock(),
    signer: node,
    remembered: witnessAt(log, 8).kept.at(-1),
    remember: (memory) => {
      if (isFull) throw new Error('no space');
      kept.push(memory);
    },
  });
  isFull = true;
  throws(() => made.consider(log.show(4).note, []), /no space/);
  equal(made.alarm, 'rollback');
  isFull = false;
  made.consider(log.show(4).note, []);
  equal(kept.at(-1)?.alarm, 'rollback');
});

test('what is stored is read again, also by a version that knew no alarm', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-witness-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const memory = { verifier: 'v', note: 'n', alarm: 'fork' };
  saveWitnessMemory(directory, memory);
  deepEqual(loadWitnessMemory(directory), memory);
  writeFileSync(join(directory, 'witness.json'), '{"verifier":"v","note":"n"}');
  deepEqual(loadWitnessMemory(directory), { ...memory, alarm: '' });
});

test('control: a witness that remembers nothing accepts the very same rollback', () => {
  const log = new Log();
  const { made } = witness();
  made.meet(log.verifier);
  const { note, consistency } = log.show(4);
  equal(made.consider(note, consistency).kind, 'accepted');
});

test('Witness remembers over a restart, and takes no other key for the log', () => {
  const log = new Log();
  const { kept } = witnessAt(log, 8);
  const { made } = witness(kept.at(-1));
  made.meet(log.verifier);
  equal(made.consider(log.show(7).note, []).kind, 'refused');
  const other = witness(kept.at(-1)).made;
  throws(() => other.meet(new Log().verifier), { code: 'witness.other-key' });
  equal(other.alarm, 'other-key');
});
