/**
 * Who owns the files of a mount, and with what modes the directories above them let readers through.
 *
 * It is whom the container's first process runs as by now, unless another was chosen for a file: many images
 * start as root and become another user on the way to their program.
 */
import { Fault } from '../../base/fault.ts';
import type { Owner } from '../../linux/libc.ts';
import type { HeldProcess } from '../../linux/process.ts';
import { isSameOwner, type NewFile, type NewSet } from './file-set.ts';
import type { CommandFile, CommandSet } from './mount-command.ts';

export class SetOwner {
  readonly #process: HeldProcess;
  readonly #outside = new Map<string, number>();
  #ids: Owner;

  /** @param ids - Host ids, of directories and of files that name no other owner. */
  constructor(process: HeldProcess, ids: Owner) {
    this.#process = process;
    this.#ids = ids;
  }

  /** @throws Fault `mount.process-gone` */
  static of(process: HeldProcess): SetOwner {
    const ids = process.owner();
    if (ids === undefined) throw new Fault('mount.process-gone', { pid: process.pid });
    return new SetOwner(process, ids);
  }

  get ids(): Owner {
    return this.#ids;
  }

  /** Looks who it is by now. @returns whether it is another than before */
  follow(): boolean {
    const before = this.#ids;
    this.#ids = this.#process.owner() ?? before;
    return !isSameOwner(before, this.#ids);
  }

  /** @throws Fault `mount.owner-unmapped` */
  resolve(set: CommandSet, contents: Uint8Array): NewSet {
    const files = set.files.map((file): NewFile => {
      const { name, mode, content } = file;
      return {
        name,
        mode,
        chosen: this.#chosenFor(file),
        content:
          content === undefined
            ? 'keep'
            : contents.subarray(content.offset, content.offset + content.length),
      };
    });
    const { revision } = set;
    return { revision, files, mode: directoryMode(files, this.#ids), owner: this.#ids };
  }

  #chosenFor({ uid, gid }: CommandFile): Partial<Owner> {
    return {
      ...(uid === undefined ? {} : { uid: this.#outsideId('uid', uid) }),
      ...(gid === undefined ? {} : { gid: this.#outsideId('gid', gid) }),
    };
  }

  /** Maps do not change once they are written, so each id is asked for once. */
  #outsideId(kind: 'uid' | 'gid', inside: number): number {
    const key = `${kind} ${inside}`;
    const known = this.#outside.get(key) ?? this.#process.outsideId(kind, inside);
    if (known === undefined) throw new Fault('mount.owner-unmapped', { [kind]: inside });
    this.#outside.set(key, known);
    return known;
  }
}

/** The least that lets everyone through who may read at least one of the files. */
export function directoryMode(
  files: Iterable<Pick<NewFile, 'mode' | 'chosen'>>,
  owner: Owner,
): number {
  let mode = 0o500;
  for (const { mode: bits, chosen } of files) {
    const { uid, gid } = { ...owner, ...chosen };
    const isForGroup = (bits & 0o070) !== 0;
    if (uid !== owner.uid || (bits & 0o007) !== 0 || (isForGroup && gid !== owner.gid))
      return 0o555;
    if (isForGroup) mode = 0o550;
  }
  return mode;
}
