/**
 * /proc/PID/mountinfo as data. Pure.
 *
 * Promises: every line that the kernel writes is understood, with its octal escapes undone.
 * Does not promise that the table is one moment's: the kernel may write it in several pieces.
 */
import { defined } from '../base/assert.ts';

export interface MountEntry {
  readonly id: number;
  readonly parentId: number;
  /** The directory of the file system that forms the root of this mount. */
  readonly root: string;
  /** As seen from the process's root. */
  readonly mountPoint: string;
  /** Of this mount: `ro`, `nosuid`, … */
  readonly options: readonly string[];
  /** `shared:N`, `master:N`, … */
  readonly propagation: readonly string[];
  readonly kind: string;
  readonly source: string;
  /** Of the file system, whoever mounts it: `size=…`, `noswap`, … */
  readonly superOptions: readonly string[];
}

export function parseMountinfo(text: string): MountEntry[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine);
}

function parseLine(line: string): MountEntry {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', 6);
  const field = (index: number): string =>
    defined(fields[index], 'a line of mountinfo has all its fields');
  return {
    id: Number(field(0)),
    parentId: Number(field(1)),
    root: unescape(field(3)),
    mountPoint: unescape(field(4)),
    options: field(5).split(','),
    propagation: fields.slice(6, separator),
    kind: field(separator + 1),
    source: unescape(field(separator + 2)),
    superOptions: field(separator + 3).split(','),
  };
}

/** Space, tab, newline and backslash are written as a backslash and three octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_match, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
