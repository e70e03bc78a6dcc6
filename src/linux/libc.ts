/**
 * The kernel's calls, typed. The only file that reaches foreign functions.
 *
 * Promises
 *   - Every call is synchronous and made on the calling thread; a failure throws `LibcError` with the
 *     call and errno, and nothing of its arguments.
 *   - Every descriptor that is opened here closes on exec.
 *   - Works on x64 and arm64 with glibc 2.28 or later: what older libraries lack is called by number,
 *     and those numbers are the same on both.
 * Does not promise
 *   - Restarting after EINTR: the thread that makes these calls takes no signals, and tmpfs does not
 *     wait on anything.
 *
 * `try…` functions return the negative errno instead of throwing, for the few places where nothing
 * may happen between two calls (`namespace.ts`).
 */
import { constants as fsConstants } from 'node:fs';
import koffi from 'koffi';
import { assert } from '../base/assert.ts';
import { number } from './syscall-numbers.ts';

/** Names of the flags are the kernel's. Those that differ between architectures come from Node. */
export const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW } =
  fsConstants;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;
/** Fails with EAGAIN rather than ask a file system. */
export const RESOLVE_CACHED = 0x20;
export const CLONE_FS = 0x200;
export const CLONE_NEWNS = 0x20000;
const LOCK_EX = 2;
const LOCK_NB = 4;
const MNT_DETACH = 2;
const OPEN_TREE_CLONE = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
export const MOUNT_ATTR_RDONLY = 0x01;
export const MOUNT_ATTR_NOSUID = 0x02;
export const MOUNT_ATTR_NODEV = 0x04;
export const MOUNT_ATTR_NOEXEC = 0x08;

const names = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));

export class LibcError extends Error {
  override readonly name = 'LibcError';
  readonly call: string;
  readonly errno: number;
  /** As in errno(3), e.g. `EACCES`. */
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = names.get(errno) ?? `E${errno}`;
    super(`${call}: ${code}`);
    this.call = call;
    this.errno = errno;
    this.code = code;
  }
}

export function isErrno(error: unknown, ...codes: readonly string[]): error is LibcError {
  return error instanceof LibcError && codes.includes(error.code);
}

const libc = koffi.load(null);

const c = {
  close: libc.func('int close(int fd)'),
  dup: libc.func('int fcntl(int fd, int command, int least)'),
  fchdir: libc.func('int fchdir(int fd)'),
  fchmod: libc.func('int fchmod(int fd, unsigned int mode)'),
  fchown: libc.func('int fchown(int fd, unsigned int uid, unsigned int gid)'),
  fchownat: libc.func(
    'int fchownat(int fd, const char *path, unsigned int uid, unsigned int gid, int flags)',
  ),
  fgetxattr: libc.func('long fgetxattr(int fd, const char *name, void *value, size_t size)'),
  fsetxattr: libc.func(
    'int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)',
  ),
  flock: libc.func('int flock(int fd, int operation)'),
  fstatfs: libc.func('int fstatfs(int fd, void *status)'),
  ftruncate: libc.func('int ftruncate(int fd, int64_t length)'),
  getdents64: libc.func('long getdents64(int fd, void *entries, size_t size)'),
  trim: libc.func('int malloc_trim(size_t pad)'),
  linkat: libc.func(
    'int linkat(int fd, const char *path, int newFd, const char *newPath, int flags)',
  ),
  mkdirat: libc.func('int mkdirat(int fd, const char *path, unsigned int mode)'),
  openat: libc.func('int openat(int fd, const char *path, int flags, unsigned int mode)'),
  prctl: libc.func('int prctl(int option, long a, long b, long c, long d)'),
  read: libc.func('long read(int fd, void *bytes, size_t size)'),
  readlinkat: libc.func('long readlinkat(int fd, const char *path, void *bytes, size_t size)'),
  renameat2: libc.func(
    'int renameat2(int fd, const char *path, int newFd, const char *newPath, unsigned int flags)',
  ),
  setfsgid: libc.func('unsigned int setfsgid(unsigned int gid)'),
  setfsuid: libc.func('unsigned int setfsuid(unsigned int uid)'),
  setns: libc.func('int setns(int fd, int kind)'),
  statx: libc.func(
    'int statx(int fd, const char *path, int flags, unsigned int mask, void *status)',
  ),
  symlinkat: libc.func('int symlinkat(const char *content, int fd, const char *path)'),
  sysconf: libc.func('long sysconf(int name)'),
  umask: libc.func('unsigned int umask(unsigned int mask)'),
  umount2: libc.func('int umount2(const char *path, int flags)'),
  unlinkat: libc.func('int unlinkat(int fd, const char *path, int flags)'),
  unshare: libc.func('int unshare(int flags)'),
  write: libc.func('long write(int fd, const void *bytes, size_t size)'),
  // syscall(2) under the shapes that are needed: on both architectures integers and pointers travel
  // in the same registers whether or not the function is variadic.
  callIntIntInt: libc.func('long syscall(long number, long a, long b, long c)'),
  callTextInt: libc.func('long syscall(long number, const char *a, long b)'),
  callIntTextInt: libc.func('long syscall(long number, long a, const char *b, long c)'),
  callIntTextPointerInt: libc.func(
    'long syscall(long number, long a, const char *b, const void *c, size_t d)',
  ),
  callIntIntPointerInt: libc.func('long syscall(long number, long a, long b, void *c, long d)'),
  callConfig: libc.func(
    'long syscall(long number, long fd, long command, const char *key, const char *value, long aux)',
  ),
  callMove: libc.func(
    'long syscall(long number, long fd, const char *path, long to, const char *toPath, long flags)',
  ),
  callSetattr: libc.func(
    'long syscall(long number, long fd, const char *path, long flags, const void *attr, size_t size)',
  ),
};

function check(call: string, result: number): number {
  if (result < 0) throw new LibcError(call, koffi.errno());
  return result;
}

function negativeErrno(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/** Calls that this kernel does not know. Each is made once, on no descriptor: it cannot come to anything. */
export function missingCalls(): readonly string[] {
  return Object.entries(number)
    .filter(([, call]) => {
      const result = c.callSetattr(call, -1, '', 0, null, 0);
      return result < 0 && koffi.errno() === koffi.os.errno['ENOSYS'];
    })
    .map(([name]) => name);
}

// Descriptors

export function close(fd: number): void {
  check('close', c.close(fd));
}

export function duplicate(fd: number): number {
  const dupCloexec = 1030;
  return check('fcntl', c.dup(fd, dupCloexec, 3));
}

export function openat(fd: number, path: string, flags: number, mode = 0): number {
  return check('openat', c.openat(fd, path, flags | O_CLOEXEC, mode));
}

/** EAGAIN means that a rename or mount elsewhere disturbed the walk; a few rounds always did. */
const openat2RoundsMax = 64;

export function openat2(fd: number, path: string, flags: number, resolve: number): number {
  const how = new BigUint64Array([BigInt(flags | O_CLOEXEC), 0n, BigInt(resolve)]);
  for (let round = 1; ; round += 1) {
    const result = c.callIntTextPointerInt(number.openat2, fd, path, how, how.byteLength);
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno !== koffi.os.errno['EAGAIN'] || round === openat2RoundsMax) {
      throw new LibcError('openat2', errno);
    }
  }
}

/** Writes all of it. */
export function write(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    const written = check('write', c.write(fd, rest, rest.length));
    assert(written > 0, 'a write to a file makes progress');
    if (written === rest.length) return;
    rest = rest.subarray(written);
  }
}

/** Reads until `bytes` is full or the end; returns how much it was. */
export function read(fd: number, bytes: Uint8Array): number {
  let filled = 0;
  while (filled < bytes.length) {
    const rest = bytes.subarray(filled);
    const got = check('read', c.read(fd, rest, rest.length));
    if (got === 0) break;
    filled += got;
  }
  return filled;
}

export function ftruncate(fd: number, length: number): void {
  check('ftruncate', c.ftruncate(fd, length));
}

export function fchmod(fd: number, mode: number): void {
  check('fchmod', c.fchmod(fd, mode));
}

export function fchown(fd: number, uid: number, gid: number): void {
  check('fchown', c.fchown(fd, uid, gid));
}

export function fsetxattr(fd: number, name: string, value: Uint8Array): void {
  check('fsetxattr', c.fsetxattr(fd, name, value, value.length, 0));
}

export function fgetxattr(fd: number, name: string, bytesMax: number): Uint8Array {
  const value = new Uint8Array(bytesMax);
  return value.subarray(0, check('fgetxattr', c.fgetxattr(fd, name, value, bytesMax)));
}

// Directories. Paths are single segments wherever another party could have written the directory.

export function mkdirat(fd: number, path: string, mode: number): void {
  check('mkdirat', c.mkdirat(fd, path, mode));
}

/** Of the name itself, should it be a symbolic link. */
export function fchownat(fd: number, path: string, { uid, gid }: Owner): void {
  check('fchownat', c.fchownat(fd, path, uid, gid, AT_SYMLINK_NOFOLLOW));
}

export function linkat(fd: number, path: string, newFd: number, newPath: string): void {
  check('linkat', c.linkat(fd, path, newFd, newPath, 0));
}

export function symlinkat(content: string, fd: number, path: string): void {
  check('symlinkat', c.symlinkat(content, fd, path));
}

export function renameat2(
  from: readonly [fd: number, path: string],
  to: readonly [fd: number, path: string],
  flags = 0,
): void {
  check('renameat2', c.renameat2(from[0], from[1], to[0], to[1], flags));
}

export function unlinkat(fd: number, path: string, flags = 0): void {
  check('unlinkat', c.unlinkat(fd, path, flags));
}

export function readlinkat(fd: number, path: string): string {
  const bytes = Buffer.alloc(4096);
  return bytes.toString(
    'utf8',
    0,
    check('readlinkat', c.readlinkat(fd, path, bytes, bytes.length)),
  );
}

/** The names in an open directory, without `.` and `..`. The descriptor must be readable. */
export function getdents(fd: number): string[] {
  const found: string[] = [];
  const entries = Buffer.alloc(32 * 1024);
  for (;;) {
    const filled = check('getdents64', c.getdents64(fd, entries, entries.length));
    if (filled === 0) return found;
    // struct linux_dirent64: inode u64, offset u64, length u16, type u8, name and NUL.
    for (let at = 0; at < filled; at += entries.readUInt16LE(at + 16)) {
      const name = entries.toString('utf8', at + 19, entries.indexOf(0, at + 19));
      if (name !== '.' && name !== '..') found.push(name);
    }
  }
}

// What something is

export interface FileStatus {
  readonly type: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly inode: bigint;
  readonly size: number;
  /** Of the mount that it was reached through. */
  readonly mountId: number;
}

export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;

/** Of the descriptor itself, or of one name in it; never follows a symbolic link. */
export function statx(fd: number, path = ''): FileStatus {
  const basicStatsAndMountId = 0x7ff | 0x1000;
  const status = Buffer.alloc(256);
  check(
    'statx',
    c.statx(fd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, basicStatsAndMountId, status),
  );
  const mode = status.readUInt16LE(28);
  return {
    type: mode & 0o170000,
    mode: mode & 0o7777,
    links: status.readUInt32LE(16),
    uid: status.readUInt32LE(20),
    gid: status.readUInt32LE(24),
    inode: status.readBigUInt64LE(32),
    size: Number(status.readBigUInt64LE(40)),
    mountId: Number(status.readBigUInt64LE(144)),
  };
}

/** Of the mount that `fd` was reached through; no file system is asked for it. */
export function mountIdOf(fd: number): number {
  const mountIdOnly = 0x1000;
  const withoutAsking = 0x4000;
  const status = Buffer.alloc(256);
  check('statx', c.statx(fd, '', AT_EMPTY_PATH | withoutAsking, mountIdOnly, status));
  return Number(status.readBigUInt64LE(144));
}

export interface FilesystemStatus {
  readonly magic: number;
  /** Of a tmpfs: its bound in pages, and in inodes. */
  readonly blocks: number;
  readonly files: number;
  /** ST_RDONLY 1, ST_NOSUID 2, ST_NODEV 4, ST_NOEXEC 8: of the mount, not only of the file system. */
  readonly flags: number;
}

export const PROC_SUPER_MAGIC = 0x9fa0;
export const TMPFS_MAGIC = 0x01021994;

export function fstatfs(fd: number): FilesystemStatus {
  const status = Buffer.alloc(256);
  check('fstatfs', c.fstatfs(fd, status));
  // 64-bit struct statfs: type 0, blocks 16, files 40, flags 80. The magic numbers that matter fit 32 bits.
  return {
    magic: status.readUInt32LE(0),
    blocks: Number(status.readBigUInt64LE(16)),
    files: Number(status.readBigUInt64LE(40)),
    flags: status.readUInt32LE(80),
  };
}

/** Gives what the allocator keeps for later back to the kernel. */
export function trimHeap(): void {
  c.trim(0);
}

export function pageSize(): number {
  const scPagesize = 30;
  return check('sysconf', c.sysconf(scPagesize));
}

// Mounts

const fsconfigCommand = { flag: 0, string: 1, create: 6 } as const;

export function fsopen(kind: string): number {
  const cloexec = 1;
  return check('fsopen', c.callTextInt(number.fsopen, kind, cloexec));
}

export function fsconfigSet(fd: number, key: string, value: string): void {
  check('fsconfig', c.callConfig(number.fsconfig, fd, fsconfigCommand.string, key, value, 0));
}

export function fsconfigFlag(fd: number, key: string): void {
  check('fsconfig', c.callConfig(number.fsconfig, fd, fsconfigCommand.flag, key, null, 0));
}

export function fsconfigCreate(fd: number): void {
  check('fsconfig', c.callConfig(number.fsconfig, fd, fsconfigCommand.create, null, null, 0));
}

export function fsmount(fd: number, attributes: number): number {
  const cloexec = 1;
  return check('fsmount', c.callIntIntInt(number.fsmount, fd, cloexec, attributes));
}

/** A second, detached mount of what `fd` shows. */
export function tryOpenTreeClone(fd: number): number {
  const flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | O_CLOEXEC;
  return negativeErrno(c.callIntTextInt(number.open_tree, fd, '', flags));
}

export interface MountAttributes {
  readonly set?: number;
  readonly clear?: number;
}

export function mountSetattr(fd: number, attributes: MountAttributes): void {
  const { set = 0, clear = 0 } = attributes;
  // struct mount_attr: set, clear, propagation, user namespace.
  const attr = new BigUint64Array([BigInt(set), BigInt(clear), 0n, 0n]);
  check(
    'mount_setattr',
    c.callSetattr(number.mount_setattr, fd, '', AT_EMPTY_PATH, attr, attr.byteLength),
  );
}

/** Both sides by descriptor: no path is looked up. */
export function tryMoveMount(mountFd: number, targetFd: number): number {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return negativeErrno(c.callMove(number.move_mount, mountFd, '', targetFd, '', flags));
}

export function tryFchdir(fd: number): number {
  return negativeErrno(c.fchdir(fd));
}

/** Detaches the mount whose root is the current directory. */
export function tryUmountHere(): number {
  return negativeErrno(c.umount2('.', MNT_DETACH));
}

// Namespaces and processes

export function unshare(flags: number): void {
  check('unshare', c.unshare(flags));
}

/**
 * Held until the descriptor is closed, or its process ends in whatever way.
 *
 * @returns false if another has it.
 */
export function lockExclusively(fd: number): boolean {
  try {
    check('flock', c.flock(fd, LOCK_EX | LOCK_NB));
    return true;
  } catch (error) {
    if (isErrno(error, 'EAGAIN', 'EWOULDBLOCK')) return false;
    throw error;
  }
}

export function setns(fd: number, kind: number): void {
  check('setns', c.setns(fd, kind));
}

/** Of the calling thread alone if it has unshared its file-system state. */
export function umask(mask: number): number {
  return c.umask(mask) as number;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Makes files for a moment in the name of another user. Only of the calling thread, and only for
 * files: to signals and the rest it stays who it is. Without root's power over foreign files, too.
 */
export function inTheNameOf<T>(owner: Owner, act: () => T): T {
  if (owner.uid === 0 && owner.gid === 0) return act();
  // Both give the former id back and fail silently; asking for an impossible id tells the present one.
  const impossible = 0xffff_ffff;
  try {
    c.setfsgid(owner.gid);
    c.setfsuid(owner.uid);
    assert(c.setfsuid(impossible) === owner.uid, 'root may act as any user');
    assert(c.setfsgid(impossible) === owner.gid, 'root may act as any group');
    return act();
  } finally {
    c.setfsuid(0);
    c.setfsgid(0);
  }
}

/** No core dump of this process, and no tracing of it but by root. */
export function makeUndumpable(): void {
  const setDumpable = 4;
  check('prctl', c.prctl(setDumpable, 0, 0, 0, 0));
}

export function pidfdOpen(pid: number): number {
  return check('pidfd_open', c.callIntIntInt(number.pidfd_open, pid, 0, 0));
}

export function pidfdSendSignal(fd: number, signal: number): void {
  check('pidfd_send_signal', c.callIntIntPointerInt(number.pidfd_send_signal, fd, signal, null, 0));
}
