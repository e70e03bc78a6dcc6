/**
 * What the kernel says about one process. Nothing in here comes from the container or its engine.
 */
import { statSync } from 'node:fs';
import { bootId, HeldProcess, ownerIn } from '../../linux/process.ts';
import type { WorkloadProcess } from '../../model/workload.ts';

export interface ProcessFacts extends Omit<WorkloadProcess, 'cgroup' | 'userNamespaced'> {
  /** The paths of all its control groups; one with cgroup v2, about ten with v1. */
  readonly cgroups: readonly string[];
  readonly pidNamespace: number;
  /** CAP_SYS_ADMIN is within reach of its programs: they can unmount, cover and trace. */
  readonly mayAdminister: boolean;
}

/** This host, as far as it matters for telling whether a process is inside walls at all. */
export interface HostFacts {
  /** Differs after every boot: start times of processes count from it. */
  readonly bootId: string;
  /** Namespaces of the enforcer and of process 1. They differ if the enforcer runs in a container. */
  readonly mountNamespaces: ReadonlySet<number>;
  readonly pidNamespaces: ReadonlySet<number>;
  readonly userNamespaces: ReadonlySet<number>;
}

const capSysAdminBit = 1n << 21n;

/** @returns undefined if there is no such process, or it ended while it was read. */
export function readProcess(pid: number): ProcessFacts | undefined {
  using held = HeldProcess.open(pid);
  const namespaces = held?.namespaces();
  const cgroup = held?.read('cgroup');
  const status = held?.read('status');
  if (held === undefined || namespaces === undefined) return undefined;
  if (cgroup === undefined || status === undefined || held.ended) return undefined;
  return {
    pid,
    startTicks: held.startTicks,
    mountNamespace: namespaces.mnt,
    userNamespace: namespaces.user,
    pidNamespace: namespaces.pid,
    ...ownerIn(status),
    cgroups: parseCgroups(cgroup),
    mayAdminister: (BigInt(`0x${statusField(status, 'CapBnd')[0]}`) & capSysAdminBit) !== 0n,
  };
}

export function readHost(): HostFacts {
  const both = ['/proc/self', '/proc/1'].map(readNamespaces).filter((found) => found !== undefined);
  return {
    bootId: bootId(),
    mountNamespaces: new Set(both.map((found) => found.mnt)),
    pidNamespaces: new Set(both.map((found) => found.pid)),
    userNamespaces: new Set(both.map((found) => found.user)),
  };
}

/**
 * True if one of the paths has the container's id as a whole word: `/docker/ID`, `docker-ID.scope`,
 * `libpod-ID.scope`, `cri-containerd-ID.scope`, `/kubepods/…/ID`.
 */
export function cgroupsName(cgroups: readonly string[], containerId: string): boolean {
  return cgroups.some((path) => path.split(/[^0-9A-Za-z]/).includes(containerId));
}

/** Lines are `number:controllers:path`; the path may hold colons. */
function parseCgroups(text: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':').slice(2).join(':'));
}

function statusField(status: string, name: string): readonly string[] {
  const line = status.split('\n').find((candidate) => candidate.startsWith(`${name}:`));
  return (
    line
      ?.slice(name.length + 1)
      .trim()
      .split(/\s+/) ?? []
  );
}

/** undefined where /proc hides it: process 1, if the enforcer is not quite root. */
function readNamespaces(
  proc: string,
): Readonly<Record<'mnt' | 'user' | 'pid', number>> | undefined {
  try {
    const inode = (name: string): number => statSync(`${proc}/ns/${name}`).ino;
    return { mnt: inode('mnt'), user: inode('user'), pid: inode('pid') };
  } catch (error) {
    if (['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
