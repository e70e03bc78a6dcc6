/**
 * Processes, held so that a number that is reused cannot be mistaken for its former bearer.
 *
 * A descriptor of /proc/PID belongs to that process for ever: once it has ended, every read through
 * it fails. So a process is opened first, checked second, and read only through the descriptor.
 *
 * Promises
 *   - Reads come from a real procfs.
 *   - `undefined` or `ended` says that the process has ended (a zombie counts), nothing else does.
 * Does not promise
 *   - That the process stays where it was: it may change its root or namespaces after any check.
 */
import { constants as osConstants } from 'node:os';
import { assert, defined } from '../base/assert.ts';
import {
  AT_FDCWD,
  close,
  fstatfs,
  isErrno,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  openat,
  PROC_SUPER_MAGIC,
  pidfdOpen,
  pidfdSendSignal,
  read,
  statx,
} from './libc.ts';

/** What tells one process from all others, before and after. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start: field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

/** One line of uid_map or gid_map: `count` ids from `inside` on are those from `outside` on here. */
interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export class HeldProcess implements Disposable {
  readonly pid: number;
  readonly startTicks: number;
  readonly #fd: number;
  #closed = false;

  private constructor(pid: number, startTicks: number, fd: number) {
    this.pid = pid;
    this.startTicks = startTicks;
    this.#fd = fd;
  }

  /** @returns undefined if there is no such process. */
  static open(pid: number): HeldProcess | undefined {
    assert(Number.isSafeInteger(pid) && pid > 0, 'a process id is a positive number');
    let fd: number;
    try {
      fd = openat(AT_FDCWD, `/proc/${pid}`, O_PATH | O_DIRECTORY);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
      throw error;
    }
    try {
      assert(fstatfs(fd).magic === PROC_SUPER_MAGIC, '/proc is a procfs');
      const stat = parseStat(readText(fd, 'stat'));
      if (stat.state !== 'Z' && stat.state !== 'X')
        return new HeldProcess(pid, stat.startTicks, fd);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ESRCH')) {
        close(fd);
        throw error;
      }
    }
    close(fd);
    return undefined;
  }

  /** @returns undefined if it has ended or the number belongs to another process now. */
  static openSame(identity: ProcessIdentity): HeldProcess | undefined {
    const held = HeldProcess.open(identity.pid);
    if (held === undefined || held.startTicks === identity.startTicks) return held;
    held[Symbol.dispose]();
    return undefined;
  }

  get ended(): boolean {
    return this.#unlessEnded(() => parseStat(readText(this.#fd, 'stat')).state !== 'Z') !== true;
  }

  /** Its root directory, as a path descriptor. undefined if it has ended. */
  openRoot(): number | undefined {
    return this.#unlessEnded(() => openat(this.#fd, 'root', O_PATH | O_DIRECTORY));
  }

  /** Its mount namespace. undefined if it has ended. */
  openMountNamespace(): { readonly fd: number; readonly inode: number } | undefined {
    return this.#unlessEnded(() => {
      const fd = openat(this.#fd, 'ns/mnt', O_RDONLY);
      return { fd, inode: Number(statx(fd).inode) };
    });
  }

  /** Inode numbers of its namespaces. undefined if it has ended. */
  namespaces(): Readonly<Record<'mnt' | 'user' | 'pid', number>> | undefined {
    const inode = (name: string): number => {
      const fd = openat(this.#fd, `ns/${name}`, O_RDONLY);
      try {
        return Number(statx(fd).inode);
      } finally {
        close(fd);
      }
    };
    return this.#unlessEnded(() => ({ mnt: inode('mnt'), user: inode('user'), pid: inode('pid') }));
  }

  /** The text of a file in /proc/PID. undefined if the process has ended. */
  read(name: 'mountinfo' | 'cgroup' | 'status'): string | undefined {
    return this.#unlessEnded(() => readText(this.#fd, name));
  }

  /**
   * The number here of a user or group id inside its user namespace.
   *
   * @returns undefined if it has none, or the process has ended.
   */
  outsideId(kind: 'uid' | 'gid', inside: number): number | undefined {
    const text = this.#unlessEnded(() => readText(this.#fd, `${kind}_map`));
    return text === undefined ? undefined : mapOutside(parseIdMap(text), inside);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#fd);
  }

  #unlessEnded<T>(act: () => T): T | undefined {
    assert(!this.#closed, 'a held process is read before it is let go');
    try {
      return act();
    } catch (error) {
      // EINVAL: mountinfo of a process that is half way through its exit.
      if (isErrno(error, 'ENOENT', 'ESRCH', 'EINVAL')) return undefined;
      throw error;
    }
  }
}

/**
 * Sends a signal to exactly this process.
 *
 * @returns false if it has ended or the number belongs to another process now.
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  let fd: number;
  try {
    fd = pidfdOpen(identity.pid);
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false;
    throw error;
  }
  try {
    // Checked after the descriptor was made: what is checked is what will be signalled.
    using same = HeldProcess.openSame(identity);
    if (same === undefined) return false;
    pidfdSendSignal(fd, osConstants.signals[signal]);
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false;
    throw error;
  } finally {
    close(fd);
  }
}

/** The command name stands in parentheses and may hold anything, so fields count from the last `)`. */
function parseStat(text: string): { readonly state: string; readonly startTicks: number } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: defined(fields[0], 'stat has a state'),
    startTicks: Number(defined(fields[19], 'stat has a start time')),
  };
}

export function parseIdMap(text: string): IdRange[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      const [inside, outside, count] = line.split(/\s+/).map(Number);
      assert(
        inside !== undefined && outside !== undefined && count !== undefined,
        'a line of an id map has three numbers',
      );
      return { inside, outside, count };
    });
}

export function mapOutside(ranges: readonly IdRange[], inside: number): number | undefined {
  const range = ranges.find((one) => inside >= one.inside && inside < one.inside + one.count);
  return range === undefined ? undefined : range.outside + (inside - range.inside);
}

/** Proc files tell no size: read in growing pieces up to a bound that a mount table stays below. */
const procFileBytesMax = 16 * 1024 * 1024;

function readText(directoryFd: number, name: string): string {
  const fd = openat(directoryFd, name, O_RDONLY);
  try {
    let bytes = Buffer.alloc(16 * 1024);
    let filled = read(fd, bytes);
    while (filled === bytes.length && filled < procFileBytesMax) {
      bytes = Buffer.concat([bytes, Buffer.alloc(bytes.length)]);
      filled += read(fd, bytes.subarray(filled));
    }
    return bytes.toString('utf8', 0, filled);
  } finally {
    close(fd);
  }
}
