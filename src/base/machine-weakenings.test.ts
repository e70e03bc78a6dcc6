/**
 * Goal: what the machine makes weaker is named (G44, V24), and what makes nothing weaker is not.
 * Method: the kernel's files as text. Controls are the pairs: the same machine with one thing changed.
 */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { machineWeakenings } from './machine-weakenings.ts';

const heading = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n';
const limitsWith = (soft: string) =>
  `Limit                     Soft Limit           Hard Limit           Units\n` +
  `Max data size             unlimited            unlimited            bytes\n` +
  `Max core file size        ${soft.padEnd(20)} unlimited            bytes\n`;

const well = {
  '/proc/swaps': heading,
  '/proc/self/limits': limitsWith('0'),
  '/proc/self/cgroup': '0::/system.slice/coffer-gateway.service\n',
};

function found(files: Readonly<Record<string, string>>): readonly string[] {
  const all: Readonly<Record<string, string>> = { ...well, ...files };
  return machineWeakenings((path) => all[path]);
}

const onDisk = { '/proc/swaps': `${heading}/dev/sda2  partition\t8388604\t\t0\t\t-2\n` };

test('a machine without swap and a process without core dumps are well', () => {
  deepEqual(found({}), []);
});

test('swap on a disk or in a file is a weakening; encrypted, in memory, or out of reach it is none', () => {
  deepEqual(found(onDisk), ['swap-on']);
  deepEqual(found({ '/proc/swaps': `${heading}/swap.img  file\t8388604\t\t0\t\t-2\n` }), [
    'swap-on',
  ]);
  const mapped = { '/proc/swaps': `${heading}/dev/dm-1  partition\t8388604\t\t0\t\t-2\n` };
  deepEqual(found({ ...mapped, '/sys/block/dm-1/dm/uuid': 'CRYPT-PLAIN-swap\n' }), []);
  deepEqual(found({ ...mapped, '/sys/block/dm-1/dm/uuid': 'LVM-abc\n' }), ['swap-on']);
  const zram = { '/proc/swaps': `${heading}/dev/zram0  partition\t8388604\t\t0\t\t100\n` };
  deepEqual(found(zram), []);
  deepEqual(found({ ...zram, '/sys/block/zram0/backing_dev': '/dev/sda3\n' }), ['swap-on']);
});

test('a control group without swap, of the process or above it, keeps it from swap', () => {
  const cgroup = '/sys/fs/cgroup/system.slice';
  deepEqual(found({ ...onDisk, [`${cgroup}/memory.swap.max`]: '0\n' }), []);
  const own = `${cgroup}/coffer-gateway.service/memory.swap.max`;
  deepEqual(found({ ...onDisk, [own]: '0\n' }), []);
  deepEqual(found({ ...onDisk, [own]: 'max\n' }), ['swap-on']);
  const contained = { ...onDisk, '/proc/self/cgroup': '0::/\n' };
  deepEqual(found({ ...contained, '/sys/fs/cgroup/memory.swap.max': '0\n' }), []);
  deepEqual(found(contained), ['swap-on']);
});

test('a core limit above nothing is a weakening, and so is one that cannot be read', () => {
  deepEqual(found({ '/proc/self/limits': limitsWith('unlimited') }), ['core-dumps-on']);
  deepEqual(found({ '/proc/self/limits': limitsWith('1048576') }), ['core-dumps-on']);
  deepEqual(found({ '/proc/self/limits': '' }), ['core-dumps-on']);
});

test('a process whose core dumps hold no memory is well, whatever their limit', () => {
  const filter = '/proc/self/coredump_filter';
  const unlimited = { '/proc/self/limits': limitsWith('unlimited') };
  deepEqual(found({ ...unlimited, [filter]: '00000000\n' }), []);
  deepEqual(found({ ...unlimited, [filter]: '00000033\n' }), ['core-dumps-on']);
});

test('a process that catches SIGUSR1 opens its inspector on it', () => {
  const catching = (mask: string) => ({ '/proc/self/status': `SigBlk:\t0\nSigCgt:\t${mask}\n` });
  deepEqual(found(catching('0000000100004602')), ['inspector-on']);
  deepEqual(found(catching('0000000100004402')), []);
});
