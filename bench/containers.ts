/**
 * Real containers for benches: from a Docker engine where there is one, else processes in Linux
 * namespaces of their own. Each sleeps, and carries the labels that it is given.
 */
import { systemClock as clock } from '../src/base/clock.ts';
import { launchNamespaced } from '../src/enforcer/runtime/launch-namespaced.ts';
import type { GroupMatch } from '../src/model/group.ts';
import { TestContainer } from '../src/testing/container.ts';
import { acquireEngine, type TestEngine } from '../src/testing/engine.ts';
import { provideImage } from '../src/testing/images.ts';
import type { InstallationOptions } from '../src/testing/installation.ts';
import { atExit, temporaryDirectory } from '../src/testing/left-behind.ts';
import { cannotRun } from './report.ts';

export type Labels = Readonly<Record<string, string>>;

export interface BenchContainers extends AsyncDisposable {
  /** What they are, for the reader of the figures. */
  readonly kind: string;
  readonly runtime: InstallationOptions['runtime'];
  /** In the order of the labels that were given. */
  readonly pids: readonly number[];
  matching(labels: Labels): GroupMatch;
}

const startedTogether = 4;
const sleeping = ['sleep', '100000'];

/** Ends the bench where containers cannot be had at all. */
export async function startContainers(
  bench: string,
  labels: readonly Labels[],
): Promise<BenchContainers> {
  if (process.getuid?.() !== 0) cannotRun(bench, 'it mounts into containers and needs root: sudo');
  const acquired = await acquireEngine();
  process.stderr.write(
    acquired.engine
      ? `${labels.length} containers on a Docker engine\n`
      : `${labels.length} containers in Linux namespaces of our own: ${acquired.reason}\n`,
  );
  return acquired.engine ? inEngine(bench, acquired.engine, labels) : inNamespaces(labels);
}

async function inEngine(
  bench: string,
  engine: TestEngine,
  labels: readonly Labels[],
): Promise<BenchContainers> {
  await using stack = new AsyncDisposableStack();
  stack.use(engine);
  const { image, reason } = await provideImage(engine, 'busybox');
  if (image === undefined) cannotRun(bench, `no image: ${reason}`);
  const made = new Set<TestContainer>();
  stack.defer(async () => {
    await inTurns([...made], (container) => container[Symbol.asyncDispose]());
  });
  const pids = await inTurns(labels, async (own) => {
    const container = await TestContainer.run(engine, { image, command: sleeping, labels: own });
    made.add(container);
    return container.pid();
  });
  const kept = stack.move();
  return {
    kind: 'Docker containers',
    runtime: { dockerSocket: engine.socketPath },
    pids,
    matching: (own) => ({ docker: { labels: own } }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function inNamespaces(labels: readonly Labels[]): Promise<BenchContainers> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(temporaryDirectory('coffer-bench-')).path;
  const pids = await inTurns(labels, async (own, index) => {
    const id = `bench-${index}`;
    const about = { clock, directory, id, name: id, uid: 1000, gid: 1000, labels: own };
    const launched = await launchNamespaced({ ...about, command: sleeping, output: 'ignore' });
    stack.use(launched);
    stack.use(atExit(() => process.kill(launched.identity.pid, 'SIGKILL')));
    return launched.identity.pid;
  });
  const kept = stack.move();
  return {
    kind: 'namespaces',
    runtime: { processDirectory: directory },
    pids,
    matching: (own) => ({ process: { labels: own } }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function inTurns<T, R>(
  items: readonly T[],
  act: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += startedTogether) {
    const together = items.slice(at, at + startedTogether);
    results.push(...(await Promise.all(together.map((item, index) => act(item, at + index)))));
  }
  return results;
}
