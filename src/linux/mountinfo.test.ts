/**
 * Goal: what the kernel writes about mounts is read as it was meant.
 * Method: lines as the kernel writes them, with and without optional fields, and escaped characters.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMountinfo } from './mountinfo.ts';

test('parseMountinfo reads a line without and with propagation marks', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime - ext4 /dev/root rw,errors=continue',
    '37 36 0:33 / /run/secrets ro,nosuid shared:7 master:1 - tmpfs coffer:x rw,size=64k,noswap',
    '',
  ].join('\n');
  const [first, second] = parseMountinfo(text);
  deepEqual(first, {
    id: 36,
    parentId: 35,
    root: '/mnt1',
    mountPoint: '/mnt2',
    options: ['rw', 'noatime'],
    propagation: [],
    kind: 'ext4',
    source: '/dev/root',
    superOptions: ['rw', 'errors=continue'],
  });
  deepEqual(second?.propagation, ['shared:7', 'master:1']);
  equal(second?.source, 'coffer:x');
});

test('parseMountinfo undoes the kernel’s escapes', () => {
  const escape = (text: string): string =>
    text.replaceAll(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const path = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\\', 'a', '-', '0', ',') });
  fc.assert(
    fc.property(path, (tail) => {
      const line = `1 2 0:3 / ${escape(`/${tail}`)} rw - tmpfs none rw\n`;
      equal(parseMountinfo(line)[0]?.mountPoint, `/${tail}`);
    }),
  );
});

test('parseMountinfo understands every line of this machine', () => {
  for (const entry of parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))) {
    equal(Number.isSafeInteger(entry.id) && entry.mountPoint.startsWith('/'), true);
  }
});
