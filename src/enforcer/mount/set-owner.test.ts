/**
 * Goal: directories let through who may read a file, and nobody else.
 * Method: the cases that differ.
 */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { Owner } from '../../linux/libc.ts';
import { directoryMode } from './set-owner.ts';

const owner = { uid: 1000, gid: 1000 };

test('directoryMode is as narrow as the files allow', () => {
  const modeFor = (...files: [mode: number, chosen: Partial<Owner>][]): string =>
    directoryMode(
      files.map(([mode, chosen]) => ({ mode, chosen })),
      owner,
    ).toString(8);
  equal(modeFor(), '500');
  equal(modeFor([0o400, {}], [0o600, { gid: 2000 }]), '500');
  equal(modeFor([0o400, {}], [0o440, {}]), '550');
  equal(modeFor([0o440, { uid: 1000, gid: 1000 }]), '550');
  equal(modeFor([0o440, { gid: 2000 }]), '555');
  equal(modeFor([0o400, { uid: 33 }]), '555');
  equal(modeFor([0o444, {}]), '555');
});
