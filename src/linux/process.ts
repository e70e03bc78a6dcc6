/**
 * Processes, held so that a number that is reused cannot be mistaken for its former bearer.
 *
 * A descriptor of /proc/PID belongs to that process for ever: once it has ended, every read through
 * it fails. So a process is opened first, checked second, and read only through the descriptor.
 *
 * A process lives for as long as one of its threads does. Its first thread may end before the others,
 * by choice: then /proc/PID shows a zombie without namespaces, and the other threads have to be asked.
 *
 * Promises
 *   - Reads come from a real procfs.
 *   - `undefined` or `ended` says that the process has ended (one that is all zombie counts), nothing
 *     else does.
 * Does not promise
 *   - That the process stays where it was: it may change its root or namespaces after any check.
 */
import { readFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { assert, defined } from '../base/assert.ts';
import {
  AT_FDCWD,
  close,
  fstatfs,
  getdents,
  isErrno,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  type Owner,
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

/** Of this boot of the kernel. Start ticks count from it: in another boot the same are another process. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
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
      if (stat.lives) return new HeldProcess(pid, stat.startTicks, fd);
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
    return this.#unlessEnded((fd) => parseStat(readText(fd, 'stat')).lives) !== true;
  }

  /** Its root directory, as a path descriptor. undefined if it has ended. */
  openRoot(): number | undefined {
    return this.#unlessEnded((fd) => openat(fd, 'root', O_PATH | O_DIRECTORY));
  }

  /** Its mount namespace. undefined if it has ended. */
  openMountNamespace(): { readonly fd: number; readonly inode: number } | undefined {
    return this.#unlessEnded((processFd) => {
      const fd = openat(processFd, 'ns/mnt', O_RDONLY);
      return { fd, inode: Number(statx(fd).inode) };
    });
  }

  /** Inode numbers of its namespaces. undefined if it has ended. */
  namespaces(): Readonly<Record<'mnt' | 'user' | 'pid', number>> | undefined {
    const inode = (processFd: number, name: string): number => {
      const fd = openat(processFd, `ns/${name}`, O_RDONLY);
      try {
        return Number(statx(fd).inode);
      } finally {
        close(fd);
      }
    };
    return this.#unlessEnded((fd) => ({
      mnt: inode(fd, 'mnt'),
      user: inode(fd, 'user'),
      pid: inode(fd, 'pid'),
    }));
  }

  /** The text of a file in /proc/PID. undefined if the process has ended. */
  read(name: 'mountinfo' | 'cgroup' | 'status'): string | undefined {
    return this.#unlessEnded((fd) => readText(fd, name));
  }

  /** Who it runs as by now, in numbers of here. undefined if it has ended. */
  owner(): Owner | undefined {
    const status = this.read('status');
    return status === undefined ? undefined : ownerIn(status);
  }

  /**
   * The number here of a user or group id inside its user namespace.
   *
   * @returns undefined if it has none, or the process has ended.
   */
  outsideId(kind: 'uid' | 'gid', inside: number): number | undefined {
    const text = this.#unlessEnded((fd) => readText(fd, `${kind}_map`));
    return text === undefined ? undefined : mapOutside(parseIdMap(text), inside);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#fd);
  }

  /** @param act - Is given a directory of /proc: the process's own, or that of a thread that lives. */
  #unlessEnded<T>(act: (fd: number) => T): T | undefined {
    assert(!this.#closed, 'a held process is read before it is let go');
    return unlessGone(() => act(this.#fd)) ?? this.#throughThread(act);
  }

  #throughThread<T>(act: (fd: number) => T): T | undefined {
    for (const thread of unlessGone(() => listThreads(this.#fd)) ?? []) {
      if (Number(thread) === this.pid) continue;
      const fd = unlessGone(() => openat(this.#fd, `task/${thread}`, O_PATH | O_DIRECTORY));
      if (fd === undefined) continue;
      try {
        const found = unlessGone(() => act(fd));
        if (found !== undefined) return found;
      } finally {
        close(fd);
      }
    }
    return undefined;
  }
}

function listThreads(processFd: number): readonly string[] {
  const fd = openat(processFd, 'task', O_RDONLY | O_DIRECTORY);
  try {
    return getdents(fd);
  } finally {
    close(fd);
  }
}

function unlessGone<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    // EINVAL: mountinfo of a process that is half way through its exit.
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EINVAL')) return undefined;
    throw error;
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
function parseStat(text: string): { readonly lives: boolean; readonly startTicks: number } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = defined(fields[0], 'stat has a state');
  const threads = Number(defined(fields[17], 'stat has a number of threads'));
  return {
    lives: (state !== 'Z' && state !== 'X') || threads > 1,
    startTicks: Number(defined(fields[19], 'stat has a start time')),
  };
}

/** The effective user and group in the text of a `status`: whose files it can read. */
export function ownerIn(status: string): Owner {
  const effective = (name: string): number => {
    const ids = new RegExp(`^${name}:\\t(\\d+)\\t(\\d+)`, 'm').exec(status);
    return Number(defined(ids?.[2], 'a status has users and groups'));
  };
  return { uid: effective('Uid'), gid: effective('Gid') };
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

/**
 * Proc files tell no size: read in growing pieces up to a bound. A mount table stays far below it, unless
 * somebody makes mounts for that purpose; then the oldest ones are what is read, in whole lines.
 */
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
    const end = filled < procFileBytesMax ? filled : bytes.lastIndexOf('\n') + 1;
    return bytes.toString('utf8', 0, end);
  } finally {
    close(fd);
  }
}
