/**
 * What this machine and this process make weaker than it could be: swap that keeps memory on a disk in
 * the clear, core dumps, and an inspector that a signal opens. As codes, which `status` shows and
 * docs/guides/production.md explains.
 */
import { readFileSync } from 'node:fs';
import { coreFilterPath } from './private-memory.ts';
import { swapAreas } from './swap-areas.ts';

/** The text of a file below /proc or /sys; undefined if there is none. */
export type ReadText = (path: string) => string | undefined;

export type MachineWeakening = 'swap-on' | 'core-dumps-on' | 'inspector-on';

export function machineWeakenings(read: ReadText = readText): readonly MachineWeakening[] {
  const found: MachineWeakening[] = [];
  if (swapsInClear(read).length > 0 && !isKeptFromSwap(read)) found.push('swap-on');
  if (mayDumpCore(read)) found.push('core-dumps-on');
  if (opensInspector(read)) found.push('inspector-on');
  return found;
}

/** Devices and files that memory is swapped to, without those that are encrypted or are memory themselves. */
function swapsInClear(read: ReadText): readonly string[] {
  return swapAreas(read('/proc/swaps') ?? '').filter(
    (path) => !isEncrypted(path, read) && !isCompressedMemory(path, read),
  );
}

function isEncrypted(path: string, read: ReadText): boolean {
  const [, name] = /^\/dev\/(dm-\d+)$/.exec(path) ?? [];
  return name !== undefined && (read(`/sys/block/${name}/dm/uuid`) ?? '').startsWith('CRYPT-');
}

/** zram, unless it writes to a disk what does not fit. */
function isCompressedMemory(path: string, read: ReadText): boolean {
  const [, name] = /^\/dev\/(zram\d+)$/.exec(path) ?? [];
  return name !== undefined && (read(`/sys/block/${name}/backing_dev`) ?? 'none').trim() === 'none';
}

/** Whether a control group of this process, or one above it, has no swap to use (`MemorySwapMax=0`). */
function isKeptFromSwap(read: ReadText): boolean {
  const [, path = '/'] = /^0::(\/.*)$/m.exec(read('/proc/self/cgroup') ?? '') ?? [];
  const parts = path.split('/').filter((part) => part !== '');
  // In a container's own view it is the root that bears the limit.
  return ['', ...parts].some((_part, index) => {
    const directory = ['/sys/fs/cgroup', ...parts.slice(0, index)].join('/');
    return (read(`${directory}/memory.swap.max`) ?? '').trim() === '0';
  });
}

/** By the soft limit, which is what counts for files; what the filter leaves out is in no dump at all. */
function mayDumpCore(read: ReadText): boolean {
  if (/^0+$/.test((read(coreFilterPath) ?? '').trim())) return false;
  const [, soft] = /^Max core file size\s+(\S+)/m.exec(read('/proc/self/limits') ?? '') ?? [];
  return soft !== '0';
}

/** Node catches SIGUSR1 to open it, unless it was started so that it does not. */
function opensInspector(read: ReadText): boolean {
  const [, caught = '0'] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(read('/proc/self/status') ?? '') ?? [];
  const sigusr1 = 10n;
  return ((BigInt(`0x${caught}`) >> (sigusr1 - 1n)) & 1n) === 1n;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
