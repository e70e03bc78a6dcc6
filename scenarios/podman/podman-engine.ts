/**
 * Podman, answering on Docker's API over a socket of its own, with storage of its own.
 *
 * Unlike dockerd its service may end: containers go on without it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeContainers } from '../../src/testing/container-sweep.ts';
import { isInstalled, type TestEngine } from '../../src/testing/engine.ts';
import { EngineClient } from '../../src/testing/engine-client.ts';
import { endsWithUs, temporaryDirectory } from '../../src/testing/left-behind.ts';
import { until } from '../../src/testing/until.ts';

/** Limits that any root may set, and names of images as they are given. */
const configuration = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
compat_api_enforce_docker_hub = false
`;

export interface PodmanEngine extends TestEngine {
  readonly version: string;
  stopService(): Promise<void>;
  startService(): Promise<void>;
}

export type PodmanOrReason =
  | { readonly engine: PodmanEngine; readonly reason?: undefined }
  | { readonly engine?: undefined; readonly reason: string };

export async function startPodman(): Promise<PodmanOrReason> {
  if (process.getuid?.() !== 0) return { reason: 'needs root: sudo npm run verify' };
  const missing = ['podman', 'runc'].filter((name) => !isInstalled(name));
  if (missing.length > 0) {
    return { reason: `needs ${missing.join(', ')}: apt-get install podman runc busybox-static` };
  }
  const directory = temporaryDirectory('coffer-podman-');
  const at = (name: string): string => join(directory.path, name);
  writeFileSync(at('containers.conf'), configuration);
  const env = { ...process.env, CONTAINERS_CONF: at('containers.conf') };
  const own = [
    ...['--root', at('storage'), '--runroot', at('run'), '--tmpdir', at('tmp')],
    ...['--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--events-backend', 'file'],
    ...['--runtime', 'runc'],
  ];
  const socketPath = at('podman.sock');
  const client = new EngineClient(socketPath);
  let service: ChildProcess | undefined;
  const startService = async (): Promise<void> => {
    const words = [...own, 'system', 'service', '--time', '0', `unix://${socketPath}`];
    service = endsWithUs(spawn('podman', words, { env, stdio: 'ignore' }));
    await until('podman answers', () => client.answers(), { withinMs: 30_000 });
  };
  const stopService = async (): Promise<void> => {
    if (!service || service.exitCode !== null || service.signalCode !== null) return;
    const exited = once(service, 'exit');
    service.kill('SIGKILL');
    await exited;
  };
  await startService();
  const engine: PodmanEngine = {
    socketPath,
    client,
    holder: `podman-${process.pid}`,
    ours: true,
    version: String((await client.get('/version'))['Version']),
    startService,
    stopService,
    async [Symbol.asyncDispose]() {
      await removeContainers(client, () => true);
      await stopService();
      directory[Symbol.dispose]();
    },
  };
  return { engine };
}
