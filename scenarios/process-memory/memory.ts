/** Another process' memory as root sees it: what a forced core dump would hold, without writing one. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const pieceBytes = 4 * 1024 * 1024;

/** Every range that the process may write to, in pieces that overlap by `overlapBytes`. */
export function* piecesOf(pid: number, overlapBytes: number): Generator<Buffer, void, undefined> {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const buffer = Buffer.alloc(pieceBytes);
  try {
    for (const { from, to } of writableRanges(pid)) {
      for (let at = from; at < to; at += BigInt(pieceBytes - overlapBytes)) {
        const length = Number(to - at < BigInt(pieceBytes) ? to - at : BigInt(pieceBytes));
        const read = readIfThere(memory, buffer, { length, position: at });
        if (read > 0) yield buffer.subarray(0, read);
      }
    }
  } finally {
    closeSync(memory);
  }
}

function writableRanges(pid: number): readonly { readonly from: bigint; readonly to: bigint }[] {
  const ranges = readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/^(\w+)-(\w+) rw/gm);
  return [...ranges].map(([, from, to]) => ({ from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) }));
}

/** What was unmapped meanwhile holds nothing. */
function readIfThere(
  memory: number,
  buffer: Buffer,
  { length, position }: { readonly length: number; readonly position: bigint },
): number {
  try {
    return readSync(memory, buffer, 0, length, position);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 0;
    throw error;
  }
}
