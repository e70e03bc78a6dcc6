/**
 * Registrations: how a plain process is made known to the node. One JSON file per process, in a
 * directory that only root can enter, written by whoever started the process.
 *
 * Promises
 *   - A file is believed only if the same user as the enforcer's owns it and the directory, and nobody
 *     else can write to either.
 *   - Writing replaces the file as a whole; a reader never sees half of one.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { makeDirectory } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import * as schema from '../../base/schema.ts';

/** Group and others may write. */
const writableByOthers = 0o022;
const fileBytesMax = 64 * 1024;

const labelText = schema.string({ max: limits.containerLabelCharsMax });

const registrationSchema = schema.object({
  id: schema.string({ min: 1, max: 64, pattern: /^[A-Za-z0-9][A-Za-z0-9_-]*$/ }),
  name: schema.string({ min: 1, max: 253 }),
  pid: schema.integer({ min: 2, max: 2 ** 22 }),
  /** Clock ticks from boot to its start; see `WorkloadProcess`. */
  startTicks: schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  startedAtMs: schema.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  labels: schema.record(labelText, labelText, { max: limits.containerLabelsMax }),
  /** What it is, in words: `api 1.4`. Declared, so never more than a hint. */
  image: schema.optional(labelText),
});

export type Registration = schema.Infer<typeof registrationSchema>;

/** Makes the directory if need be. @throws Fault `runtime.refused` if others may write to it. */
export function openRegistrations(directory: string): void {
  makeDirectory(directory, 0o700);
  const stat = lstatSync(directory);
  if (!stat.isDirectory() || stat.uid !== ownUid() || (stat.mode & writableByOthers) !== 0) {
    throw new Fault('runtime.refused', { what: 'registrations', directory });
  }
}

export function register(directory: string, registration: Registration): void {
  const parsed = schema.parse(registrationSchema, registration, 'registration');
  openRegistrations(directory);
  // A dot in front: half-written files are not looked at.
  const temporary = join(directory, `.${parsed.id}`);
  writeFileSync(temporary, JSON.stringify(parsed), { mode: 0o600 });
  renameSync(temporary, join(directory, `${parsed.id}.json`));
}

export function unregister(directory: string, id: string): void {
  rmSync(join(directory, `${id}.json`), { force: true });
}

export function listRegistrations(directory: string): readonly string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
    .map((name) => name.slice(0, -'.json'.length));
}

/**
 * @returns undefined if there is none of that id.
 * @throws Fault `runtime.invalid` if the file cannot be believed or read.
 */
export function readRegistration(directory: string, id: string): Registration | undefined {
  let fd: number;
  try {
    fd = openSync(join(directory, `${id}.json`), constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Fault('runtime.invalid', { field: 'file', id }, { cause });
  }
  try {
    const stat = fstatSync(fd);
    const believable =
      stat.isFile() &&
      stat.uid === ownUid() &&
      (stat.mode & writableByOthers) === 0 &&
      stat.size <= fileBytesMax;
    if (!believable) throw new Fault('runtime.invalid', { field: 'owner', id });
    const found = parseRegistration(readFileSync(fd, 'utf8'), id);
    if (found.id !== id) throw new Fault('runtime.invalid', { field: 'id', id });
    return found;
  } finally {
    closeSync(fd);
  }
}

function parseRegistration(text: string, id: string): Registration {
  try {
    return schema.parse(registrationSchema, JSON.parse(text), 'registration');
  } catch (cause) {
    throw new Fault('runtime.invalid', { field: 'registration', id }, { cause });
  }
}

function ownUid(): number {
  return process.geteuid?.() ?? 0;
}
