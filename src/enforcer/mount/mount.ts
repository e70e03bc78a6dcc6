/**
 * Mounts: puts whole sets of files into the memory of running containers, changes them and takes
 * them away again. The face of the room.
 *
 * One mount is one private tmpfs at one directory of one container. The enforcer keeps the only
 * writable handle; the container gets a read-only view; the host's mount table shows nothing.
 *
 * Promises
 *   - A reader that opens `..data` in the target directory once per set sees the old set or the new one,
 *     and no mixture of them, however long it takes. A replaced set is whole for 250 ms (`graceMs`), and gone
 *     after twice that at the latest; who takes longer to read it finds files missing, or empty.
 *     So does who reads while changes come faster than the tmpfs has room for what they replaced in that
 *     time: the oldest sets go first. There is room for the largest set there can be, or for a few hundred
 *     pages of smaller ones. What is withdrawn, taken out of a set, or replaced urgently goes at once.
 *   - What `withdraw` and a set without a name took away is empty for descriptors that are still
 *     open, before the promise resolves. What an application has read already, it has.
 *   - No path that a container controls is ever followed: not through symbolic links, not twice.
 *   - An enforcer that is killed at any point leaves mounts that `adopt` takes up again, or nothing.
 *   - Contents are copied out of the caller's buffers before `place` returns its promise, and these
 *     copies are wiped. The caller wipes its own.
 * Does not promise
 *   - Anything against a process with CAP_SYS_ADMIN over the container's mount namespace: it can
 *     unmount or cover what is ours. `inspect` tells.
 *   - That a mount survives the container. A restarted container is a new place.
 *   - An answer, if a process with CAP_SYS_ADMIN over the host's user namespace holds up our own opening
 *     of our own files (fanotify), or puts a file system that never answers (FUSE) on the way to its
 *     target just when we look for it. The log says `mount.stuck`.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { WorkloadProcess } from '../../model/workload.ts';
import { targetPrefixesDefault } from './target.ts';
import { WorkerMounts } from './worker-mounts.ts';

/** The process whose mount namespace is meant, and that its number is not another's by now. */
export type MountProcess = Pick<WorkloadProcess, 'pid' | 'startTicks' | 'mountNamespace'>;

/** Where a set goes: one directory in the mount namespace of one process. */
export interface MountPlace {
  /** Whom it runs as owns the directories and the files that name no other owner: see `tend`. */
  readonly process: MountProcess;
  /** Absolute directory inside the container; see `checkTarget`. Usually /run/secrets. */
  readonly target: string;
}

export interface SetFile {
  /** One path segment: letters, digits, `.`, `_`, `-`; no leading dot; up to 253. */
  readonly name: string;
  /** Permission bits, 0o000 … 0o777; 0o400 unless there is a reason. */
  readonly mode: number;
  /** As numbered inside the container; whom the process runs as when left out. */
  readonly uid?: number;
  readonly gid?: number;
  /** `keep`: the same bytes as the file of this name has in the set that is in place. */
  readonly content: Uint8Array | 'keep';
}

export interface FileSet {
  /** Must rise with every change, also when files are only taken away. */
  readonly revision: number;
  readonly files: readonly SetFile[];
  /**
   * Replaced values stay readable for a moment, for readers who have the old directory open. When
   * urgent (a leaked or revoked version) they are emptied before the promise resolves instead.
   */
  readonly urgent?: boolean;
}

/**
 * Our mount, as seen from inside the container.
 *   in-place      on top at the target, read-only, nosuid, nodev, noexec
 *   altered       on top, but its flags were changed
 *   over-mounted  something else covers it
 *   unmounted     it is not at the target any more
 *   gone          the container has ended
 */
export type MountState = 'in-place' | 'altered' | 'over-mounted' | 'unmounted' | 'gone';

export interface PlaceResult {
  /** `unchanged`: this revision was there already. */
  readonly outcome: 'mounted' | 'rotated' | 'unchanged';
  readonly revision: number;
  /** Looked up after the change. A receipt is true only when this is `in-place`. */
  readonly state: MountState;
}

export interface WithdrawResult {
  /** `absent`: no mount of this id was held. `gone`: the container had ended; our copy is wiped too. */
  readonly outcome: 'withdrawn' | 'absent' | 'gone';
}

export interface AdoptedFile {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
}

export interface Adopted {
  readonly revision: number;
  readonly files: readonly AdoptedFile[];
}

/** A mount of ours found in a container. */
export interface FoundMount {
  readonly id: string;
  readonly target: string;
}

export interface Mounts {
  /**
   * Mounts a new set, or swaps the set if one is held under this id. One that somebody inside unmounted
   * is let go, and mounted anew if its place is free.
   *
   * @param id - Names the mount across restarts: letters, digits, `.`, `_`, `:`, `-`; up to 128. The
   *   container can see it.
   * @throws Fault `mount.target-invalid`, `mount.target-symlink`, `mount.target-missing`,
   *   `mount.target-occupied`, `mount.target-shared`, `mount.target-remote`: it cannot be used.
   * @throws Fault `mount.target-nested`: another set lies in it, or it in another set.
   * @throws Fault `mount.process-gone`, `mount.namespace-changed`, `mount.namespace-own`: it has ended
   *   or the number is another's now; it is elsewhere than it was; it is in no container.
   * @throws Fault `mount.sandboxed`: what runs inside would not see it.
   * @throws Fault `mount.foreign`: see `adopt`.
   * @throws Fault `mount.stale`: a later revision is in place already.
   * @throws Fault `mount.keep-unknown`: there is no file to keep under that name.
   * @throws Fault `mount.owner-unmapped`: an owner has no number outside the container.
   * @throws Fault `mount.full`, `mount.failed`: no room, or the kernel refused. The old set is as it was,
   *   after any of these, unless it was unmounted.
   * @throws Fault `mount.swappable`: this kernel cannot keep a tmpfs out of swap, and swap is on.
   */
  place(id: string, place: MountPlace, set: FileSet): Promise<PlaceResult>;

  /**
   * Overwrites, truncates, removes, then unmounts. Repeating it does no harm. If the container has
   * mounted something over it, ours stays beneath, empty.
   */
  withdraw(id: string): Promise<WithdrawResult>;

  /**
   * Takes up a mount that an earlier enforcer left, without changing what its readers see.
   *
   * @returns undefined if there is no whole set of ours under this id; what was left of a half
   *   withdrawn one has been wiped and unmounted then.
   * @throws Fault `mount.foreign`: something pretends to be ours.
   */
  adopt(id: string, place: MountPlace): Promise<Adopted | undefined>;

  /** Lists the mounts in a container that bear our mark, whoever holds them. */
  find(process: MountProcess): Promise<readonly FoundMount[]>;

  /** @returns `gone` also when no mount of this id is held. */
  inspect(id: string): Promise<MountState>;

  /**
   * Gives the files to whom the process runs as by now, then as `inspect`. `place` does so too, and in the
   * first seconds after it has mounted, when images that start as root become another user, it is done
   * without being asked. What is open stays open; watchers are told of no new set.
   */
  tend(id: string): Promise<MountState>;

  /**
   * Nothing is answered for longer than anything takes, or ever again: what is asked now may never be
   * done.
   */
  readonly isStuck: boolean;

  /**
   * Rejects when a bug has ended the thread that makes the calls. What is in place stays; nothing can be
   * changed or taken away any more but by new mounts, and those belong to a new process.
   */
  readonly ended: Promise<never>;

  /** Lets go of everything and leaves the mounts in place, for the next enforcer to adopt. */
  close(): Promise<void>;
}

export interface MountsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Directories at or below which sets may be mounted; /run/secrets and /run/coffer when left out. */
  readonly targetPrefixes?: readonly string[];
  /** How long a replaced value stays readable at least, in milliseconds. */
  readonly graceMs?: number;
}

/** Mounts in this kernel. Needs root's capabilities. */
export function openMounts(options: MountsOptions): Mounts {
  return new WorkerMounts({
    clock: options.clock,
    log: options.log,
    targetPrefixes: options.targetPrefixes ?? targetPrefixesDefault,
    graceMs: options.graceMs ?? limits.replacedValueGraceMs,
  });
}
