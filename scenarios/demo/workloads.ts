/**
 * The containers of the demo: two that are entitled, one that is not. From a Docker engine where
 * there is one; else processes in Linux namespaces of our own.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { launchNamespaced } from '../../src/enforcer/runtime/launch-namespaced.ts';
import type { GroupMatch } from '../../src/model/group.ts';
import { TestContainer } from '../../src/testing/container.ts';
import { acquireEngine, type TestEngine } from '../../src/testing/engine.ts';
import { provideImage } from '../../src/testing/images.ts';
import type { InstallationOptions } from '../../src/testing/installation.ts';

export interface DemoWorkload {
  readonly name: string;
  readonly entitled: boolean;
  readonly about: string;
  readonly pid: number;
}

export interface DemoWorkloads extends AsyncDisposable {
  /** Said to the reader: what these containers are. */
  readonly kind: string;
  readonly runtime: InstallationOptions['runtime'];
  readonly match: GroupMatch;
  readonly all: readonly DemoWorkload[];
}

const shown = [
  { name: 'payments-api-1', entitled: true, uid: 1000, readOnlyRoot: false },
  { name: 'payments-api-2', entitled: true, uid: 2000, readOnlyRoot: true },
  { name: 'reports', entitled: false, uid: 1000, readOnlyRoot: false },
] as const;

/** @param options.engine - Whether a container engine may be used. */
export async function startWorkloads(
  options: { readonly engine: boolean } = { engine: true },
): Promise<DemoWorkloads> {
  if (!options.engine) return await inNamespaces('as asked');
  const acquired = await acquireEngine();
  if (acquired.engine) return await inEngine(acquired.engine);
  return await inNamespaces(acquired.reason);
}

/** The file as the workload sees it, through its own root and mounts; undefined if it is not there. */
export function readInside(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/root/run/secrets/${file}`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  }
}

async function inEngine(engine: TestEngine): Promise<DemoWorkloads> {
  await using stack = new AsyncDisposableStack();
  stack.use(engine);
  const { image, reason } = await provideImage(engine, 'busybox');
  if (image === undefined) throw new Error(`no image: ${reason}`);
  const all: DemoWorkload[] = [];
  for (const { name, entitled, uid, readOnlyRoot } of shown) {
    const container = await TestContainer.run(engine, {
      image,
      command: ['sleep', '3600'],
      user: `${uid}:${uid}`,
      labels: { app: name.replace(/-\d$/, '') },
      // The engine makes the directory where it does not let anyone make it later.
      ...(readOnlyRoot ? { readOnlyRoot, tmpfs: { '/run': 'mode=0755' } } : {}),
    });
    stack.use(container);
    const about = `container, user ${uid}${readOnlyRoot ? ', read-only root' : ''}`;
    all.push({ name, entitled, about, pid: await container.pid() });
  }
  const kept = stack.move();
  return {
    kind: 'a Docker engine',
    runtime: { dockerSocket: engine.socketPath },
    match: { docker: { labels: { app: 'payments-api' } } },
    all,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function inNamespaces(reason: string): Promise<DemoWorkloads> {
  if (process.getuid?.() !== 0) {
    throw new Error('the demo mounts into containers and needs root: sudo npm run demo');
  }
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'coffer-demo-'));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const all: DemoWorkload[] = [];
  for (const { name, entitled, uid } of shown) {
    const launched = await launchNamespaced({
      clock: systemClock,
      directory,
      id: name,
      name,
      command: ['sleep', '3600'],
      uid,
      gid: uid,
      labels: { app: name.replace(/-\d$/, '') },
      output: 'ignore',
    });
    stack.use(launched);
    all.push({
      name,
      entitled,
      about: `Linux namespaces, user ${uid}`,
      pid: launched.identity.pid,
    });
  }
  const kept = stack.move();
  return {
    kind: `Linux namespaces (${reason})`,
    runtime: { processDirectory: directory },
    match: { process: { labels: { app: 'payments-api' } } },
    all,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
