/** An assigned set as the mounts take it. */
import type { AssignedSet } from '../model/assignment.ts';
import type { SetFile } from './mount/mount.ts';

/** The set's files with their bytes lent: `Mounts.place` copies them before it returns its promise. */
export function lend(set: AssignedSet): readonly SetFile[] {
  return set.files.map((file) => ({
    name: file.name,
    mode: file.mode,
    ...(file.uid === undefined ? {} : { uid: file.uid }),
    ...(file.gid === undefined ? {} : { gid: file.gid }),
    content: file.content === 'keep' ? 'keep' : file.content.use((bytes) => bytes),
  }));
}
