/** Everywhere that a secret could have been left: files, what processes show of themselves, mount tables. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Story } from '../../src/testing/story.ts';
import type { Canaries } from './canaries.ts';

/** `place: form`, for each that was found. */
export type Hits = readonly string[];

const gzipMagic = Buffer.of(0x1f, 0x8b);

/** Every directory that the programs of the story write to; what is in containers lies in the engine's. */
export function directoriesOf(story: Story): readonly string[] {
  return [story.installation.directory, dirname(story.engine.socketPath), '/dev/shm'];
}

export function hitsInFiles(canaries: Canaries, directory: string): Hits {
  return filesBelow(directory).flatMap((path) => {
    const bytes = ifThere(() => readFileSync(path));
    if (!bytes) return [];
    return [bytes, ...unzipped(bytes)].flatMap((content) =>
      canaries.in(content).map((form) => `${path}: ${form}`),
    );
  });
}

/** What anybody with an account may see of a process in /proc, and all that root may but its memory. */
export function hitsInProcess(canaries: Canaries, pid: number): Hits {
  return ['environ', 'cmdline', 'comm', 'mountinfo', 'status'].flatMap((name) => {
    const path = `/proc/${pid}/${name}`;
    return canaries.in(readFileSync(path)).map((form) => `${path}: ${form}`);
  });
}

/** What its descriptors are of: the same before and after, or something was left in its hands. */
export function descriptorsOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => `${fd} ${readlinkSync(`/proc/${pid}/fd/${fd}`)}`)
    .toSorted();
}

function filesBelow(directory: string): readonly string[] {
  const found: string[] = [];
  const dev = ifThere(() => lstatSync(directory).dev);
  for (const name of ifThere(() => readdirSync(directory)) ?? []) {
    const path = join(directory, name);
    const status = ifThere(() => lstatSync(path));
    // Not into mounts: overlays show what lies in the directories that they are made of.
    if (status?.dev !== dev || status === undefined) continue;
    if (status.isDirectory()) found.push(...filesBelow(path));
    else if (status.isFile()) found.push(path);
  }
  return found;
}

/** The engine makes and removes files all the time; what is gone holds nothing. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function unzipped(bytes: Buffer): readonly Buffer[] {
  if (!bytes.subarray(0, 2).equals(gzipMagic)) return [];
  try {
    return [gunzipSync(bytes)];
  } catch {
    return [];
  }
}
