/** A container that exists only in what a simulated enforcer says. */
import { createHash } from 'node:crypto';
import { proofs } from '../src/enforcer/attest/attest.ts';
import type { WorkloadFacts } from '../src/model/workload.ts';

export function fakeWorkload(
  node: string,
  index: number,
  labels: Readonly<Record<string, string>> = { app: 'bench' },
): WorkloadFacts {
  const name = `${node}-${index}`;
  const containerId = createHash('sha256').update(name).digest('hex');
  return {
    id: `wld_${containerId.slice(0, 32)}`,
    runtime: 'docker',
    containerId,
    name,
    node,
    image: { reference: 'bench/app:1', id: `sha256:${containerId}`, digests: [] },
    labels,
    startedAtMs: 0,
    process: {
      pid: index + 2,
      startTicks: 1,
      mountNamespace: 1,
      userNamespace: 1,
      cgroup: '/',
      uid: 0,
      gid: 0,
      userNamespaced: false,
    },
    isolation: { privileged: false, hostPid: false, readOnlyRoot: false },
    proof: proofs.docker,
  };
}
