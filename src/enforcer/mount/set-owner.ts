/**
 * Who owns the files of a mount, and with what modes the directories above them let readers through.
 */
import { Fault } from '../../base/fault.ts';
import type { HeldProcess } from '../../linux/process.ts';
import type { NewFile, NewSet } from './file-set.ts';
import type { CommandFile, CommandSet } from './mount-command.ts';

export class SetOwner {
  readonly uid: number;
  readonly gid: number;
  readonly #process: HeldProcess;
  readonly #outside = new Map<string, number>();

  /** @param owner - Host ids, of directories and of files that name no other owner. */
  constructor(process: HeldProcess, owner: { readonly uid: number; readonly gid: number }) {
    this.#process = process;
    this.uid = owner.uid;
    this.gid = owner.gid;
  }

  /** @throws Fault `mount.owner-unmapped` */
  resolve(set: CommandSet, contents: Uint8Array): NewSet {
    const files = set.files.map((file): NewFile => {
      const { name, mode, content } = file;
      return {
        name,
        mode,
        ...this.#ownerOf(file),
        content:
          content === undefined
            ? 'keep'
            : contents.subarray(content.offset, content.offset + content.length),
      };
    });
    const { revision } = set;
    return { revision, files, mode: directoryMode(files, this), uid: this.uid, gid: this.gid };
  }

  #ownerOf(file: CommandFile): { readonly uid: number; readonly gid: number } {
    return {
      uid: file.uid === undefined ? this.uid : this.#outsideId('uid', file.uid),
      gid: file.gid === undefined ? this.gid : this.#outsideId('gid', file.gid),
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
  files: readonly Pick<NewFile, 'mode' | 'uid' | 'gid'>[],
  owner: { readonly uid: number; readonly gid: number },
): number {
  const everyone = files.some(
    ({ mode, uid, gid }) =>
      uid !== owner.uid || (mode & 0o007) !== 0 || ((mode & 0o070) !== 0 && gid !== owner.gid),
  );
  if (everyone) return 0o555;
  return files.some(({ mode }) => (mode & 0o070) !== 0) ? 0o550 : 0o500;
}
