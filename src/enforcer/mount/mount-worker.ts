/**
 * The thread that makes all system calls of the room. It is the only thread that visits other mount
 * namespaces, and it does nothing else: each batch of commands is worked off without a pause, first
 * what readers see of every command, then the tidying up, then one answer.
 *
 * A bug ends the thread, and with it the enforcer (`Mounts.ended`): the mounts stay, and the next
 * enforcer adopts them.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { defined, unreachable } from '../../base/assert.ts';
import { wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import { collectGarbage } from '../../base/lull.ts';
import { close, LibcError, statx, trimHeap } from '../../linux/libc.ts';
import { leaveSharedFileSystemState } from '../../linux/namespace.ts';
import { kernelHasNoswap } from '../../linux/tmpfs.ts';
import type { HeldMount } from './held-mount.ts';
import type { MountPlace } from './mount.ts';
import type {
  MountAnswers,
  MountBatch,
  MountBatchDone,
  MountCommand,
  MountOutcome,
  MountWorkerOptions,
} from './mount-command.ts';
import { adoptMount, findMounts, type MountContext, openMount } from './open-mount.ts';
import { createSwapGuard, readSwaps } from './swap-guard.ts';

type Answer = MountAnswers[keyof MountAnswers];
/** What is left to do once every command of the batch has done what readers see. */
type Settle = () => Answer;

const port = defined(parentPort ?? undefined, 'this module is the start of a worker thread');
const options = workerData as MountWorkerOptions;
const home = leaveSharedFileSystemState();
const context: MountContext = {
  home,
  homeInode: Number(statx(home.fd).inode),
  targetPrefixes: options.targetPrefixes,
  noswap: createSwapGuard({ kernelHasNoswap, swaps: readSwaps }),
};
const held = new Map<string, HeldMount>();

port.on('message', (batch: MountBatch) => {
  const contents = new Uint8Array(batch.contents);
  try {
    port.postMessage({ outcomes: work(batch.commands, contents) } satisfies MountBatchDone);
  } finally {
    wipe(contents);
  }
});

/** A round has each mount once, so that a command sees what earlier ones made of its mount. */
function work(commands: readonly MountCommand[], contents: Uint8Array): MountOutcome[] {
  const outcomes: MountOutcome[] = [];
  let round: MountCommand[] = [];
  for (const command of commands) {
    if (command.id !== '' && round.some(({ id }) => id === command.id)) {
      outcomes.push(...workRound(round, contents));
      round = [];
    }
    round.push(command);
  }
  return [...outcomes, ...workRound(round, contents)];
}

function workRound(commands: readonly MountCommand[], contents: Uint8Array): MountOutcome[] {
  const begun = commands.map((command) => attempt(() => begin(command, contents)));
  return begun.map((one) => ('answer' in one ? attempt(one.answer) : one));
}

/** Faults and refusals of the kernel are answers; anything else is a bug and ends the thread. */
function attempt<T>(
  act: () => T,
): { readonly answer: T } | Exclude<MountOutcome, { answer: Answer }> {
  try {
    return { answer: act() };
  } catch (error) {
    const fault = error instanceof LibcError ? faultOf(error) : error;
    if (!(fault instanceof Fault)) throw error;
    return { fault: fault.code, detail: fault.detail };
  }
}

function faultOf(error: LibcError): Fault {
  const full = ['ENOSPC', 'EDQUOT', 'ENOMEM'].includes(error.code);
  const detail = { call: error.call, errno: error.code };
  return new Fault(full ? 'mount.full' : 'mount.failed', detail, { cause: error });
}

function begin(command: MountCommand, contents: Uint8Array): Settle {
  const mount = held.get(command.id);
  switch (command.kind) {
    case 'place':
      return place(command, contents);
    case 'withdraw':
      mount?.empty();
      return () => withdraw(command.id, mount);
    case 'adopt':
      return () => adopt(command);
    case 'find':
      return () => findMounts(command.process);
    case 'inspect':
      return () => mount?.inspect() ?? 'gone';
    case 'tend':
      return () => mount?.tend() ?? 'gone';
    case 'retire':
      return () => {
        mount?.retire(command.before);
        return undefined;
      };
    case 'rest':
      return () => {
        collectGarbage(command.what);
        trimHeap();
        return undefined;
      };
    case 'release':
      return () => {
        for (const each of held.values()) each.release();
        held.clear();
        close(home.fd);
        return undefined;
      };
    default:
      return unreachable(command);
  }
}

function place(command: MountCommand & { readonly kind: 'place' }, contents: Uint8Array): Settle {
  const { id, set, place: wanted } = command;
  const known = heldAt(id, wanted);
  const { mount, found } =
    known === undefined
      ? openMount(context, id, { place: wanted, set, contents })
      : { mount: known, found: true };
  held.set(id, mount);
  const outcome = found ? mount.change(set, contents) : 'mounted';
  return () => {
    const retired = mount.settle();
    const state = mount.inspect();
    // Somebody inside took it away, so nobody reads it there any more: its place may be free.
    if (state === 'unmounted') return placeAnew(command, contents);
    return { outcome, revision: set.revision, state, retired };
  };
}

/** Files to keep are gone with the mount that had them: then this fails, and all must be sent. */
function placeAnew(
  { id, set, place: wanted }: MountCommand & { readonly kind: 'place' },
  contents: Uint8Array,
): MountAnswers['place'] {
  withdraw(id, held.get(id));
  const { mount } = openMount(context, id, { place: wanted, set, contents });
  held.set(id, mount);
  const state = mount.inspect();
  return { outcome: 'mounted', revision: set.revision, state, retired: false };
}

/** The mount of this id. One that was made for another process or target is withdrawn. */
function heldAt(id: string, place: MountPlace): HeldMount | undefined {
  const mount = held.get(id);
  if (mount === undefined) return undefined;
  const { pid, startTicks } = place.process;
  if (mount.isAt(pid, startTicks, place.target)) return mount;
  withdraw(id, mount);
  return undefined;
}

function withdraw(id: string, mount: HeldMount | undefined): MountAnswers['withdraw'] {
  if (mount === undefined) return { outcome: 'absent' };
  mount.empty();
  const outcome = mount.remove(home);
  held.delete(id);
  return { outcome };
}

function adopt(command: MountCommand & { readonly kind: 'adopt' }): MountAnswers['adopt'] {
  const mount = heldAt(command.id, command.place) ?? adoptMount(context, command.id, command.place);
  if (mount === undefined) return undefined;
  held.set(command.id, mount);
  const files = [...mount.set.files].map(([name, { mode, size }]) => ({ name, mode, size }));
  return { revision: mount.set.revision, files };
}
