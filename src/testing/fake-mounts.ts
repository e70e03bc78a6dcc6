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

  /** Called when the node, and nobody else, has taken a mount away. */
  withdrew: (mount: FakeMount) => void = () => {};

  hasEnded(process: MountProcess): boolean {
    return this.ended.has(keyOf(process));
  }

  end(process: MountProcess): void {
    this.ended.add(keyOf(process));
    for (const [id, mount] of this.mounts) if (same(mount.process, process)) this.mounts.delete(id);
  }
}

interface GivenFile {
  readonly name: string;
  readonly mode: number;
  readonly text: string | undefined;
}

export class FakeMounts implements Mounts {
  readonly ended = new Promise<never>(() => {});
  readonly #kernel: FakeKernel;
  readonly #held = new Map<string, MountProcess>();

  readonly #pause: () => Promise<void>;
  #tail: Promise<unknown> = Promise.resolve();

  /** @param pause - What each call takes; at once when left out. */
  constructor(kernel: FakeKernel, pause: () => Promise<void> = () => Promise.resolve()) {
    this.#kernel = kernel;
    this.#pause = pause;
  }

  get isStuck(): boolean {
    return this.#kernel.isStuck;
  }

  place(id: string, place: MountPlace, set: FileSet): Promise<PlaceResult> {
    // Copied before it returns, as the contract says.
    const given = set.files.map((file) => ({
      name: file.name,
      mode: file.mode,
      text: file.content === 'keep' ? undefined : Buffer.from(file.content).toString('utf8'),
    }));
    return this.#inTurn(() => this.#place(id, place, { revision: set.revision, given }));
  }

  #place(
    id: string,
    place: MountPlace,
    set: { readonly revision: number; readonly given: readonly GivenFile[] },
  ): PlaceResult {
    this.#kernel.before('place', id);
    this.#mustRun(place.process);
    const there = this.#kernel.mounts.get(id);
    if (there && there.revision > set.revision) throw new Fault('mount.stale');
    const files = new Map<string, FakeFile>();
    for (const { name, mode, text } of set.given) {
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

  withdraw(id: string): Promise<WithdrawResult> {
    return this.#inTurn(() => {
      const kernel = this.#kernel;
      kernel.before('withdraw', id);
      this.#held.delete(id);
      const there = kernel.mounts.get(id);
      if (!there) return { outcome: 'absent' };
      kernel.mounts.delete(id);
      kernel.withdrew(there);
      return { outcome: 'withdrawn' };
    });
  }

  adopt(id: string, place: MountPlace): Promise<Adopted | undefined> {
    return this.#inTurn(() => this.#adopt(id, place));
  }

  #adopt(id: string, place: MountPlace): Adopted | undefined {
    this.#kernel.before('adopt', id);
    this.#mustRun(place.process);
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

  find(process: MountProcess): Promise<readonly FoundMount[]> {
    return this.#inTurn(() => {
      this.#mustRun(process);
      return [...this.#kernel.mounts.values()]
        .filter((mount) => same(mount.process, process))
        .map(({ id, target }) => ({ id, target }));
    });
  }

  inspect(id: string): Promise<MountState> {
    return this.#inTurn(() => {
      const process = this.#held.get(id);
      if (process === undefined || this.#kernel.hasEnded(process)) return 'gone';
      // Somebody else took it away.
      return this.#kernel.mounts.has(id) ? this.#kernel.shown(id) : 'unmounted';
    });
  }

  tend(id: string): Promise<MountState> {
    return this.inspect(id);
  }

  #mustRun(process: MountProcess): void {
    if (this.#kernel.hasEnded(process)) throw new Fault('mount.process-gone');
  }

  /** One after the other, as the one thread that makes the real calls. */
  #inTurn<T>(act: () => T): Promise<T> {
    const turn = this.#tail.then(this.#pause).then(act);
    this.#tail = turn.catch(() => {});
    return turn;
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
