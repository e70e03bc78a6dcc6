/**
 * Goal: directories let through who may read a file, and nobody else.
 * Method: the cases that differ.
 */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { directoryMode } from './set-owner.ts';

const owner = { uid: 1000, gid: 1000 };

test('directoryMode is as narrow as the files allow', () => {
  const modeFor = (...files: [mode: number, uid: number, gid: number][]): string =>
    directoryMode(
      files.map(([mode, uid, gid]) => ({ mode, uid, gid })),
      owner,
    ).toString(8);
  equal(modeFor(), '500');
  equal(modeFor([0o400, 1000, 1000], [0o600, 1000, 2000]), '500');
  equal(modeFor([0o400, 1000, 1000], [0o440, 1000, 1000]), '550');
  equal(modeFor([0o440, 1000, 2000]), '555');
  equal(modeFor([0o400, 33, 1000]), '555');
  equal(modeFor([0o444, 1000, 1000]), '555');
});
