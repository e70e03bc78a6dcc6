/**
 * Twenty containers, each with a set of its own at a target of its own, and every way in which Docker lets
 * containers come close to one another.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerOptions, TestContainer } from '../../src/testing/container.ts';
import type { Story } from '../../src/testing/story.ts';

export interface Neighbour {
  readonly index: number;
  readonly kind: string;
  readonly container: TestContainer;
  /** Of the target that cannot be: nothing is mounted where it would spread. */
  readonly refused?: string;
  /**
   * Neighbours whose files it may read: the kernel lets a process look into another that it sees if both
   * are of one user and the other has no capability more. Said in THREAT-MODEL.md, T11.
   */
  readonly mayRead: readonly number[];
}

interface Plan {
  readonly kind: string;
  readonly options?: (made: readonly TestContainer[]) => Omit<ContainerOptions, 'image'>;
  readonly refused?: string;
  readonly mayRead?: readonly number[];
}

/** A directory of the host whose mounts spread to whoever has it, and back. */
export class SharedDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'coffer-shared-'));

  constructor() {
    mount('--bind', this.path, this.path);
    mount('--make-rshared', this.path);
  }

  below(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  [Symbol.dispose](): void {
    spawnSync('umount', ['--recursive', this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

export const targetOf = (index: number): string => `/run/coffer/set-${index}`;
const shared = { hostConfig: { IpcMode: 'shareable' } };
const pidOf = (container: TestContainer | undefined) => ({
  hostConfig: { PidMode: `container:${container?.id}` },
});

function plansWith(directory: SharedDirectory): readonly Plan[] {
  const volume = { binds: ['common:/common'] };
  const spread = (where: string, how: string) => ({
    binds: [`${directory.below(how)}:${where}:${how}`],
  });
  return [
    { kind: 'root', mayRead: [4], options: () => shared },
    { kind: 'user 1000', options: () => ({ user: '1000', ...volume }) },
    { kind: 'user 1001', mayRead: [6], options: () => ({ user: '1001' }) },
    { kind: 'lends network, ipc and process ids', mayRead: [7], options: () => shared },
    { kind: 'process ids of 0, same user', mayRead: [0], options: ([zero]) => pidOf(zero) },
    {
      kind: 'process ids of 1, another user',
      options: ([, one]) => ({ ...pidOf(one), user: '1002' }),
    },
    {
      kind: 'process ids of 2, same user',
      mayRead: [2],
      options: ([, , two]) => ({ ...pidOf(two), user: '1001' }),
    },
    {
      kind: 'process ids of 3, fewer capabilities',
      options: ([, , , three]) => ({
        hostConfig: { ...pidOf(three).hostConfig, CapDrop: ['CHOWN'] },
      }),
    },
    {
      kind: 'network and ipc of 3',
      options: ([, , , three]) => ({
        ...(three ? { network: three } : {}),
        hostConfig: { IpcMode: `container:${three?.id}` },
      }),
    },
    {
      kind: 'network and names of the host',
      options: () => ({ network: 'host', hostConfig: { UTSMode: 'host' } }),
    },
    { kind: 'common volume', options: () => volume },
    { kind: 'the same common volume', options: () => volume },
    {
      kind: 'rshared above the target',
      refused: 'mount.target-shared',
      options: () => spread('/run/coffer', 'rshared'),
    },
    { kind: 'rslave above the target', options: () => spread('/run/coffer', 'rslave') },
    { kind: 'rshared elsewhere', options: () => spread('/common', 'rshared') },
    {
      kind: 'rshared below the target',
      refused: 'mount.target-occupied',
      options: () => spread(`${targetOf(15)}/below`, 'rshared'),
    },
    {
      kind: 'volumes of 1',
      options: ([, one]) => ({ hostConfig: { VolumesFrom: [one?.id] }, user: '1000' }),
    },
    {
      kind: 'mounts and traces, by itself',
      options: () => ({ addCapabilities: ['SYS_ADMIN', 'SYS_PTRACE'] }),
    },
    { kind: 'read-only root', options: () => ({ readOnlyRoot: true, tmpfs: { '/run': '' } }) },
    { kind: 'CAP_SYS_PTRACE', options: () => ({ addCapabilities: ['SYS_PTRACE'] }) },
  ];
}

export async function settleNeighbours(
  story: Story,
  directory: SharedDirectory,
  valueOf: (index: number) => string,
): Promise<readonly Neighbour[]> {
  const plans = plansWith(directory);
  await Promise.all(plans.map((_plan, index) => story.put(`set-${index}/own`, valueOf(index))));
  for (const index of plans.keys()) {
    await story.grant(`neighbour-${index}`, [{ secret: `set-${index}/own`, mode: '0444' }], {
      target: targetOf(index),
    });
  }
  const start = (index: number, made: readonly TestContainer[]): Promise<TestContainer> => {
    const name = `neighbour-${index}`;
    return story.container({ ...plans[index]?.options?.(made), name, labels: { app: name } });
  };
  // Those that others come close to are there first.
  const first = await Promise.all([0, 1, 2, 3].map((index) => start(index, [])));
  const others = [...plans.keys()].slice(first.length);
  const made = [...first, ...(await Promise.all(others.map((index) => start(index, first))))];
  return plans.flatMap(({ kind, refused, mayRead = [] }, index) => {
    const container = made[index];
    if (!container) return [];
    return [{ index, kind, container, mayRead, ...(refused ? { refused } : {}) }];
  });
}

function mount(...argv: readonly string[]): void {
  const { status, stderr } = spawnSync('mount', argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mount ${argv.join(' ')}: ${stderr}`);
}
