/**
 * The store's files as the file system sees them: which there are, who else could touch them, what the
 * first bytes say, and where a new one is built.
 *
 * Everything here happens before SQLite has the file, and never to a file that SQLite has: closing any
 * descriptor of a database drops this process's POSIX locks on it.
 *
 * Promises
 *   - A file that is refused is left byte for byte as it was.
 * Does not promise
 *   - Safety from root, from the owner of the directories above, or from threads of this process that
 *     open the same file by other means.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  rmSync,
  type Stats,
  statfsSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Fault } from '../../base/fault.ts';

/** "Coff": what makes a SQLite file ours. */
export const applicationId = 0x436f_6666;
/** The layout of the tables. Newer ones are refused; older ones will be migrated here. */
export const formatVersion = 1;

const headerBytes = 100;
const magic = Buffer.from('SQLite format 3\0', 'latin1');
const groupOrWorldWrite = 0o022;
const groupOrWorldAny = 0o077;
/** NFS, SMB, CIFS, SMB2: their locks and fsync cannot be relied on, says SQLite. */
const networkFileSystems: ReadonlySet<number> = new Set([0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42]);

export function isNetworkFileSystem(type: number): boolean {
  return networkFileSystems.has(type >>> 0);
}

/** The path with its directory resolved, after checking that only we can make files there. */
export function safePlace(path: string): string {
  const directory = resolveDirectory(dirname(path));
  const place = join(directory, basename(path));
  const stats = lstatSync(directory);
  if ((stats.mode & groupOrWorldWrite) !== 0)
    throw unsafe(directory, 'directory-writable-by-others');
  requireOwner(directory, stats);
  if (isNetworkFileSystem(statfsSync(directory).type))
    throw unsafe(directory, 'network-file-system');
  return place;
}

/**
 * What is at `place`, if it is a file that only we can touch.
 *
 * @throws Fault `storage.unsafe` if it is a link, no plain file, somebody else's, or open to others.
 */
export function safeFile(place: string): Stats | undefined {
  const stats = lstatSync(place, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (stats.isSymbolicLink()) throw unsafe(place, 'symbolic-link');
  if (!stats.isFile()) throw unsafe(place, 'no-plain-file');
  if ((stats.mode & groupOrWorldAny) !== 0) throw unsafe(place, 'file-open-to-others');
  requireOwner(place, stats);
  return stats;
}

/**
 * Looks at the first bytes, which never change after the file was made.
 *
 * @throws Fault `storage.corrupt` if it is too short to be a store, `storage.foreign` if it is
 *   something else, `storage.newer` if a later version made it.
 */
export function checkHeader(place: string): void {
  const header = readHeader(place);
  if (header.length < headerBytes) throw corrupt(place, 'cut');
  if (!header.subarray(0, magic.length).equals(magic)) throw foreign(place, 'no-database');
  if (header.readUInt32BE(68) !== applicationId) throw foreign(place, 'other-application');
  const format = header.readUInt32BE(60);
  if (format > formatVersion) {
    throw new Fault('storage.newer', { path: place, format, known: formatVersion });
  }
  if (format < 1) throw corrupt(place, 'format');
}

/** Makes a directory that only we can enter, beside `place`, to build a file in. */
export function makeWorkshop(place: string): string {
  return mkdtempSync(`${place}.new-`);
}

/**
 * Removes workshops that a crash left beside `place`. Only for who holds the lock on `place`: a rival
 * whose workshop is swept is told that the store is locked a moment earlier.
 */
export function sweepWorkshops(place: string): void {
  const start = `${basename(place)}.new-`;
  for (const entry of readdirSync(dirname(place), { withFileTypes: true })) {
    if (entry.isDirectory() && entry.name.startsWith(start)) {
      rmSync(join(dirname(place), entry.name), { recursive: true, force: true });
    }
  }
}

/** Every file that a store may consist of: the first is its own, the others may be there while it is open. */
export function storeFiles(path: string): readonly string[] {
  return [path, journalOf(path), `${path}-shm`, `${path}-journal`];
}

/** Its journal: what was committed and is not in the store's own file yet. */
export function journalOf(path: string): string {
  return `${path}-wal`;
}

export function removeStore(path: string): void {
  for (const file of storeFiles(path)) rmSync(file, { force: true });
}

function readHeader(place: string): Buffer {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const descriptor = openSync(place, flags);
  try {
    if (!fstatSync(descriptor).isFile()) throw unsafe(place, 'no-plain-file');
    const header = Buffer.alloc(headerBytes);
    return header.subarray(0, readSync(descriptor, header, 0, headerBytes, 0));
  } finally {
    closeSync(descriptor);
  }
}

function resolveDirectory(directory: string): string {
  try {
    return realpathSync(directory);
  } catch (cause) {
    throw new Fault('storage.missing', { path: directory }, { cause });
  }
}

/** Whoever owns it can change its mode and then its content: that must be us, or root. */
function requireOwner(path: string, stats: Stats): void {
  const us = process.geteuid?.() ?? 0;
  if (stats.uid !== us && stats.uid !== 0) throw unsafe(path, 'owned-by-another');
}

function unsafe(path: string, reason: string): Fault {
  return new Fault('storage.unsafe', { path, reason });
}

function foreign(path: string, reason: string): Fault {
  return new Fault('storage.foreign', { path, reason });
}

function corrupt(path: string, reason: string): Fault {
  return new Fault('storage.corrupt', { path, reason });
}
