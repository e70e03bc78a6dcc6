/** A control group whose memory can be pressed out of it, by either version of the kernel's interface. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const roots = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'];

export class MemoryGroup implements Disposable {
  readonly #path: string;

  /** @throws Error if there is none to be had. */
  constructor(name: string) {
    const root = roots.find((path) => existsSync(join(path, 'cgroup.procs')));
    if (root === undefined) throw new Error('no control groups: mount /sys/fs/cgroup');
    this.#path = join(root, name);
    mkdirSync(this.#path);
    if (!existsSync(join(this.#path, 'memory.stat'))) {
      this[Symbol.dispose]();
      throw new Error(
        'no memory control group: echo +memory > /sys/fs/cgroup/cgroup.subtree_control',
      );
    }
  }

  /** What these processes allocate from now on belongs to the group, also after their end. */
  get processesFile(): string {
    return join(this.#path, 'cgroup.procs');
  }

  take(pid: number): void {
    writeFileSync(this.processesFile, String(pid));
  }

  /** Of file systems in memory. */
  get sharedBytes(): number {
    const text = readFileSync(join(this.#path, 'memory.stat'), 'utf8');
    return Number(/^shmem (\d+)$/m.exec(text)?.[1]);
  }

  /** Has the kernel give up as many of its pages as it can. */
  press(): void {
    try {
      const old = join(this.#path, 'memory.force_empty');
      if (existsSync(old)) writeFileSync(old, '0');
      else writeFileSync(join(this.#path, 'memory.reclaim'), '1G swappiness=200');
    } catch (error) {
      // It could not give up all that was asked for.
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['EAGAIN', 'EBUSY', 'EINVAL'].includes(code)) throw error;
    }
  }

  [Symbol.dispose](): void {
    try {
      rmdirSync(this.#path);
    } catch {
      // Somebody's process is still in it.
    }
  }
}
