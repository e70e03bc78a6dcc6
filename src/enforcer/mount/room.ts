/**
 * Room in the tmpfs of a set: for the largest set in place, the largest that is being written beside it,
 * their names, and as much again for sets that were replaced and may still be read. Those are many if they
 * are small, and one if it is as large as may be.
 *
 * Counted as tmpfs counts: pages of contents, and inodes, which are directories and names of files. What is
 * kept from one set to the next has one content under several names.
 */
import { limits } from '../../base/limits.ts';
import { fstatfs, pageSize } from '../../linux/libc.ts';
import type { StoredSet } from './file-set.ts';

export interface Room {
  readonly pages: number;
  readonly inodes: number;
}

/** For each file its last page, which it need not fill. */
const largest = (): Room => ({
  pages: Math.ceil(limits.setBytesMax / pageSize()) + limits.setFilesMax,
  inodes: limits.setFilesMax + 1,
});

/** The names that lead to the set in place: a long one takes a page. And a few of ours. */
const slack = 16;
const names: Room = { pages: limits.setFilesMax + slack, inodes: limits.setFilesMax + slack };

/** Of a new tmpfs. */
export function roomOfSets(): { readonly bytesMax: number; readonly inodesMax: number } {
  const { pages, inodes } = largest();
  const replaced: Room = { pages, inodes: 2 * pages };
  return {
    bytesMax: (2 * pages + names.pages + replaced.pages) * pageSize(),
    inodesMax: 2 * inodes + names.inodes + replaced.inodes,
  };
}

/** What of it replaced sets may take, in the tmpfs that this is a directory of. */
export function roomForReplaced(baseFd: number): Room {
  const { blocks, files } = fstatfs(baseFd);
  const { pages, inodes } = largest();
  return {
    pages: blocks - 2 * pages - names.pages,
    inodes: files - 2 * inodes - names.inodes,
  };
}

/** Whether they take no more. What they share with the set in place is its own. */
export function fits(replaced: readonly StoredSet[], current: StoredSet, room: Room): boolean {
  const contents = new Set(replaced.flatMap(({ files }) => [...files.values()]));
  for (const shared of current.files.values()) contents.delete(shared);
  let pages = 0;
  for (const { size } of contents) pages += Math.ceil(size / pageSize());
  const inodes = replaced.reduce((sum, { files }) => sum + 1 + files.size, 0);
  return pages <= room.pages && inodes <= room.inodes;
}
