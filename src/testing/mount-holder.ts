/**
 * A program that holds a mount and rotates it until it is killed: stands for an enforcer in tests of
 * what its death leaves behind. Its argument is a `MountHolderOptions` in JSON.
 *
 * Each file of a set holds the set's revision. One name comes and goes from set to set.
 */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { codeOf } from '../base/fault.ts';
import type { FileSet, MountPlace, Mounts } from '../enforcer/mount/mount.ts';
import { setOf, TestMounts } from './mount-setup.ts';

export interface MountHolderOptions {
  readonly id: string;
  readonly place: MountPlace;
  readonly firstRevision: number;
  /**
   * `wait` places one set and waits; `thrice` places and withdraws three times and ends; `adopt` looks for
   * mounts and takes this one up, says its revision and ends; `told` places at
   * each `place` that it reads and withdraws at each `withdraw`, and says what came of it; the others
   * go on for ever. All but `adopt` and `told` say `placed` after the first.
   */
  readonly mode: 'rotate' | 'withdraw-and-place' | 'wait' | 'thrice' | 'adopt' | 'told';
}

export function holderSet(revision: number): FileSet {
  const names = ['a', 'b', 'c', ...(revision % 2 === 0 ? ['d'] : [])];
  return setOf(revision, Object.fromEntries(names.map((name) => [name, `${revision}`])));
}

async function hold(options: MountHolderOptions): Promise<void> {
  const { id, place, firstRevision, mode } = options;
  await using opened = new TestMounts({ graceMs: 0 });
  const { mounts } = opened;
  if (mode === 'told') return await asTold(mounts, options);
  if (mode === 'adopt') {
    await mounts.find(place.process);
    process.stdout.write(`${(await mounts.adopt(id, place))?.revision}`);
    return;
  }
  for (let revision = firstRevision; ; revision += 1) {
    await mounts.place(id, place, holderSet(revision));
    if (revision === firstRevision) process.stdout.write('placed\n');
    if (mode === 'wait') await new Promise(() => undefined);
    if (mode !== 'rotate') await mounts.withdraw(id);
    if (mode === 'thrice' && revision === firstRevision + 2) return;
  }
}

async function asTold(mounts: Mounts, options: MountHolderOptions): Promise<void> {
  const { id, place, firstRevision } = options;
  for await (const word of createInterface({ input: process.stdin })) {
    const act =
      word === 'place' ? mounts.place(id, place, holderSet(firstRevision)) : mounts.withdraw(id);
    const said = await act.then(({ outcome }) => outcome, codeOf);
    process.stdout.write(`${said}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await hold(JSON.parse(process.argv[2] ?? '{}') as MountHolderOptions);
}
