/**
 * How a mount comes into our hands: made new, or taken up again after a restart.
 *
 * A new one is filled before it is attached, and attached before it is believed: what the container
 * sees is looked up afterwards. One that is taken up must bear our mark, which only the host's root
 * can write; its source, which the container can see and imitate, only says where to look.
 */
import { Fault } from '../../base/fault.ts';
import {
  close,
  fchmod,
  fchown,
  fgetxattr,
  fsetxattr,
  fstatfs,
  isErrno,
  O_DIRECTORY,
  O_RDONLY,
  type Owner,
  openat,
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
  eraseAll,
  forEach,
  hideSet,
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
import { roomOfSets } from './room.ts';
import { SetOwner } from './set-owner.ts';
import { makeByStandIn, removeStandIn, type StandInContext } from './stand-in.ts';
import { anyPrefix, checkTarget } from './target.ts';
import {
  findTargetDirectory,
  makeTargetDirectory,
  refuseShared,
  refuseSlow,
} from './target-directory.ts';

export interface MountContext extends StandInContext {
  readonly homeInode: number;
}

const sourcePrefix = 'coffer:';
const markName = 'trusted.coffer';
const markBytesMax = 128;

/** Until the layout's own directory gets its mode, which is as narrow as its files allow. */
const rootMode = 0o700;

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
  const { place } = wanted;
  return reaching(context, { place, prefixes: context.targetPrefixes }, (reach, keep) => {
    const ours = takeUp(context, id, { reach, place });
    if (ours !== undefined) return { mount: keep(ours), found: true };
    refuseNested(reach);
    try {
      return { mount: keep(makeMount(context, id, { reach, ...wanted })), found: false };
    } catch (error) {
      return undo(error, () => removeStandIn(context.home, reach));
    }
  });
}

/** Takes up the mount of this id if the container has one. */
export function adoptMount(
  context: MountContext,
  id: string,
  place: MountPlace,
): HeldMount | undefined {
  return reaching(context, { place, prefixes: anyPrefix }, (reach, keep) => {
    const held = takeUp(context, id, { reach, place });
    return held === undefined ? undefined : keep(held);
  });
}

export function findMounts(identity: MountProcess): FoundMount[] {
  using process = openProcess(identity);
  return tableOf(process).flatMap((entry) => {
    const id = idOf(entry);
    return id === undefined ? [] : [{ id, target: entry.mountPoint }];
  });
}

function openProcess(identity: MountProcess): HeldProcess {
  const process = HeldProcess.openSame({ pid: identity.pid, startTicks: identity.startTicks });
  if (process === undefined) throw new Fault('mount.process-gone', { pid: identity.pid });
  return process;
}

function tableOf(process: HeldProcess): readonly MountEntry[] {
  const text = process.read('mountinfo');
  if (text === undefined) throw new Fault('mount.process-gone', { pid: process.pid });
  return parseMountinfo(text);
}

/** Opens the way into a container for the duration of `act`; `keep` leaves it the process. */
function reaching<T>(
  context: MountContext,
  { place, prefixes }: { readonly place: MountPlace; readonly prefixes: readonly string[] },
  act: (reach: Reach, keep: (held: HeldMount) => HeldMount) => T,
): T {
  const segments = checkTarget(place.target, prefixes);
  using opened = new DisposableStack();
  const process = openProcess(place.process);
  let isKept = false;
  opened.defer(() => {
    if (!isKept) process[Symbol.dispose]();
  });
  const { pid } = process;
  const namespace = process.openMountNamespace();
  if (namespace === undefined) throw new Fault('mount.process-gone', { pid });
  const namespaceFd = opened.adopt(namespace.fd, close);
  if (namespace.inode === context.homeInode) throw new Fault('mount.namespace-own', { pid });
  if (namespace.inode !== place.process.mountNamespace) {
    throw new Fault('mount.namespace-changed', { pid });
  }
  const root = process.openRoot();
  if (root === undefined) throw new Fault('mount.process-gone', { pid });
  const rootFd = opened.adopt(root, close);
  const mounts = tableOf(process);
  refuseSlow(segments, mounts);
  return act({ process, namespaceFd, rootFd, segments, mounts }, (held) => {
    isKept = true;
    return held;
  });
}

/**
 * There is no room for a directory where a set lies, and a set would hide what lies below it.
 *
 * @throws Fault `mount.target-nested`
 */
function refuseNested({ segments, mounts }: Reach): void {
  const target = `/${segments.join('/')}`;
  const other = mounts.find(
    (entry) =>
      idOf(entry) !== undefined &&
      (target.startsWith(`${entry.mountPoint}/`) || entry.mountPoint.startsWith(`${target}/`)),
  );
  if (other !== undefined) {
    throw new Fault('mount.target-nested', { target, other: other.mountPoint });
  }
}

interface NewMount {
  readonly reach: Reach;
  readonly place: MountPlace;
  readonly set: CommandSet;
  readonly contents: Uint8Array;
}

function makeMount(context: MountContext, id: string, wanted: NewMount): HeldMount {
  const { reach, place } = wanted;
  const owner = SetOwner.of(reach.process);
  const set = owner.resolve(wanted.set, wanted.contents);
  const keeping = set.files.find((file) => file.content === 'keep');
  if (keeping !== undefined) throw new Fault('mount.keep-unknown', { name: keeping.name });

  const targetFd = openTarget(context, reach);
  try {
    const { target } = place;
    if (!isEmptyDirectory(targetFd)) throw new Fault('mount.target-occupied', { target });
    // Read anew: a stand-in may have been mounted.
    refuseShared(targetFd, tableOf(reach.process), target);
    const viewFd = createTmpfs({
      source: `${sourcePrefix}${id}`,
      ...roomOfSets(),
      mode: rootMode,
      noswap: context.noswap(),
    });
    try {
      const filled = fill(viewFd, id, set);
      makeReadOnly(viewFd);
      return attach(context, { id, reach, owner, viewFd, targetFd, filled });
    } catch (error) {
      close(viewFd);
      throw error;
    }
  } finally {
    close(targetFd);
  }
}

/** The target's directory, which is made if it is missing. */
function openTarget(context: MountContext, reach: Reach): number {
  const { process, rootFd, segments } = reach;
  const there = makeTargetDirectory(rootFd, segments, rootOf(process));
  if (there.missing.length === 0) return there.fd;
  try {
    makeByStandIn(context, reach, there);
  } finally {
    close(there.fd);
  }
  const fd = findTargetDirectory(rootFd, segments);
  if (fd !== undefined) return fd;
  throw new Fault('mount.target-missing', { target: `/${segments.join('/')}` });
}

/** Root inside; the host's where the container's user namespace has none. */
function rootOf(process: HeldProcess): Owner {
  return { uid: process.outsideId('uid', 0) ?? 0, gid: process.outsideId('gid', 0) ?? 0 };
}

/** Puts the set into a tmpfs that nobody sees yet. */
function fill(mountFd: number, id: string, set: NewSet): StoredSet {
  const baseFd = openat(mountFd, '.', O_RDONLY | O_DIRECTORY);
  try {
    fchown(baseFd, set.owner.uid, set.owner.gid);
    fchmod(baseFd, set.mode);
    mark(baseFd, id);
    const stored = writeSet(baseFd, set, undefined);
    showSet(baseFd, stored);
    alignNames(baseFd, stored, []);
    return stored;
  } finally {
    close(baseFd);
  }
}

interface Attaching {
  readonly id: string;
  readonly reach: Reach;
  readonly owner: SetOwner;
  readonly viewFd: number;
  readonly targetFd: number;
  readonly filled: StoredSet;
}

/**
 * Attaches the view, and looks whether the container sees it where it should be. What is seen but not held
 * could never be taken away again: it is erased and detached.
 */
function attach(context: MountContext, attaching: Attaching): HeldMount {
  const { id, reach, owner, viewFd, targetFd, filled } = attaching;
  const { process, segments, namespaceFd } = reach;
  const { home } = context;
  const writableFd = attachInside(home, namespaceFd, { mountFd: viewFd, targetFd });
  let baseFd: number | undefined;
  try {
    baseFd = openWritable(writableFd);
    const { mountId } = statx(viewFd);
    const state = inspectMount(process, segments, mountId);
    if (state === 'gone') throw new Fault('mount.process-gone', { pid: process.pid });
    if (state !== 'in-place') {
      throw new Fault('mount.failed', { target: `/${segments.join('/')}`, state });
    }
    const parts = { id, segments, process, owner, baseFd, viewFd, mountId };
    return new HeldMount({ ...parts, set: filled });
  } catch (error) {
    return undo(
      error,
      () => {
        if (baseFd !== undefined) close(baseFd);
      },
      () => eraseView(home, namespaceFd, viewFd),
      () => detachIfThere(home, namespaceFd, viewFd),
    );
  }
}

function eraseView(home: HomeNamespace, namespaceFd: number, viewFd: number): void {
  const baseFd = openWritable(cloneInside(home, namespaceFd, viewFd));
  try {
    hideSet(baseFd);
    eraseAll(baseFd);
  } finally {
    close(baseFd);
  }
}

/** Does all of it, whatever comes of it, and throws what went wrong first. */
function undo(error: unknown, ...acts: readonly (() => void)[]): never {
  const fail = (): never => {
    throw error;
  };
  forEach([fail, ...acts], (act) => act());
  return fail();
}

interface Existing {
  readonly reach: Reach;
  readonly place: MountPlace;
}

/** @returns undefined if what is at the target does not claim to be ours, or was half withdrawn. */
function takeUp(
  context: MountContext,
  id: string,
  { reach, place }: Existing,
): HeldMount | undefined {
  const { process, namespaceFd, segments } = reach;
  const targetFd = findTargetDirectory(reach.rootFd, segments);
  if (targetFd === undefined) return undefined;
  const fds = [targetFd];
  let isKept = false;
  try {
    if (fstatfs(targetFd).magic !== TMPFS_MAGIC) return undefined;
    const { mountId } = statx(targetFd);
    const entry = reach.mounts.find((one) => one.id === mountId);
    if (entry === undefined || idOf(entry) !== id) return undefined;

    const baseFd = openWritable(cloneInside(context.home, namespaceFd, targetFd));
    fds.push(baseFd);
    if (!isMarked(baseFd, id)) throw new Fault('mount.foreign', { id, target: place.target });
    const set = loadSet(baseFd);
    if (set === undefined) {
      detachIfThere(context.home, namespaceFd, targetFd);
      removeStandIn(context.home, reach);
      return undefined;
    }
    const { uid, gid } = statx(baseFd);
    const owner = new SetOwner(process, { uid, gid });
    const parts = { id, segments, process, owner, baseFd, viewFd: targetFd, mountId };
    const held = new HeldMount({ ...parts, set });
    isKept = true;
    return held;
  } finally {
    if (!isKept) for (const fd of fds) close(fd);
  }
}

/** Opens the layout's directory for writing, and lets go of the mount: the directory keeps it alive. */
function openWritable(mountFd: number): number {
  try {
    makeWritable(mountFd);
    return openat(mountFd, '.', O_RDONLY | O_DIRECTORY);
  } finally {
    close(mountFd);
  }
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

/** Of a set of ours, or of what imitates one. */
function idOf({ kind, source }: MountEntry): string | undefined {
  if (kind !== 'tmpfs' || !source.startsWith(sourcePrefix)) return undefined;
  return source.slice(sourcePrefix.length);
}
