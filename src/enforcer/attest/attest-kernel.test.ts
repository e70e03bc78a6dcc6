/**
 * Goal: what the kernel shows decides: a number that changed hands while the runtime was asked, a process
 * that moved, and walls that are not there are seen, each by itself.
 * Method: a kernel and a runtime that answer as each case wants; then real processes, for what is read of
 * them. Control: the same answers without the one difference.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { sandboxNamespace } from '../../model/workload.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';
import { createAttestor } from './attest.ts';
import { type HostFacts, type ProcessFacts, readProcess } from './process-facts.ts';

const container: RuntimeContainer = {
  id: 'c0ffee',
  name: 'app',
  pid: 70,
  startedAtMs: 1000,
  image: { reference: 'app', id: `sha256:${'a'.repeat(64)}`, digests: [] },
  labels: {},
  user: '',
  privileged: false,
  hostPid: false,
  sandboxed: false,
  readOnlyRoot: false,
};
const host: HostFacts = {
  bootId: 'boot',
  mountNamespaces: new Set([1, 2]),
  pidNamespaces: new Set([3]),
  userNamespaces: new Set([4]),
};
const found: ProcessFacts = {
  pid: 70,
  startTicks: 500,
  mountNamespace: 11,
  userNamespace: 4,
  pidNamespace: 13,
  uid: 1000,
  gid: 1000,
  cgroups: ['/docker/c0ffee'],
  mayAdminister: false,
};

/** Attests with a kernel that shows one thing before the runtime is asked, and another after. */
function attest(
  shownFirst: Partial<ProcessFacts> | undefined,
  ...more: [shownThen?: Partial<ProcessFacts> | undefined, again?: Partial<RuntimeContainer>]
) {
  const shown = [shownFirst, more.length > 0 ? more[0] : shownFirst];
  const again = more[1] ?? {};
  return createAttestor({
    runtime: { kind: 'docker', inspect: async () => ({ ...container, ...again }) },
    node: 'node-1',
    kernel: {
      readHost: () => host,
      readProcess: () => {
        const facts = shown.shift();
        return facts && { ...found, ...facts };
      },
    },
  }).attest(container);
}

test('each difference between before and after is a refusal by itself', async () => {
  ok(await attest({}), 'control');
  const mismatch = (field: string) => ({
    code: 'attest.mismatch',
    message: new RegExp(`field="${field}"`),
  });
  await rejects(attest({}, { startTicks: 501 }), mismatch('start-time'));
  await rejects(attest({}, { mountNamespace: 12 }), mismatch('mount-namespace'));
  await rejects(attest({}, {}, { pid: 71 }), mismatch('pid'));
  await rejects(attest({}, {}, { startedAtMs: 1001 }), { code: 'attest.gone' });
  await rejects(attest(undefined, {}), { code: 'attest.gone' });
  await rejects(attest({}, undefined), { code: 'attest.gone' });
});

test('a process in the enforcer’s or in process 1’s own mount namespace is in no container', async () => {
  for (const mountNamespace of [1, 2]) {
    await rejects(attest({ mountNamespace }), {
      code: 'attest.mismatch',
      message: /field="host-mount-namespace"/,
    });
  }
  await rejects(attest({ cgroups: ['/docker/other', '/'] }), { message: /field="cgroup"/ });
});

test('a sandbox is known for one, wherever the process that runs it is', async () => {
  const elsewhere = { mountNamespace: 1, cgroups: ['/'] };
  const { process } = await attest(elsewhere, elsewhere, { sandboxed: true });
  equal(process.mountNamespace, sandboxNamespace);
  await rejects(attest(elsewhere), { code: 'attest.mismatch' }, 'control');
  equal((await attest({})).process.mountNamespace, found.mountNamespace, 'control');
});

test('walls that the kernel does not show are not there, whatever the runtime says', async () => {
  const isolation = async (facts: Partial<ProcessFacts>) => (await attest(facts)).isolation;
  const walled = { privileged: false, hostPid: false, readOnlyRoot: false };
  deepEqual(await isolation({}), walled, 'control');
  deepEqual(await isolation({ pidNamespace: 3 }), { ...walled, hostPid: true });
  deepEqual(await isolation({ mayAdminister: true }), { ...walled, privileged: true });
  deepEqual(await isolation({ mayAdminister: true, userNamespace: 40 }), walled);
});

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'needs root: sudo node --test';

test('a process is read as the user that it acts as', { skip }, async () => {
  const act =
    'process.setegid(1001); process.seteuid(1002); console.log(1); setInterval(() => {}, 1e6)';
  const child = spawn(process.execPath, ['-e', act], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    const facts = readProcess(child.pid ?? 0);
    deepEqual([facts?.uid, facts?.gid], [1002, 1001]);
  } finally {
    child.kill('SIGKILL');
  }
});

test('an enforcer that is in a container itself knows the host’s namespaces, too', (t) => {
  if (!isRoot || !mayLook('/proc/1/ns/mnt')) {
    t.skip('needs to see process 1: sudo node --test, outside of containers');
    return;
  }
  const module = new URL('./process-facts.ts', import.meta.url).href;
  const act = `import('${module}').then((m) => console.log(m.readHost().mountNamespaces.size))`;
  const words = ['--mount', process.execPath, '-e', act];
  equal(execFileSync('unshare', words, { encoding: 'utf8' }).trim(), '2');
});

function mayLook(path: string): boolean {
  try {
    return statSync(path).ino > 0;
  } catch {
    return false;
  }
}
