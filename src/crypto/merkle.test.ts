/**
 * Goal: the tree is RFC 9162's, every proof it makes is accepted, and nothing else is (G36, G37).
 * Method: published roots; a naive recursive model for all small sizes; every (index, size) and
 * (old size, size) pair; mutations of every part of a proof. The control of the mutations is the
 * unchanged proof.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { systemRandom } from '../base/random.ts';
import {
  consistencyProof,
  emptyRoot,
  Frontier,
  hashLeaf,
  hashNode,
  inclusionProof,
  positionsRead,
  type ReadNode,
  rootAt,
  type TreeHash,
} from './merkle.ts';
import { EntryTree, leafHashOf, verifyConsistency, verifyInclusion } from './merkle-verify.ts';

const long = process.env['COFFER_LONG'] === '1';
const sizeMax = long ? 130 : 66;
const entries = Array.from({ length: 1100 }, (_, index) => Buffer.from(`entry ${index}`));
const { frontier: fullTree, read, leaves } = grow(entries);

test('Frontier gives the roots that certificate-transparency publishes', () => {
  const inputs = [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ];
  const roots = [
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];
  const frontier = Frontier.empty();
  equal(
    frontier.root().toString('hex'),
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  );
  for (const [index, input] of inputs.entries()) {
    frontier.append(hashLeaf(Buffer.from(input, 'hex')));
    equal(frontier.root().toString('hex'), roots[index], `root of ${index + 1} leaves`);
  }
});

test('Frontier, rootAt and EntryTree agree with the recursive definition at every size', () => {
  const frontier = Frontier.empty();
  const entryTree = new EntryTree();
  for (let size = 0; size <= 300; size++) {
    const expected = naiveRoot(leaves.slice(0, size));
    deepEqual(frontier.root(), expected, `frontier of ${size}`);
    deepEqual(Buffer.from(rootAt(size, read)), expected, `rootAt ${size}`);
    deepEqual(entryTree.root(), expected, `entry tree of ${size}`);
    equal(frontier.size, size);
    const copy = Frontier.fromBytes(frontier.toBytes());
    deepEqual(copy?.root(), expected, `stored frontier of ${size}`);
    deepEqual(copy?.toBytes(), frontier.toBytes());
    const entry = entries[size]!;
    frontier.append(hashLeaf(entry));
    entryTree.add(entry);
  }
});

test('Frontier.fromBytes refuses what cannot be a frontier', () => {
  const bytes = fullTree.toBytes();
  ok(Frontier.fromBytes(bytes) !== undefined, 'control');
  const tooLarge = Buffer.from(bytes).fill(0xff, 0, 8);
  for (const wrong of [
    Buffer.alloc(0),
    Buffer.alloc(7),
    bytes.subarray(0, -1),
    bytes.subarray(0, -32),
    Buffer.concat([bytes, Buffer.alloc(32)]),
    tooLarge,
  ]) {
    equal(Frontier.fromBytes(wrong), undefined);
  }
});

test('Frontier hands out each complete node once', () => {
  const seen = new Map<string, TreeHash>();
  const frontier = Frontier.empty();
  for (const leaf of leaves.slice(0, 100)) {
    frontier.append(leaf, (level, index, hash) => {
      equal(seen.has(`${level}/${index}`), false);
      seen.set(`${level}/${index}`, hash);
    });
  }
  for (let level = 0; 2 ** level <= 100; level++) {
    for (let index = 0; (index + 1) * 2 ** level <= 100; index++) {
      const range = leaves.slice(index * 2 ** level, (index + 1) * 2 ** level);
      deepEqual(Buffer.from(seen.get(`${level}/${index}`)!), naiveRoot(range));
    }
  }
});

test('inclusionProof is accepted for every leaf of every small tree, and only there', () => {
  for (let size = 1; size <= sizeMax; size++) {
    const root = rootAt(size, read);
    for (let index = 0; index < size; index++) {
      const proof = inclusionProof(index, size, read);
      const claim = { leafHash: leaves[index]!, index, size, root, proof };
      equal(verifyInclusion(claim), true, `${index} of ${size}`);
      const elsewhere = (index + 1) % size;
      if (size > 1) equal(verifyInclusion({ ...claim, index: elsewhere }), false);
      equal(verifyInclusion({ ...claim, leafHash: leaves[index + 1]! }), false);
      for (const mutated of mutations(proof)) {
        equal(verifyInclusion({ ...claim, proof: mutated }), false, `${index} of ${size}`);
      }
    }
  }
});

test('a proof that ends below the root proves nothing, even if somebody calls that a root', () => {
  // The left half of a tree of eight is a tree of four; its proofs say nothing of one of eight.
  const leafHash = leafHashOf(entries[1]!);
  const root = rootAt(4, read);
  const proof = inclusionProof(1, 4, read);
  ok(verifyInclusion({ leafHash, index: 1, size: 4, root, proof }), 'control');
  for (const size of [5, 6, 7, 8]) {
    ok(!verifyInclusion({ leafHash, index: 1, size, root, proof }), `${size}`);
  }
});

test('consistencyProof is accepted for every pair of small sizes, and only there', () => {
  for (let size = 0; size <= sizeMax; size++) {
    const root = rootAt(size, read);
    for (let oldSize = 0; oldSize <= size; oldSize++) {
      const oldRoot = rootAt(oldSize, read);
      const proof = consistencyProof(oldSize, size, read);
      const claim = { oldSize, oldRoot, size, root, proof };
      const name = `${oldSize} in ${size}`;
      equal(verifyConsistency(claim), true, name);
      equal(verifyConsistency({ ...claim, root: leaves[1000]! }), oldSize === 0 && size > 0, name);
      equal(verifyConsistency({ ...claim, oldRoot: leaves[1000]! }), false, name);
      if (oldSize === 0) continue;
      for (const mutated of mutations(proof)) {
        equal(verifyConsistency({ ...claim, proof: mutated }), false, name);
      }
    }
  }
});

test('verifyConsistency refuses every rewritten history', () => {
  const size = 200;
  for (let changed = 0; changed < 100; changed++) {
    const rewritten = entries.slice(0, size);
    rewritten[changed] = Buffer.from('rewritten');
    const other = grow(rewritten);
    for (const oldSize of [100, 101, 127, 128, 199]) {
      const claim = {
        oldSize,
        oldRoot: rootAt(oldSize, read),
        size,
        root: rootAt(size, other.read),
      };
      const proof = consistencyProof(oldSize, size, other.read);
      equal(verifyConsistency({ ...claim, proof }), false, `${changed} under ${oldSize}`);
      const honest = consistencyProof(oldSize, size, read);
      equal(verifyConsistency({ ...claim, proof: honest }), false);
    }
  }
});

test('The verifiers refuse sizes, indexes and hashes that are none', () => {
  const root = rootAt(7, read);
  const inclusion = {
    leafHash: leaves[3]!,
    index: 3,
    size: 7,
    root,
    proof: inclusionProof(3, 7, read),
  };
  equal(verifyInclusion(inclusion), true, 'control');
  for (const wrong of [-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY, 7]) {
    equal(verifyInclusion({ ...inclusion, index: wrong }), false);
  }
  for (const wrong of [-1, 0, 3, 6.5, Number.NaN, 2 ** 53]) {
    equal(verifyInclusion({ ...inclusion, size: wrong }), false, String(wrong));
  }
  equal(verifyInclusion({ ...inclusion, root: root.subarray(0, 31) }), false);
  equal(verifyInclusion({ ...inclusion, leafHash: Buffer.alloc(0) }), false);
  const consistency = {
    oldSize: 3,
    oldRoot: rootAt(3, read),
    size: 7,
    root,
    proof: consistencyProof(3, 7, read),
  };
  equal(verifyConsistency(consistency), true, 'control');
  for (const wrong of [-1, 1.5, Number.NaN, 8, 2, 4]) {
    equal(verifyConsistency({ ...consistency, oldSize: wrong }), false);
  }
  // 6 is not here: a path fits more than one size. The checkpoint's signature binds size and root.
  for (const wrong of [-1, 2, 3, 9, Number.NaN]) {
    equal(verifyConsistency({ ...consistency, size: wrong }), false, String(wrong));
  }
});

test('positionsRead names exactly the nodes that a proof needs', () => {
  for (const [index, size] of [
    [0, 1],
    [5, 7],
    [700, 1100],
  ] as const) {
    const build = (reader: ReadNode): TreeHash[] => inclusionProof(index, size, reader);
    const fetched = new Map(
      positionsRead(build).map(({ level, index }) => [`${level}/${index}`, read(level, index)]),
    );
    const proof = build((level, at) => fetched.get(`${level}/${at}`)!);
    deepEqual(proof, inclusionProof(index, size, read));
    ok(fetched.size <= 2 * Math.ceil(Math.log2(size + 1)));
  }
});

test('A change of any one entry, an exchange and a removal each change the root', () => {
  const honest = rootAt(entries.length, read);
  for (let round = 0; round < (long ? 1000 : 60); round++) {
    const changed = [...entries];
    const at = systemRandom.integer(entries.length - 1);
    if (round % 3 === 0) changed[at] = Buffer.concat([entries[at]!, Buffer.alloc(1)]);
    else if (round % 3 === 1) changed.splice(at, 1);
    else [changed[at], changed[at + 1]] = [entries[at + 1]!, entries[at]!];
    ok(!grow(changed).frontier.root().equals(honest), `round ${round}`);
  }
});

test('hashLeaf agrees with the verifier at every length, and leaves are no nodes', () => {
  for (const length of [0, 1, 64, 4094, 4095, 4096, 70_000]) {
    const entry = systemRandom.bytes(length);
    deepEqual(hashLeaf(entry), leafHashOf(entry), `${length} bytes`);
  }
  const [left, right] = [leaves[0]!, leaves[1]!];
  ok(!hashLeaf(Buffer.concat([left, right])).equals(hashNode(left, right)));
  deepEqual(emptyRoot(), createHash('sha256').digest());
  throws(() => inclusionProof(3, 3, read), /in the tree/);
  throws(() => consistencyProof(4, 3, read), /no larger/);
});

function grow(all: readonly Buffer[]): { frontier: Frontier; read: ReadNode; leaves: Buffer[] } {
  const nodes = new Map<string, TreeHash>();
  const frontier = Frontier.empty();
  const leaves = all.map((entry) => hashLeaf(entry));
  for (const leaf of leaves) {
    frontier.append(leaf, (level, index, hash) => nodes.set(`${level}/${index}`, hash));
  }
  const read: ReadNode = (level, index) => {
    const node = nodes.get(`${level}/${index}`);
    ok(node !== undefined, `node ${level}/${index} is complete`);
    return node;
  };
  return { frontier, read, leaves };
}

/** The definition, RFC 9162 §2.1.1, word by word. */
function naiveRoot(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 0) return createHash('sha256').digest();
  if (hashes.length === 1) return hashes[0]!;
  const split = 2 ** (Math.ceil(Math.log2(hashes.length)) - 1);
  return createHash('sha256')
    .update(Buffer.of(1))
    .update(naiveRoot(hashes.slice(0, split)))
    .update(naiveRoot(hashes.slice(split)))
    .digest();
}

/** One bit of each hash, a hash left out, doubled, added, exchanged, shortened. */
function mutations(proof: readonly TreeHash[]): TreeHash[][] {
  const all: TreeHash[][] = [[...proof, Buffer.alloc(32)]];
  for (const [at, hash] of proof.entries()) {
    const flipped = Buffer.from(hash);
    flipped[at % 32] = flipped[at % 32]! ^ 0x10;
    all.push(proof.with(at, flipped), proof.toSpliced(at, 1), proof.toSpliced(at, 0, hash));
    all.push(proof.with(at, hash.subarray(1)));
    if (at > 0) all.push(proof.with(at, proof[at - 1]!).with(at - 1, hash));
  }
  return all;
}
