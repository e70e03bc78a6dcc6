/**
 * Goal: only one spelling of an allowed directory is a target, and a file name never leaves its
 * directory (THREAT-MODEL, V22).
 * Method: spellings known to be dangerous, and random names built from dangerous pieces.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { basename, join, posix } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isFault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { checkSet, checkTarget, isFileName, isMountId, targetPrefixesDefault } from './target.ts';

const runs = process.env['COFFER_LONG'] === '1' ? 100_000 : 5_000;

/** Pieces that names and paths are attacked with. */
const pieces = fc.constantFrom(
  ...[
    '..',
    '.',
    '/',
    '//',
    'a',
    'B',
    '0',
    '_',
    '-',
    ' ',
    '\0',
    '\n',
    '%2f',
    '%00',
    '\\',
    '…',
    'é',
    'e\u0301',
  ],
  ...[
    'run',
    'secrets',
    'proc',
    'sys',
    'dev',
    '/run/secrets',
    '/proc',
    '~',
    '$(id)',
    '\u202e',
    '‥',
    '/',
  ],
);
const text = fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join(''));

test('isFileName accepts only names that stay where they are put', () => {
  fc.assert(
    fc.property(text, (name) => {
      if (!isFileName(name)) return;
      equal(basename(join('/set', name)), name);
      equal(posix.normalize(`/set/${name}`), `/set/${name}`);
      ok(
        !name.startsWith('.') && Buffer.byteLength(name) <= 253 && name.normalize('NFKC') === name,
      );
    }),
    { numRuns: runs },
  );
  deepEqual(
    ['a', 'DB_PASSWORD', 'tls.crt', '-', 'x'.repeat(253)].filter((name) => !isFileName(name)),
    [],
  );
  deepEqual(
    ['', '.', '..', '..data', '.a', 'a/b', 'a\0', 'a\n', 'x'.repeat(254), 'é'].filter(isFileName),
    [],
  );
});

test('checkTarget accepts only canonical paths at or below an allowed prefix', () => {
  fc.assert(
    fc.property(text, (tail) => {
      for (const target of [tail, `/run/secrets${tail}`, `/run/secrets/${tail}`]) {
        try {
          const segments = checkTarget(target, targetPrefixesDefault);
          equal(`/${segments.join('/')}`, target);
          equal(posix.normalize(target), target);
          ok(targetPrefixesDefault.some((prefix) => `${target}/`.startsWith(`${prefix}/`)));
        } catch (error) {
          ok(isFault(error, 'mount.target-invalid'));
        }
      }
    }),
    { numRuns: runs },
  );
});

test('checkTarget never accepts the root or the kernel’s own, whatever is allowed', () => {
  const everything = ['/', '', '/proc', '/sys', '/dev', '/etc'];
  for (const target of [
    '/',
    '/proc',
    '/proc/self',
    '/sys/fs',
    '/dev',
    '/dev/shm',
    '//etc',
    '/etc/',
  ]) {
    throws(() => checkTarget(target, everything), { code: 'mount.target-invalid' });
  }
  deepEqual(checkTarget('/etc/app/secrets', everything), ['etc', 'app', 'secrets']);
  throws(() => checkTarget('/run/secretsx', targetPrefixesDefault), {
    code: 'mount.target-invalid',
  });
});

test('checkSet refuses what would not fit or not be unique', () => {
  const file = { name: 'a', mode: 0o400, content: Buffer.alloc(1) };
  checkSet({ revision: 0, files: [] });
  checkSet({ revision: 1, files: [file, { ...file, name: 'b', uid: 7, gid: 8 }] });
  const refused = (wrong: object): void => {
    const sets = { revision: 1, files: [{ ...file, ...wrong }] };
    throws(() => checkSet(sets), { code: 'mount.set-invalid' });
  };
  for (const name of ['..data', 'a/b', '']) refused({ name });
  for (const mode of [-1, 0o1000, 0.5, Number.NaN]) refused({ mode });
  for (const id of [-1, 2 ** 32 - 1, 1.5]) {
    refused({ uid: id });
    refused({ gid: id });
  }
  throws(() => checkSet({ revision: 1, files: [file, file] }), { code: 'mount.set-invalid' });
  throws(() => checkSet({ revision: -1, files: [] }), { code: 'mount.set-invalid' });
  const large = { ...file, content: Buffer.alloc(limits.setBytesMax + 1) };
  throws(() => checkSet({ revision: 1, files: [large] }), { code: 'limit.exceeded' });
  const many = Array.from({ length: limits.setFilesMax + 1 }, (_, at) => ({
    ...file,
    name: `f${at}`,
  }));
  throws(() => checkSet({ revision: 1, files: many }), { code: 'limit.exceeded' });
});

test('isMountId leaves out what a table of mounts escapes and what a path takes apart', () => {
  deepEqual(
    ['wld_0123', 'a:b', 'A.b-c'].filter((id) => !isMountId(id)),
    [],
  );
  deepEqual(['', 'a@b', 'a b', 'a/b', 'x'.repeat(129), 'a\n'].filter(isMountId), []);
});
