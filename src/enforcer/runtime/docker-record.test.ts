/**
 * Goal: what an engine says beyond measure narrows what is believed, or is refused.
 * Method: answers as Docker gives them, with one thing changed.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { containerOf, isSandbox } from './docker-record.ts';
import type { RuntimeContainer } from './runtime.ts';

interface Change {
  readonly name?: string;
  readonly image?: string;
  readonly host?: Readonly<Record<string, unknown>>;
  readonly digests?: readonly string[];
  readonly state?: Readonly<Record<string, unknown>>;
}

async function read(change: Change): Promise<RuntimeContainer | undefined> {
  const answer = {
    Id: 'a'.repeat(64),
    Name: change.name ?? '/app',
    Image: `sha256:${'0'.repeat(64)}`,
    State: { Running: true, Pid: 70, StartedAt: '2026-01-01T00:00:00Z', ...change.state },
    Config: { Image: change.image ?? 'app:1', Labels: null },
    HostConfig: change.host ?? {},
  };
  return containerOf(answer, {
    digestsOf: async () => change.digests ?? [],
    isSandbox: async (name) => isSandbox([name]),
  });
}

test('containerOf refuses names that are too long, and leaves out digests that are too many', async () => {
  const long = 'x'.repeat(limits.factCharsMax + 1);
  await rejects(read({ name: long }), { code: 'runtime.invalid' });
  await rejects(read({ image: long }), { code: 'runtime.invalid' });
  const digests = Array.from({ length: limits.imageDigestsMax + 1 }, (_, at) => `r${at}@sha256:0`);
  deepEqual((await read({ digests }))?.image.digests, digests.slice(0, -1));
});

test('containerOf takes who may mount for privileged, whatever a process says of itself later', async () => {
  const isPrivileged = async (host: Change['host'] = {}) => (await read({ host }))?.privileged;
  equal(await isPrivileged({}), false);
  equal(await isPrivileged({ CapAdd: null }), false);
  equal(await isPrivileged({ CapAdd: ['NET_ADMIN', 'CAP_SYS_PTRACE'] }), false);
  equal(await isPrivileged({ Privileged: true }), true);
  for (const name of ['SYS_ADMIN', 'CAP_SYS_ADMIN', 'sys_admin', 'ALL']) {
    equal(await isPrivileged({ CapAdd: [name] }), true, name);
  }
});

test('containerOf knows what runs, also paused, when Podman says that it does not', async () => {
  const runs = async (state: Change['state'] = {}) => (await read({ state })) !== undefined;
  ok(await runs({ Paused: true }), 'Docker');
  ok(await runs({ Paused: true, Running: false }), 'Podman');
  ok(!(await runs({ Paused: false, Running: false })), 'control: it has ended');
  ok(!(await runs({ Restarting: true, Pid: 0 })), 'between two lives');
});

test('containerOf knows a container whose programs do not run on this kernel', async () => {
  const isSandboxed = async (Runtime?: unknown) => (await read({ host: { Runtime } }))?.sandboxed;
  for (const name of [
    'runsc',
    'gvisor',
    'kata-qemu',
    'io.containerd.kata.v2',
    'io.containerd.runsc.v1',
  ]) {
    equal(await isSandboxed(name), true, name);
  }
  for (const name of [undefined, '', 'runc', 'crun', 'nvidia', 'io.containerd.runc.v2', 'oci']) {
    equal(await isSandboxed(name), false, `${name}`);
  }
});
