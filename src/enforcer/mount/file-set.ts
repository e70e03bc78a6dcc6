/**
 * A set of files in a directory of ours, replaced as a whole.
 *
 * The layout is that of Kubernetes' AtomicWriter, so what works there works here:
 *
 *     ..17/db-password        the files of revision 17
 *     ..data -> ..17          the one name that decides
 *     db-password -> ..data/db-password
 *
 * A process with CAP_SYS_ADMIN over the container can make its view writable and put anything in
 * here. So every call is on one name below a held descriptor, creates exclusively, follows no link and
 * does not wait on pipes: whatever stands there, nothing outside the directory is reached.
 */
import { assert, defined } from '../../base/assert.ts';
import { allocate, wipe } from '../../base/bytes.ts';
import {
  AT_REMOVEDIR,
  close,
  fchmod,
  fchown,
  fchownat,
  ftruncate,
  getdents,
  isErrno,
  linkat,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  type Owner,
  openat,
  read,
  readlinkat,
  renameat2,
  S_IFDIR,
  S_IFREG,
  statx,
  symlinkat,
  unlinkat,
  write,
} from '../../linux/libc.ts';
import { isFileName } from './target.ts';

const dataName = '..data';
const dataNextName = '..data_next';
const setNamePattern = /^\.\.(0|[1-9][0-9]{0,15})$/;

/** What was chosen for a file in particular; the rest is the set's, and follows it. */
type ChosenOwner = Partial<Owner>;

/** One file's content, shared by all sets that keep it. */
interface StoredFile {
  readonly mode: number;
  owner: Owner;
  chosen: ChosenOwner;
  readonly size: number;
  /** Sets that hold it. The last one to be emptied overwrites it. */
  holders: number;
}

export interface StoredSet {
  readonly revision: number;
  readonly name: string;
  mode: number;
  readonly files: Map<string, StoredFile>;
}

export interface NewFile {
  readonly name: string;
  readonly mode: number;
  readonly chosen: ChosenOwner;
  readonly content: Uint8Array | 'keep';
}

export interface NewSet {
  readonly revision: number;
  readonly files: readonly NewFile[];
  /** Of its directory. */
  readonly mode: number;
  /** Of its directory, and of files for which no other was chosen. */
  readonly owner: Owner;
}

/** Writes a set beside the one in place. Nobody sees it yet. On failure nothing of it is left. */
export function writeSet(base: number, set: NewSet, previous: StoredSet | undefined): StoredSet {
  const { revision, mode } = set;
  const stored: StoredSet = { revision, name: `..${revision}`, mode, files: new Map() };
  makeSetDirectory(base, stored.name, mode);
  try {
    inSet(base, stored, (fd) => {
      fchown(fd, set.owner.uid, set.owner.gid);
      writeFiles({ fd, stored }, set);
      keepFiles({ fd, stored }, set, { base, previous });
    });
    return stored;
  } catch (error) {
    eraseSet(base, stored);
    throw error;
  }
}

/** In a set's directory, which is open for as long as that takes: of many sets none holds a descriptor. */
function inSet<T>(base: number, set: Pick<StoredSet, 'name'>, act: (fd: number) => T): T {
  const fd = openat(base, set.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    return act(fd);
  } finally {
    close(fd);
  }
}

/** A directory of that name can only be left over from an attempt that was cut short. */
function makeSetDirectory(base: number, name: string, mode: number): void {
  try {
    mkdirat(base, name, mode);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    eraseStray(base, name);
    mkdirat(base, name, mode);
  }
}

/** A set that is being written. */
interface Writing {
  readonly fd: number;
  readonly stored: StoredSet;
}

function writeFiles(writing: Writing, set: NewSet): void {
  for (const file of set.files) {
    if (file.content !== 'keep') writeFile(writing, ownedFile(file, set), file.content);
  }
}

function keepFiles(
  writing: Writing,
  set: NewSet,
  from: { readonly base: number; readonly previous: StoredSet | undefined },
): void {
  const { base, previous } = from;
  const kept = set.files.filter(({ content }) => content === 'keep');
  if (kept.length === 0) return;
  assert(previous !== undefined, 'files are kept of a set that is there');
  inSet(base, previous, (fd) => {
    for (const file of kept) keepFile(writing, ownedFile(file, set), { fd, stored: previous });
  });
}

interface OwnedFile extends Omit<NewFile, 'content'> {
  readonly owner: Owner;
}

function ownedFile({ name, mode, chosen }: NewFile, set: NewSet): OwnedFile {
  return { name, mode, chosen, owner: { ...set.owner, ...chosen } };
}

function writeFile(writing: Writing, file: OwnedFile, content: Uint8Array): void {
  const { name, mode, owner, chosen } = file;
  const fd = openat(writing.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  writing.stored.files.set(name, { mode, owner, chosen, size: content.length, holders: 1 });
  try {
    write(fd, content);
    if (owner.uid !== 0 || owner.gid !== 0) fchown(fd, owner.uid, owner.gid);
  } finally {
    close(fd);
  }
}

function keepFile(writing: Writing, file: OwnedFile, previous: Writing): void {
  const kept = defined(previous.stored.files.get(file.name), 'a file that is kept is there');
  if (kept.mode === file.mode && isSameOwner(kept.owner, file.owner)) {
    linkat(previous.fd, file.name, writing.fd, file.name);
    kept.holders += 1;
    kept.chosen = file.chosen;
    writing.stored.files.set(file.name, kept);
    return;
  }
  // Another owner or mode: to change the shared file would change the set in place before its time.
  const content = readFile(previous.fd, file.name, kept.size);
  try {
    writeFile(writing, file, content);
  } finally {
    wipe(content);
  }
}

function readFile(directory: number, name: string, size: number): Uint8Array {
  const fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const content = allocate(size);
    return content.subarray(0, read(fd, content));
  } finally {
    close(fd);
  }
}

/**
 * Gives the set that is shown to another user. Contents and names stay as they are, and so does what a
 * reader has open. The files change hands first and the directory that leads to them last: where nobody else
 * is let through, the new user finds nothing or all of it.
 */
export function giveSet(base: number, stored: StoredSet, to: Pick<NewSet, 'mode' | 'owner'>): void {
  inSet(base, stored, (fd) => {
    for (const [name, file] of stored.files) {
      const owner = { ...to.owner, ...file.chosen };
      if (isSameOwner(owner, file.owner)) continue;
      fchownat(fd, name, owner);
      file.owner = owner;
    }
    for (const directory of [fd, base]) {
      fchown(directory, to.owner.uid, to.owner.gid);
      fchmod(directory, to.mode);
    }
  });
  stored.mode = to.mode;
}

export function isSameOwner(one: Owner, other: Owner): boolean {
  return one.uid === other.uid && one.gid === other.gid;
}

/** The one step that readers see: from now on the names lead to this set. */
export function showSet(base: number, stored: StoredSet): void {
  try {
    symlinkat(stored.name, base, dataNextName);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    unlinkat(base, dataNextName);
    symlinkat(stored.name, base, dataNextName);
  }
  renameat2([base, dataNextName], [base, dataName]);
}

/** From now on the names lead nowhere, and `loadSet` takes what is left for half withdrawn. */
export function hideSet(base: number): void {
  unlinkExisting(base, dataName);
}

/** Makes the names beside `..data` those of the set. `present` are the ones that are there now. */
export function alignNames(base: number, stored: StoredSet, present: Iterable<string>): void {
  const before = new Set(present);
  for (const name of stored.files.keys()) {
    if (!before.delete(name)) symlinkReplacing(base, name);
  }
  for (const name of before) unlinkExisting(base, name);
}

function symlinkReplacing(base: number, name: string): void {
  const content = `${dataName}/${name}`;
  try {
    symlinkat(content, base, name);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    unlinkat(base, name);
    symlinkat(content, base, name);
  }
}

/**
 * Empties files of a set and takes their names away. Shared content stays until its last holder goes.
 * Forgotten last: what could not be emptied is still known, and the next attempt finds it.
 */
export function dropFiles(base: number, stored: StoredSet, names: readonly string[]): void {
  if (names.length === 0) return;
  try {
    inSet(base, stored, (fd) => forEach(names, (name) => dropFile({ fd, stored }, name)));
  } catch (error) {
    if (isTakenAway(error)) for (const name of names) forgetFile(stored, name);
    else throw error;
  }
}

/** A container with CAP_SYS_ADMIN has removed the directory, or put something else in its place. */
function isTakenAway(error: unknown): boolean {
  return isErrno(error, 'ENOENT', 'ELOOP', 'ENOTDIR');
}

function dropFile({ fd, stored }: Writing, name: string): void {
  const file = stored.files.get(name);
  if (file === undefined) return;
  if (file.holders === 1) overwrite(fd, name, file.size);
  unlinkExisting(fd, name);
  forgetFile(stored, name);
}

function forgetFile(stored: StoredSet, name: string): void {
  const file = stored.files.get(name);
  if (file === undefined) return;
  file.holders -= 1;
  stored.files.delete(name);
}

/** Empties and removes a set that is no longer shown; if that fails, try again. */
export function eraseSet(base: number, stored: StoredSet): void {
  dropFiles(base, stored, [...stored.files.keys()]);
  eraseDirectory(base, stored.name);
}

/**
 * Does what can be done of it all, then throws what went wrong first. A program may hold one file up
 * (a lease on it, fcntl(2), that it takes the kernel 45 s to break), and must not hold up the others.
 */
export function forEach<T>(items: Iterable<T>, act: (item: T) => void): void {
  const errors: unknown[] = [];
  for (const item of items) {
    try {
      act(item);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/**
 * Opens the set that is in place, and erases whatever else stands there: attempts that were cut
 * short, sets that were being retired.
 *
 * @returns undefined if none is shown: everything has been erased then.
 */
export function loadSet(base: number): StoredSet | undefined {
  const shown = findShownSet(base);
  const present: string[] = [];
  forEach(listNames(base), (name) => {
    if (shown !== undefined && (name === dataName || name === shown.name)) return;
    if (shown?.files.has(name) === true) present.push(name);
    else eraseStray(base, name);
  });
  if (shown !== undefined) alignNames(base, shown, present);
  return shown;
}

function findShownSet(base: number): StoredSet | undefined {
  try {
    const name = readlinkat(base, dataName);
    const revision = Number(name.slice(2));
    if (!setNamePattern.test(name) || !Number.isSafeInteger(revision)) return undefined;
    return inSet(base, { name }, (fd) => ({ revision, name, ...contentsOf(fd) }));
  } catch (error) {
    if (isTakenAway(error) || isErrno(error, 'EINVAL')) return undefined;
    throw error;
  }
}

function contentsOf(fd: number): Pick<StoredSet, 'mode' | 'files'> {
  const files = new Map<string, StoredFile>();
  const set = statx(fd);
  for (const file of listNames(fd)) {
    const { type, mode, uid, gid, size } = statx(fd, file);
    if (type !== S_IFREG || !isFileName(file)) continue;
    // An id that differs from the set's was chosen.
    const chosen = { ...(uid === set.uid ? {} : { uid }), ...(gid === set.gid ? {} : { gid }) };
    files.set(file, { mode, owner: { uid, gid }, chosen, size, holders: 1 });
  }
  return { mode: set.mode, files };
}

/** Erases whatever stands there, as far as we could have made it. */
export function eraseAll(base: number): void {
  forEach(listNames(base), (name) => eraseStray(base, name));
}

/** Erases one entry that belongs to no set that is in place: a file, a link, or a directory of files. */
function eraseStray(directory: number, name: string): void {
  try {
    const status = statx(directory, name);
    if (status.type === S_IFDIR) {
      eraseStraysIn(directory, name);
      eraseDirectory(directory, name);
      return;
    }
    // Another name of the same file is a set's that keeps it.
    if (status.type === S_IFREG && status.links === 1) overwrite(directory, name, status.size);
    unlinkExisting(directory, name);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

function eraseStraysIn(directory: number, name: string): void {
  const fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    forEach(listNames(fd), (entry) => {
      // We make no deeper directories. One that a container made stays, with whatever it put there.
      const status = statx(fd, entry);
      if (status.type !== S_IFDIR) eraseStray(fd, entry);
    });
  } finally {
    close(fd);
  }
}

function eraseDirectory(directory: number, name: string): void {
  try {
    unlinkat(directory, name, AT_REMOVEDIR);
  } catch (error) {
    // Not empty: a container with CAP_SYS_ADMIN put something of its own there. It may keep that.
    if (!isErrno(error, 'ENOENT', 'ENOTEMPTY')) throw error;
  }
}

const zeros = Buffer.alloc(64 * 1024);

/** Readers that have it open or mapped find zeros, then nothing. Unlinking alone would leave it to them. */
function overwrite(directory: number, name: string, size: number): void {
  let fd: number;
  try {
    fd = openat(directory, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ELOOP', 'ENXIO', 'EISDIR')) return;
    throw error;
  }
  try {
    writeZeros(fd, size);
    ftruncate(fd, 0);
  } finally {
    close(fd);
  }
}

function writeZeros(fd: number, size: number): void {
  try {
    for (let rest = size; rest > 0; rest -= zeros.length) {
      write(fd, rest < zeros.length ? zeros.subarray(0, rest) : zeros);
    }
  } catch (error) {
    // A file that could not be written whole has no more bytes than there was room for.
    if (!isErrno(error, 'ENOSPC')) throw error;
  }
}

function unlinkExisting(directory: number, name: string): void {
  try {
    unlinkat(directory, name);
  } catch (error) {
    // A directory: not ours, so a container with CAP_SYS_ADMIN made it.
    if (!isErrno(error, 'ENOENT', 'EISDIR')) throw error;
  }
}

function listNames(directory: number): string[] {
  const fd = openat(directory, '.', O_RDONLY | O_DIRECTORY);
  try {
    return getdents(fd);
  } finally {
    close(fd);
  }
}

export function isEmptyDirectory(directory: number): boolean {
  return listNames(directory).length === 0;
}
