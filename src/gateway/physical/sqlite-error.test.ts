/**
 * Goal: whatever SQLite or the file system says, the operator reads the fault that tells what to do;
 * and a bug stays a bug.
 * Method: a table of errors as they come, with the code each must become.
 */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../../base/assert.ts';
import { codeOf, Fault } from '../../base/fault.ts';
import { storageFault } from './sqlite-error.ts';

function sqliteError(errcode: number): Error {
  return Object.assign(new Error('from SQLite'), { code: 'ERR_SQLITE_ERROR', errcode });
}

function systemError(code: string): Error {
  return Object.assign(new Error('from the system'), { code, syscall: 'open' });
}

test('storageFault gives each error its code', () => {
  const table = [
    [sqliteError(5), 'storage.locked'],
    [sqliteError(6), 'storage.locked'],
    [sqliteError(261), 'storage.locked'],
    [sqliteError(11), 'storage.corrupt'],
    [sqliteError(267), 'storage.corrupt'],
    [sqliteError(26), 'storage.corrupt'],
    [sqliteError(13), 'storage.full'],
    [sqliteError(10), 'storage.failed'],
    [sqliteError(1034), 'storage.failed'],
    [sqliteError(14), 'storage.failed'],
    [systemError('ERR_OUT_OF_RANGE'), 'storage.corrupt'],
    [systemError('ENOSPC'), 'storage.full'],
    [systemError('EDQUOT'), 'storage.full'],
    [systemError('EIO'), 'storage.failed'],
    [systemError('EACCES'), 'storage.unsafe'],
    [systemError('EROFS'), 'storage.unsafe'],
    [new Fault('storage.newer'), 'storage.newer'],
  ] as const;
  for (const [error, code] of table) equal(codeOf(storageFault(error, '/x')), code);
});

test('storageFault hands a bug back as it is', () => {
  for (const bug of [new AssertionError('broken'), new TypeError('broken'), 'no error at all']) {
    equal(storageFault(bug, '/x'), bug);
  }
});
