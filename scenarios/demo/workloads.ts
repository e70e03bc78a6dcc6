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
  /** Shell line that reads a file as this workload has it; as root. */
  readonly readLine: (file: string) => string;
}

export interface DemoWorkloads extends AsyncDisposable {
  /** Said to the reader: what these containers are. */
  readonly kind: string;
  readonly runtime: InstallationOptions['runtime'];
  readonly match: GroupMatch;
  readonly all: readonly DemoWorkload[];
}

const shown = [
  { wanted: 'payments-api-1', app: 'payments-api', uid: 1000, readOnlyRoot: false },
  { wanted: 'payments-api-2', app: 'payments-api', uid: 2000, readOnlyRoot: true },
  { wanted: 'reports', app: 'reports', uid: 1000, readOnlyRoot: false },
] as const;
const entitledApp = 'payments-api';
const secrets = '/run/secrets';

/** @param options.engine - Whether a container engine may be used. */
export async function startWorkloads(options: {
  readonly engine: boolean;
  readonly outlivesUs: boolean;
}): Promise<DemoWorkloads> {
  const { engine, outlivesUs } = options;
  if (!engine) return await inNamespaces('as asked', outlivesUs);
  const acquired = await acquireEngine();
  if (acquired.engine) return await inEngine(acquired.engine);
  return await inNamespaces(acquired.reason, outlivesUs);
}

/** The file as the workload sees it, through its own root and mounts; undefined if it is not there. */
export function readInside(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/root${secrets}/${file}`, 'utf8');
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
  const taken = await namesIn(engine);
  const all: DemoWorkload[] = [];
  for (const { wanted, app, uid, readOnlyRoot } of shown) {
    const name = freeName(wanted, taken);
    const container = await TestContainer.run(engine, {
      image,
      name,
      command: ['sleep', '3600'],
      user: `${uid}:${uid}`,
      labels: { app },
      // The engine makes the directory where it does not let anyone make it later.
      ...(readOnlyRoot ? { readOnlyRoot, tmpfs: { '/run': 'mode=0755' } } : {}),
    });
    stack.use(container);
    const about = `container, user ${uid}${readOnlyRoot ? ', read-only root' : ''}`;
    const host = `DOCKER_HOST=unix://${engine.socketPath}`;
    all.push({
      name,
      entitled: app === entitledApp,
      about,
      pid: await container.pid(),
      readLine: (file) => `${host} docker exec ${name} cat ${secrets}/${file}`,
    });
  }
  const kept = stack.move();
  return {
    kind: 'a Docker engine',
    runtime: { dockerSocket: engine.socketPath },
    match: { docker: { labels: { app: entitledApp } } },
    all,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** The engine may be somebody's own, with containers of theirs. */
async function namesIn(engine: TestEngine): Promise<ReadonlySet<string>> {
  const containers = (await engine.client.get('/containers/json?all=1')) as { Names: string[] }[];
  return new Set(containers.flatMap(({ Names }) => Names.map((name) => name.replace(/^\//, ''))));
}

function freeName(wanted: string, taken: ReadonlySet<string>): string {
  let name = wanted;
  for (let at = 2; taken.has(name); at += 1) name = `${wanted}-${at}`;
  return name;
}

async function inNamespaces(reason: string, outlivesUs: boolean): Promise<DemoWorkloads> {
  if (process.getuid?.() !== 0) {
    throw new Error('the demo mounts into containers and needs root: sudo npm run demo');
  }
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'coffer-demo-'));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const all: DemoWorkload[] = [];
  for (const { wanted: name, app, uid } of shown) {
    const launched = await launchNamespaced({
      clock: systemClock,
      directory,
      id: name,
      name,
      command: ['sleep', '3600'],
      uid,
      gid: uid,
      labels: { app },
      output: 'ignore',
      outlivesUs,
    });
    stack.use(launched);
    const { pid } = launched.identity;
    all.push({
      name,
      entitled: app === entitledApp,
      about: `Linux namespaces, user ${uid}`,
      pid,
      readLine: (file) => `cat /proc/${pid}/root${secrets}/${file}`,
    });
  }
  const kept = stack.move();
  return {
    kind: `Linux namespaces (${reason})`,
    runtime: { processDirectory: directory },
    match: { process: { labels: { app: entitledApp } } },
    all,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
