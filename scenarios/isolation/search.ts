/** What a container finds of values when its own user looks everywhere that it can look. */
import type { TestContainer } from '../../src/testing/container.ts';

/** Values are this, the number of their set, and a dash. */
export const valueOf = (mark: string, index: number): string => `${mark}-${index}-`;

/**
 * Its own files, all of them; and of every process that it sees: the root and the directory it is in, below
 * every place where sets, volumes and shared memory are; the open files; the environment.
 *
 * @param processes - Those to look into; all that it sees unless given.
 */
export async function search(
  container: TestContainer,
  mark: string,
  processes: readonly (number | string)[] = ['[0-9]*'],
): Promise<readonly number[]> {
  const looked = `
    look() { xargs -0 -r -n 64 cat -- 2>/dev/null | grep -ao "$0-[0-9]*-" ; }
    find / \\( -path /proc -o -path /sys \\) -prune -o -type f -print0 2>/dev/null | look
    for process in ${processes.map((process) => `/proc/${process}`).join(' ')}; do
      for place in run common tmp dev/shm var; do
        find $process/root/$place/ $process/cwd/$place/ -type f -print0 2>/dev/null | look
      done
      find -L $process/fd/ -type f -print0 2>/dev/null | look
      grep -ao "$0-[0-9]*-" $process/environ 2>/dev/null
    done
    echo done`;
  const { stdout, stderr } = await container.exec(['sh', '-c', looked, mark]);
  const lines = stdout.trim().split('\n');
  if (lines.at(-1) !== 'done') throw new Error(`the search did not end: ${stderr}`);
  const found = lines.flatMap((line) => {
    const [, index] = new RegExp(`^${mark}-(\\d+)-$`).exec(line) ?? [];
    return index === undefined ? [] : [Number(index)];
  });
  return [...new Set(found)].toSorted((left, right) => left - right);
}
