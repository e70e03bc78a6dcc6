/**
 * What may be mounted where and under which names: the checks that need no kernel.
 *
 * One function decides on a target. It accepts one spelling only; nothing is folded (THREAT-MODEL,
 * V22). What the target really is inside the container, `target-directory.ts` finds out.
 */
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { FileSet } from './mount.ts';

/** Below these (or at them) a set may be mounted unless the operator says otherwise. */
export const targetPrefixesDefault = ['/run/secrets', '/run/coffer', '/var/run/secrets'] as const;

/**
 * For what is taken up or taken away: it bears our mark, and was allowed when it was placed. Another
 * program, such as the watchdog, or a later enforcer may have been told other directories.
 */
export const anyPrefix = [''] as const;

/** Never, whatever the operator says: the kernel's own, and the root. */
const forbiddenPrefixes = ['/proc', '/sys', '/dev'] as const;

const targetCharsMax = 255;
const targetPattern = /^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63})+$/;
const fileNamePattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$/;
const idPattern = /^[A-Za-z0-9._:-]{1,128}$/;

/**
 * Splits a target into its segments.
 *
 * @throws Fault `mount.target-invalid`
 */
export function checkTarget(target: string, prefixes: readonly string[]): readonly string[] {
  const sound =
    target.length <= targetCharsMax &&
    targetPattern.test(target) &&
    !forbiddenPrefixes.some((prefix) => isAtOrBelow(target, prefix)) &&
    prefixes.some((prefix) => isAtOrBelow(target, prefix));
  if (!sound) throw new Fault('mount.target-invalid', { target: target.slice(0, targetCharsMax) });
  return target.slice(1).split('/');
}

function isAtOrBelow(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

export function isFileName(name: string): boolean {
  return fileNamePattern.test(name);
}

export function isMountId(id: string): boolean {
  return idPattern.test(id);
}

/**
 * Checks names, modes, owners and sizes. What is kept counts at its real size later.
 *
 * @throws Fault `mount.set-invalid`, `limit.exceeded`
 */
export function checkSet(set: FileSet): void {
  const names = new Set(set.files.map((file) => file.name));
  let bytes = 0;
  for (const file of set.files) {
    if (!isFileName(file.name)) throw new Fault('mount.set-invalid', { at: 'name' });
    if (!isIntegerUpTo(file.mode, 0o777)) throw new Fault('mount.set-invalid', { at: 'mode' });
    if (!isIntegerUpTo(file.uid ?? 0, ownerMax))
      throw new Fault('mount.set-invalid', { at: 'uid' });
    if (!isIntegerUpTo(file.gid ?? 0, ownerMax))
      throw new Fault('mount.set-invalid', { at: 'gid' });
    bytes += file.content === 'keep' ? 0 : file.content.length;
  }
  if (names.size !== set.files.length) throw new Fault('mount.set-invalid', { at: 'name' });
  if (!isIntegerUpTo(set.revision, Number.MAX_SAFE_INTEGER)) {
    throw new Fault('mount.set-invalid', { at: 'revision' });
  }
  if (set.files.length > limits.setFilesMax || bytes > limits.setBytesMax) {
    throw new Fault('limit.exceeded', { files: set.files.length, bytes });
  }
}

/** The highest number means "no id" to the kernel. */
const ownerMax = 4_294_967_294;

function isIntegerUpTo(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max;
}
