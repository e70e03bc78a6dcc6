/**
 * Mounts without a kernel: what each container would see, in memory. Keeps the contract of
 * `enforcer/mount`, its order and its faults; outlives the enforcer, as real mounts do.
 */
import { Fault } from '../base/fault.ts';
import type {
  Adopted,
  FileSet,
  FoundMount,
  MountPlace,
  MountProcess,
  MountState,
  Mounts,
  PlaceResult,
  WithdrawResult,
} from '../enforcer/mount/mount.ts';

export interface FakeFile {
  readonly content: string;
  readonly mode: number;
}

export interface FakeMount {
  readonly id: string;
  readonly target: string;
  readonly process: MountProcess;
  revision: number;
  files: ReadonlyMap<string, FakeFile>;
}

/** The kernel's side: mounts by process. Shared by one enforcer after another. */
export class FakeKernel {
  readonly mounts = new Map<string, FakeMount>();
  readonly ended = new Set<string>();
  /** Called before each change: may throw, to fail it. */
  before: (what: 'place' | 'withdraw' | 'adopt', id: string) => void = () => {};
  /** It says that it does not answer; it does. */
  isStuck = false;
  /** What a container made of a mount that is there. */
  shown: (id: string) => MountState = () => 'in-place';

  /** What a process in the container reads: file name to content. */
  read(process: MountProcess, target = '/run/secrets'): ReadonlyMap<string, string> {
    const mount = [...this.mounts.values()].find(
      (m) => same(m.process, process) && m.target === target,
    );
    return new Map([...(mount?.files ?? [])].map(([name, file]) => [name, file.content]));
  }

  end(process: MountProcess): void {
    this.ended.add(keyOf(process));
    for (const [id, mount] of this.mounts) if (same(mount.process, process)) this.mounts.delete(id);
  }
}

export class FakeMounts implements Mounts {
  readonly #kernel: FakeKernel;
  readonly #held = new Map<string, MountProcess>();

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel;
  }

  get isStuck(): boolean {
    return this.#kernel.isStuck;
  }

  async place(id: string, place: MountPlace, set: FileSet): Promise<PlaceResult> {
    // Copied before the first await, as the contract says.
    const given = set.files.map((file) => ({
      ...file,
      text: file.content === 'keep' ? undefined : Buffer.from(file.content).toString('utf8'),
    }));
    this.#kernel.before('place', id);
    await Promise.resolve();
    if (this.#kernel.ended.has(keyOf(place.process))) throw new Fault('mount.process-gone');
    const there = this.#kernel.mounts.get(id);
    if (there && there.revision > set.revision) throw new Fault('mount.stale');
    const files = new Map<string, FakeFile>();
    for (const { name, mode, text } of given) {
      const content = text ?? there?.files.get(name)?.content;
      if (content === undefined) throw new Fault('mount.keep-unknown');
      files.set(name, { content, mode });
    }
    const { process, target } = place;
    this.#kernel.mounts.set(id, { id, target, process, revision: set.revision, files });
    this.#held.set(id, process);
    const outcome = there ? 'rotated' : 'mounted';
    return { outcome, revision: set.revision, state: this.#kernel.shown(id) };
  }

  async withdraw(id: string): Promise<WithdrawResult> {
    this.#kernel.before('withdraw', id);
    await Promise.resolve();
    this.#held.delete(id);
    return { outcome: this.#kernel.mounts.delete(id) ? 'withdrawn' : 'absent' };
  }

  async adopt(id: string, place: MountPlace): Promise<Adopted | undefined> {
    this.#kernel.before('adopt', id);
    await Promise.resolve();
    const there = this.#kernel.mounts.get(id);
    if (!there || !same(there.process, place.process)) return undefined;
    this.#held.set(id, place.process);
    const files = [...there.files].map(([name, { mode, content }]) => ({
      name,
      mode,
      size: content.length,
    }));
    return { revision: there.revision, files };
  }

  async find(process: MountProcess): Promise<readonly FoundMount[]> {
    await Promise.resolve();
    const found = [...this.#kernel.mounts.values()].filter((mount) => same(mount.process, process));
    return found.map(({ id, target }) => ({ id, target }));
  }

  async inspect(id: string): Promise<MountState> {
    await Promise.resolve();
    const process = this.#held.get(id);
    if (process === undefined || this.#kernel.ended.has(keyOf(process))) return 'gone';
    // Somebody else took it away.
    return this.#kernel.mounts.has(id) ? this.#kernel.shown(id) : 'unmounted';
  }

  async close(): Promise<void> {
    await Promise.resolve();
    this.#held.clear();
  }
}

function keyOf(process: MountProcess): string {
  return `${process.pid}:${process.startTicks}`;
}

function same(left: MountProcess, right: MountProcess): boolean {
  return keyOf(left) === keyOf(right);
}
