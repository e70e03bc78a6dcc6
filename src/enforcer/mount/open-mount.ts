/**
 * How a mount comes into our hands: made new, or taken up again after a restart.
 *
 * A new one is filled before it is attached, and attached before it is believed: what the container
 * sees is looked up afterwards. One that is taken up must bear our mark, which only the host's root
 * can write; its source, which the container can see and imitate, only says where to look.
 */
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import {
  close,
  fchmod,
  fchown,
  fgetxattr,
  fsetxattr,
  fstatfs,
  isErrno,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  type Owner,
  openat,
  pageSize,
  statx,
  TMPFS_MAGIC,
} from '../../linux/libc.ts';
import { type MountEntry, parseMountinfo } from '../../linux/mountinfo.ts';
import {
  attachInside,
  cloneInside,
  detachIfThere,
  type HomeNamespace,
} from '../../linux/namespace.ts';
import { HeldProcess } from '../../linux/process.ts';
import { createTmpfs, makeReadOnly, makeWritable } from '../../linux/tmpfs.ts';
import {
  alignNames,
  isEmptyDirectory,
  loadSet,
  type NewSet,
  showSet,
  type StoredSet,
  writeSet,
} from './file-set.ts';
import { HeldMount } from './held-mount.ts';
import { inspectMount } from './inspect-mount.ts';
import type { FoundMount, MountPlace, MountProcess } from './mount.ts';
import type { CommandSet } from './mount-command.ts';
import { SetOwner } from './set-owner.ts';
import { anyPrefix, checkTarget } from './target.ts';
import {
  findTargetDirectory,
  makeTargetDirectory,
  refuseShared,
  refuseSlow,
  type TargetDirectory,
} from './target-directory.ts';

export interface MountContext {
  readonly home: HomeNamespace;
  readonly homeInode: number;
  readonly targetPrefixes: readonly string[];
  /** Sets that fit beside the one in place. */
  readonly retiredSetsMax: number;
  /** @throws Fault `mount.swappable` @returns whether to ask for `noswap` */
  readonly noswap: () => boolean;
}

const sourcePrefix = 'coffer:';
/** Between the id and the directories below the mount point, where it stands in for the target. */
const sourceSeparator = '@';
const markName = 'trusted.coffer';
const markBytesMax = 128;

/** A read-only root's empty directory may be mounted on in place of a target below it. */
const standInDefault = '/run';

/** Above the layout's own directory, whose mode is as narrow as its files allow. */
const passableMode = 0o755;

/** What is needed to reach into a container; released as a whole. */
interface Reach {
  readonly process: HeldProcess;
  readonly namespaceFd: number;
  readonly rootFd: number;
  readonly segments: readonly string[];
  readonly mounts: readonly MountEntry[];
}

/** Mounts a new set, or takes up the mount of this id if the container has it already. */
export function openMount(
  context: MountContext,
  id: string,
  wanted: { readonly place: MountPlace; readonly set: CommandSet; readonly contents: Uint8Array },
): { readonly mount: HeldMount; readonly found: boolean } {
  return reaching(
    context,
    { place: wanted.place, prefixes: context.targetPrefixes },
    (reach, keep) => {
      const existing = findTargetDirectory(reach.rootFd, reach.segments);
      const mayStandIn = (path: string): boolean =>
        path === standInDefault || context.targetPrefixes.includes(path);
      const directory =
        existing === undefined
          ? makeTargetDirectory(reach.rootFd, reach.segments, {
              owner: rootOf(reach.process),
              mayStandIn,
            })
          : { fd: existing, below: [] };
      try {
        const ours = takeUp(context, id, { reach, targetFd: directory.fd, place: wanted.place });
        if (ours !== undefined) return { mount: keep(ours), found: true };
        if (!isEmptyDirectory(directory.fd)) {
          throw new Fault('mount.target-occupied', { target: wanted.place.target });
        }
        refuseShared(directory.fd, reach.mounts, wanted.place.target);
        const mount = makeMount(context, id, { reach, directory, ...wanted });
        return { mount: keep(mount), found: false };
      } finally {
        close(directory.fd);
      }
    },
  );
}

/** Root inside; the host's where the container's user namespace has none. */
function rootOf(process: HeldProcess): Owner {
  return { uid: process.outsideId('uid', 0) ?? 0, gid: process.outsideId('gid', 0) ?? 0 };
}

/** Takes up the mount of this id if the container has one. */
export function adoptMount(
  context: MountContext,
  id: string,
  place: MountPlace,
): HeldMount | undefined {
  return reaching(context, { place, prefixes: anyPrefix }, (reach, keep) => {
    const targetFd = findTargetDirectory(reach.rootFd, reach.segments);
    if (targetFd === undefined) return undefined;
    try {
      const held = takeUp(context, id, { reach, targetFd, place });
      return held === undefined ? undefined : keep(held);
    } finally {
      close(targetFd);
    }
  });
}

export function findMounts(identity: MountProcess): FoundMount[] {
  using process = openProcess(identity);
  const text = process.read('mountinfo');
  if (text === undefined) throw new Fault('mount.process-gone', { pid: identity.pid });
  return parseMountinfo(text).flatMap(({ kind, source, mountPoint }) => {
    const ours = kind === 'tmpfs' ? parseSource(source) : undefined;
    if (ours === undefined) return [];
    return [
      { id: ours.id, target: ours.below === '' ? mountPoint : `${mountPoint}/${ours.below}` },
    ];
  });
}

function openProcess(identity: MountProcess): HeldProcess {
  const process = HeldProcess.openSame({ pid: identity.pid, startTicks: identity.startTicks });
  if (process === undefined) throw new Fault('mount.process-gone', { pid: identity.pid });
  return process;
}

/** Opens the way into a container for the duration of `act`; `keep` leaves it the process. */
function reaching<T>(
  context: MountContext,
  { place, prefixes }: { readonly place: MountPlace; readonly prefixes: readonly string[] },
  act: (reach: Reach, keep: (held: HeldMount) => HeldMount) => T,
): T {
  const segments = checkTarget(place.target, prefixes);
  const gone = new Fault('mount.process-gone', { pid: place.process.pid });
  const process = openProcess(place.process);
  let kept = false;
  const namespace = process.openMountNamespace();
  const rootFd = process.openRoot();
  try {
    const mountinfo = process.read('mountinfo');
    if (namespace === undefined || rootFd === undefined || mountinfo === undefined) throw gone;
    if (namespace.inode === context.homeInode) {
      throw new Fault('mount.namespace-own', { pid: process.pid });
    }
    if (namespace.inode !== place.process.mountNamespace) {
      throw new Fault('mount.namespace-changed', { pid: process.pid });
    }
    const mounts = parseMountinfo(mountinfo);
    refuseSlow(segments, mounts);
    return act({ process, namespaceFd: namespace.fd, rootFd, segments, mounts }, (held) => {
      kept = true;
      return held;
    });
  } finally {
    if (namespace !== undefined) close(namespace.fd);
    if (rootFd !== undefined) close(rootFd);
    if (!kept) process[Symbol.dispose]();
  }
}

interface NewMount {
  readonly reach: Reach;
  readonly directory: TargetDirectory;
  readonly place: MountPlace;
  readonly set: CommandSet;
  readonly contents: Uint8Array;
}

function makeMount(context: MountContext, id: string, wanted: NewMount): HeldMount {
  const { reach, directory } = wanted;
  const owner = new SetOwner(reach.process, wanted.place.process);
  const set = owner.resolve(wanted.set, wanted.contents);
  const keeping = set.files.find((file) => file.content === 'keep');
  if (keeping !== undefined) throw new Fault('mount.keep-unknown', { name: keeping.name });

  const below = directory.below.join('/');
  const viewFd = createTmpfs({
    source: `${sourcePrefix}${id}${below === '' ? '' : sourceSeparator + below}`,
    ...roomFor(context.retiredSetsMax + 2),
    mode: passableMode,
    noswap: context.noswap(),
  });
  try {
    const filled = fill(viewFd, id, { below: directory.below, set });
    makeReadOnly(viewFd);
    const mountId = statx(viewFd).mountId;
    const writableFd = attach(context, reach, { viewFd, mountId, targetFd: directory.fd });
    makeWritable(writableFd);
    const baseFd = openWritable(writableFd, directory.below);
    const fd = openat(baseFd, filled.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const { process, segments } = reach;
    const parts = { id, segments, process, owner, baseFd, viewFd, mountId };
    return new HeldMount({ ...parts, set: { ...filled, fd } });
  } catch (error) {
    close(viewFd);
    throw error;
  }
}

/** Puts the set into a tmpfs that nobody sees yet. The descriptor of what is returned is closed. */
function fill(
  mountFd: number,
  id: string,
  wanted: { readonly below: readonly string[]; readonly set: NewSet },
): StoredSet {
  const { below, set } = wanted;
  const baseFd = openBelow(mountFd, below, (parentFd, name) =>
    mkdirat(parentFd, name, passableMode),
  );
  try {
    fchown(baseFd, set.uid, set.gid);
    fchmod(baseFd, set.mode);
    mark(baseFd, id);
    const stored = writeSet(baseFd, set, undefined);
    try {
      showSet(baseFd, stored);
      alignNames(baseFd, stored, []);
    } finally {
      close(stored.fd);
    }
    return stored;
  } finally {
    close(baseFd);
  }
}

/** Attaches the view, and looks whether the container sees it where it should be. */
function attach(
  context: MountContext,
  reach: Reach,
  mount: { readonly viewFd: number; readonly mountId: number; readonly targetFd: number },
): number {
  const { viewFd, mountId, targetFd } = mount;
  const writableFd = attachInside(context.home, reach.namespaceFd, { mountFd: viewFd, targetFd });
  const state = inspectMount(reach.process, reach.segments, mountId);
  if (state === 'in-place') return writableFd;
  close(writableFd);
  detachIfThere(context.home, reach.namespaceFd, viewFd);
  if (state === 'gone') throw new Fault('mount.process-gone', { pid: reach.process.pid });
  throw new Fault('mount.failed', { target: `/${reach.segments.join('/')}`, state });
}

interface Existing {
  readonly reach: Reach;
  readonly targetFd: number;
  readonly place: MountPlace;
}

/** @returns undefined if what is at the target does not claim to be ours, or was half withdrawn. */
function takeUp(context: MountContext, id: string, existing: Existing): HeldMount | undefined {
  const { reach, targetFd, place } = existing;
  if (fstatfs(targetFd).magic !== TMPFS_MAGIC) return undefined;
  const { mountId } = statx(targetFd);
  const entry = reach.mounts.find((one) => one.id === mountId);
  if (entry === undefined || parseSource(entry.source)?.id !== id) return undefined;

  const writableFd = cloneInside(context.home, reach.namespaceFd, targetFd);
  makeWritable(writableFd);
  const baseFd = openWritable(writableFd, []);
  let viewFd: number | undefined;
  try {
    if (!isMarked(baseFd, id)) throw new Fault('mount.foreign', { id, target: place.target });
    viewFd = openMountPoint(reach.rootFd, entry);
    const set = loadSet(baseFd);
    if (set !== undefined) {
      const { process, segments } = reach;
      const owner = new SetOwner(process, place.process);
      return new HeldMount({ id, segments, process, owner, baseFd, viewFd, mountId, set });
    }
    detachIfThere(context.home, reach.namespaceFd, viewFd);
  } catch (error) {
    closeAll(baseFd, viewFd);
    throw error;
  }
  closeAll(baseFd, viewFd);
  return undefined;
}

/** The root of the mount, which is above the target where it stands in for a read-only directory. */
function openMountPoint(rootFd: number, entry: MountEntry): number {
  const fd = findTargetDirectory(rootFd, entry.mountPoint.slice(1).split('/'));
  if (fd !== undefined && statx(fd).mountId === entry.id) return fd;
  if (fd !== undefined) close(fd);
  throw new Fault('mount.foreign', { target: entry.mountPoint });
}

/** Opens the layout's directory for writing, and lets go of the mount: the directory keeps it alive. */
function openWritable(mountFd: number, below: readonly string[]): number {
  try {
    return openBelow(mountFd, below);
  } finally {
    close(mountFd);
  }
}

function openBelow(
  mountFd: number,
  below: readonly string[],
  make?: (parentFd: number, name: string) => void,
): number {
  let fd = openat(mountFd, '.', O_RDONLY | O_DIRECTORY);
  for (const name of below) {
    const parentFd = fd;
    try {
      make?.(parentFd, name);
      fd = openat(parentFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    } finally {
      close(parentFd);
    }
  }
  return fd;
}

function mark(baseFd: number, id: string): void {
  fsetxattr(baseFd, markName, Buffer.from(id));
}

function isMarked(baseFd: number, id: string): boolean {
  try {
    return Buffer.from(fgetxattr(baseFd, markName, markBytesMax)).toString() === id;
  } catch (error) {
    if (isErrno(error, 'ENODATA', 'ERANGE', 'ENOTSUP')) return false;
    throw error;
  }
}

function parseSource(source: string): { readonly id: string; readonly below: string } | undefined {
  if (!source.startsWith(sourcePrefix)) return undefined;
  const [id = '', below = ''] = source.slice(sourcePrefix.length).split(sourceSeparator);
  return { id, below };
}

function closeAll(...fds: readonly (number | undefined)[]): void {
  for (const fd of fds) if (fd !== undefined) close(fd);
}

/**
 * Room for whole sets at their largest: their bytes, a started page per file, one link per name (a
 * long one takes a page), and some slack.
 */
function roomFor(sets: number): { readonly bytesMax: number; readonly inodesMax: number } {
  const slack = 16;
  const page = pageSize();
  const pages = sets * (Math.ceil(limits.setBytesMax / page) + limits.setFilesMax);
  return {
    bytesMax: (pages + limits.setFilesMax + slack) * page,
    inodesMax: sets * (limits.setFilesMax + 1) + limits.setFilesMax + slack,
  };
}
