/**
 * One mount that is held: its writable handle, the view that is attached in the container, and the
 * sets inside. Runs on the thread that may visit namespaces; every call is synchronous.
 *
 * A change has two halves, so that many mounts can be changed before any of them is tidied: `change`
 * does what readers see, `settle` the rest.
 */
import { defined } from '../../base/assert.ts';
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import { close, fchmod, isErrno } from '../../linux/libc.ts';
import { detachIfThere, type HomeNamespace } from '../../linux/namespace.ts';
import { parseMountinfo } from '../../linux/mountinfo.ts';
import type { HeldProcess } from '../../linux/process.ts';
import {
  alignNames,
  dropFiles,
  eraseAll,
  eraseSet,
  forEach,
  giveSet,
  hideSet,
  type NewSet,
  showSet,
  type StoredSet,
  writeSet,
} from './file-set.ts';
import { inspectMount } from './inspect-mount.ts';
import type { MountState } from './mount.ts';
import type { CommandSet } from './mount-command.ts';
import { fits, type Room, roomForReplaced } from './room.ts';
import { directoryMode, type SetOwner } from './set-owner.ts';
import { removeStandIn } from './stand-in.ts';

/** What opening a mount left in our hands. */
export interface HeldMountParts {
  readonly id: string;
  readonly segments: readonly string[];
  readonly process: HeldProcess;
  readonly owner: SetOwner;
  /** Readable descriptor of the layout's directory, through a writable mount. */
  readonly baseFd: number;
  /** Path descriptor of the mount that is attached in the container. */
  readonly viewFd: number;
  readonly mountId: number;
  readonly set: StoredSet;
}

export class HeldMount {
  readonly #parts: HeldMountParts;
  readonly #retired: StoredSet[] = [];
  #set: StoredSet;
  #urgent = false;
  readonly #roomForReplaced: Room;
  /** It changed hands, and a call failed on the way. */
  #isHalfGiven = false;

  constructor(parts: HeldMountParts) {
    this.#parts = parts;
    this.#set = parts.set;
    this.#roomForReplaced = roomForReplaced(parts.baseFd);
  }

  get set(): StoredSet {
    return this.#set;
  }

  /** Whether it was made for this process and target. */
  isAt(pid: number, startTicks: number, target: string): boolean {
    const { process, segments } = this.#parts;
    const same = process.pid === pid && process.startTicks === startTicks;
    return same && `/${segments.join('/')}` === target;
  }

  /** Shows the set. On a fault, what was shown before is shown still. */
  change(set: CommandSet, contents: Uint8Array): 'rotated' | 'unchanged' {
    if (set.revision === this.#set.revision) return 'unchanged';
    if (set.revision < this.#set.revision) {
      throw new Fault('mount.stale', { revision: set.revision, inPlace: this.#set.revision });
    }
    this.#followOwner();
    const next = this.#parts.owner.resolve(set, contents);
    this.#refuseUnknownKept(next);
    const { baseFd } = this.#parts;
    const previous = this.#set;
    const written = writeSet(baseFd, next, previous);
    try {
      // Wide enough for both sets until the old one is tidied away.
      if ((written.mode | previous.mode) !== previous.mode)
        fchmod(baseFd, written.mode | previous.mode);
      showSet(baseFd, written);
    } catch (error) {
      eraseSet(baseFd, written);
      throw error;
    }
    this.#set = written;
    this.#urgent = set.urgent;
    this.#retired.push(previous);
    alignNames(baseFd, written, previous.files.keys());
    return 'rotated';
  }

  /**
   * Empties what the set in place has not, and all that was replaced if that was urgent. What was
   * replaced otherwise stays for readers who are in the middle of it, until `retire`, as far as there is room
   * for it beside the next set.
   *
   * @returns Whether something is left to retire.
   */
  settle(): boolean {
    const { baseFd } = this.#parts;
    const current = this.#set;
    const newest = this.#retired.at(-1);
    if (newest !== undefined && (newest.mode | current.mode) !== current.mode) {
      fchmod(baseFd, current.mode);
    }
    forEach(this.#retired, (set) => {
      const gone = [...set.files].filter(([name, file]) => {
        const shown = current.files.get(name);
        return shown === undefined || (this.#urgent && shown !== file);
      });
      dropFiles(
        baseFd,
        set,
        gone.map(([name]) => name),
      );
    });
    const isTooMuch = (): boolean =>
      this.#urgent || !fits(this.#retired, current, this.#roomForReplaced);
    try {
      while (this.#retired.length > 0 && isTooMuch()) this.#eraseOldest();
    } catch (error) {
      // A program holds it up; it may be read a while longer, and `retire` comes back to it.
      if (this.#urgent || !isErrno(error, 'EWOULDBLOCK')) throw error;
    }
    return this.#retired.length > 0;
  }

  /** Erases the replaced sets whose revision is lower. */
  retire(before: number): void {
    while (this.#retired.some(({ revision }) => revision < before)) this.#eraseOldest();
  }

  /** Gives the files to whom the process runs as by now, then as `inspect`. */
  tend(): MountState {
    this.#followOwner();
    return this.inspect();
  }

  inspect(): MountState {
    return inspectMount(this.#parts.process, this.#parts.segments, this.#parts.mountId);
  }

  /** Withdraws, first half: the names lead nowhere and every content is overwritten. */
  empty(): void {
    const { baseFd } = this.#parts;
    hideSet(baseFd);
    forEach([...this.#retired, this.#set], (set) => {
      dropFiles(baseFd, set, [...set.files.keys()]);
    });
  }

  /**
   * Withdraws, second half: removes what is left, unmounts unless it is covered, lets go. Until it has
   * returned, nothing is let go, so that a withdrawal that failed can be repeated.
   */
  remove(home: HomeNamespace): 'withdrawn' | 'gone' {
    const { baseFd, process, segments } = this.#parts;
    while (this.#retired.length > 0) this.#eraseOldest();
    // Also what an attempt at a set left behind that could not be erased then.
    eraseAll(baseFd);
    const namespace = process.openMountNamespace();
    try {
      if (namespace !== undefined && !this.#isCovered()) {
        detachIfThere(home, namespace.fd, this.#parts.viewFd);
        removeStandIn(home, { process, segments, namespaceFd: namespace.fd });
      }
    } finally {
      if (namespace !== undefined) close(namespace.fd);
    }
    this.release();
    return namespace === undefined ? 'gone' : 'withdrawn';
  }

  /** Lets go and leaves the mount in place. */
  release(): void {
    close(this.#parts.baseFd);
    close(this.#parts.viewFd);
    this.#parts.process[Symbol.dispose]();
  }

  /**
   * Whether the container mounted something over it. To detach by current directory would take that
   * away instead: it is the container's own, so ours stays beneath, empty.
   */
  #isCovered(): boolean {
    const { process, mountId } = this.#parts;
    if (this.inspect() === 'in-place') return false;
    const mounts = parseMountinfo(process.read('mountinfo') ?? '');
    return mounts.some((entry) => entry.parentId === mountId);
  }

  /** At once, also while a set waits to be written: who reads now should be able to. */
  #followOwner(): void {
    const { owner, baseFd } = this.#parts;
    if (!owner.follow() && !this.#isHalfGiven) return;
    this.#isHalfGiven = true;
    const mode = directoryMode(this.#set.files.values(), owner.ids);
    giveSet(baseFd, this.#set, { owner: owner.ids, mode });
    this.#isHalfGiven = false;
  }

  /** Let go of once it is erased. */
  #eraseOldest(): void {
    eraseSet(this.#parts.baseFd, defined(this.#retired[0], 'there is a retired set'));
    this.#retired.shift();
  }

  #refuseUnknownKept(next: NewSet): void {
    let bytes = 0;
    for (const { name, content } of next.files) {
      const size = content === 'keep' ? this.#set.files.get(name)?.size : content.length;
      if (size === undefined) throw new Fault('mount.keep-unknown', { name });
      bytes += size;
    }
    if (bytes > limits.setBytesMax) throw new Fault('limit.exceeded', { bytes });
  }
}
