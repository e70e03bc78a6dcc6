/**
 * Reads a file inside containers, from a process of its own: through /proc/PID/root, that is through
 * each container's own mount. It sleeps until inotify names the file or the link that decides what is
 * read, then reads; a slow poll is there in case an unmount says nothing. More looks would take the processor
 * from what is measured. The time it notes is that after reading, so it is never too early.
 */
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { sharedMs } from './shared-clock.ts';
import type { FromReader, ToReader } from './propagate-messages.ts';

interface Watched {
  readonly pid: number;
  watcher: FSWatcher | undefined;
  seenMs: number | undefined;
}

const pollEveryMs = 25;
/** What the file's name leads through, see `mount/file-set.ts`. */
const decidingName = '..data';
let file = '';
let content: string | undefined;
let waiting = 0;
let watched: readonly Watched[] = [];

process.on('message', (message: ToReader) => {
  if (message.kind === 'watch') startWatching(message);
  else expect(message.content);
});
process.on('disconnect', () => process.exit(0));
setInterval(() => {
  if (waiting === 0) return;
  for (const container of watched) look(container);
}, pollEveryMs);

function say(message: FromReader): void {
  process.send?.(message);
}

function startWatching(message: Extract<ToReader, { kind: 'watch' }>): void {
  for (const { watcher } of watched) watcher?.close();
  ({ file } = message);
  waiting = 0;
  watched = message.pids.map((pid): Watched => {
    const container: Watched = { pid, watcher: undefined, seenMs: undefined };
    const watcher = watch(`/proc/${pid}/root/run/secrets`, (_event, name) => {
      if (name === decidingName || name === file || name === null) look(container);
    });
    watcher.on('error', () => {});
    container.watcher = watcher;
    return container;
  });
  say({ kind: 'watching' });
}

function expect(wanted: string | undefined): void {
  content = wanted;
  waiting = watched.length;
  for (const container of watched) {
    container.seenMs = undefined;
    look(container);
  }
}

function look(container: Watched): void {
  if (waiting === 0 || container.seenMs !== undefined) return;
  if (contentIn(container.pid) !== content) return;
  container.seenMs = sharedMs();
  waiting -= 1;
  if (waiting === 0) say({ kind: 'seen', atMs: watched.map(({ seenMs }) => seenMs ?? 0) });
}

function contentIn(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/root/run/secrets/${file}`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
