/**
 * Starts a program in namespaces of its own, without a container engine, and registers it.
 *
 * It gets its own mount and PID namespaces, an empty /run with /run/secrets in it, its user and group,
 * no capabilities and no way to get any. It sees the host's other files: these are walls for secrets
 * and not a sandbox.
 *
 * The program itself starts only after `beforeStart` has resolved: until then a shell waits in its
 * place, under the same process id and as the same user. It ends with whoever launched it, also when that is
 * killed, unless it is told to outlive them.
 *
 * Needs unshare and setpriv of util-linux, mount, and root.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { HeldProcess, type ProcessIdentity, signalProcess } from '../../linux/process.ts';
import { register, unregister } from './registration.ts';

export interface LaunchOptions {
  readonly clock: Clock;
  /** Where to register: the enforcer's `--process-directory`. */
  readonly directory: string;
  readonly id: string;
  readonly name: string;
  readonly command: readonly string[];
  readonly uid: number;
  readonly gid: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly image?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Of standard output and error. Standard input is empty. */
  readonly output?: 'inherit' | 'pipe' | 'ignore';
  readonly outlivesUs?: boolean;
  /** The process is registered and waits. If this rejects, the program never starts. */
  readonly beforeStart?: (identity: ProcessIdentity) => Promise<void>;
}

export interface LaunchedProcess extends AsyncDisposable {
  readonly id: string;
  readonly identity: ProcessIdentity;
  /** Of `unshare`, which ends when the program does, with its exit code. */
  readonly child: ChildProcess;
  readonly exited: Promise<number>;
  /** False if it has ended. A program that is process 1 of its namespace ignores what it does not handle. */
  kill(signal: NodeJS.Signals): boolean;
}

/** In the new namespaces, still as root. Descriptor 3 leads to us. */
const prepare = `set -e
mount -t tmpfs -o mode=0755,size=1m,nosuid,nodev coffer-run /run
mkdir -m 0755 /run/secrets
uid=$1 gid=$2
shift 2
exec setpriv --pdeathsig KILL --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs \\
  --inh-caps=-all --ambient-caps=-all --bounding-set=-all -- sh -c "$@"`;

/** As the program's user. If we die, the read ends without a line and the program never starts. */
const waitForStart = `echo ready >&3
read -r line <&3 || exit 1
exec 3<&-
exec "$@"`;

/** @throws Fault `runtime.refused` if the namespaces cannot be made or the program's user not be taken. */
export async function launchNamespaced(options: LaunchOptions): Promise<LaunchedProcess> {
  const child = spawnInNamespaces(options);
  const exited = exitCodeOf(child);
  const line = child.stdio[3] as Duplex;
  const { promise: isReady, resolve } = Promise.withResolvers<boolean>();
  line.once('data', () => resolve(true));
  // A program that never starts closes the line under our last write; its exit code says so.
  line.on('error', () => resolve(false));
  void exited.then(() => resolve(false));
  const identity = (await isReady) ? identityOfOnlyChild(child.pid ?? 0) : undefined;
  if (identity === undefined) {
    child.kill('SIGKILL');
    throw new Fault('runtime.refused', { what: 'unshare', code: child.exitCode ?? undefined });
  }

  const kill = (signal: NodeJS.Signals): boolean => signalProcess(identity, signal);
  const { directory, id } = options;
  void exited.then(() => unregister(directory, id));
  register(directory, {
    id,
    name: options.name,
    ...identity,
    startedAtMs: Math.floor(options.clock.wallMs()),
    labels: { ...options.labels },
    ...(options.image === undefined ? {} : { image: options.image }),
  });
  try {
    await options.beforeStart?.(identity);
  } catch (error) {
    kill('SIGKILL');
    await exited;
    throw error;
  }
  line.end('start\n');
  return {
    id,
    identity,
    child,
    exited,
    kill,
    async [Symbol.asyncDispose]() {
      kill('SIGKILL');
      await exited;
      unregister(directory, id);
    },
  };
}

const unshareArguments = [
  '--mount',
  '--propagation=private',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
  '--',
];

function spawnInNamespaces(options: LaunchOptions): ChildProcess {
  const { output = 'inherit', uid, gid, command, outlivesUs = false } = options;
  const bound = outlivesUs ? [] : ['setpriv', '--pdeathsig', 'KILL'];
  const program = ['sh', '-c', prepare, 'sh', String(uid), String(gid), waitForStart, 'sh'];
  const [file = '', ...words] = [...bound, 'unshare', ...unshareArguments, ...program];
  return spawn(file, [...words, ...command], {
    stdio: ['ignore', output, output, 'pipe'],
    env: { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', ...options.environment },
  });
}

/** 127 if it could not be started, 128 if a signal ended it: as shells say it. */
function exitCodeOf(child: ChildProcess): Promise<number> {
  return once(child, 'exit').then(
    ([code]) => (typeof code === 'number' ? code : 128),
    () => 127,
  );
}

function identityOfOnlyChild(pid: number): ProcessIdentity | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  using held = HeldProcess.open(Number(children[0]) || pid);
  if (held === undefined || held.pid === pid) return undefined;
  return { pid: held.pid, startTicks: held.startTicks };
}
