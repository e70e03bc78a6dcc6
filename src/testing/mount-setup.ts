/**
 * Mounts for tests: opened with the system's clock, closed with the test.
 */
import { silentLog } from '../base/log.ts';
import { systemClock } from '../base/clock.ts';
import {
  type FileSet,
  type MountPlace,
  type Mounts,
  type MountsOptions,
  openMounts,
  type SetFile,
} from '../enforcer/mount/mount.ts';
import type { NamespaceContainer } from './namespace-container.ts';

export class TestMounts implements AsyncDisposable {
  readonly mounts: Mounts;

  constructor(options: Partial<MountsOptions> = {}) {
    this.mounts = openMounts({ clock: systemClock, log: silentLog, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mounts.close();
  }
}

export function placeIn(container: NamespaceContainer, target = '/run/secrets'): MountPlace {
  return { process: container, target };
}

/** A set whose files hold these texts. */
export function setOf(revision: number, texts: Readonly<Record<string, string>>): FileSet {
  const files = Object.entries(texts).map(([name, text]): SetFile => {
    return { name, mode: 0o400, content: Buffer.from(text) };
  });
  return { revision, files };
}
