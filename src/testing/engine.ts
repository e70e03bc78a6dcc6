/**
 * A Docker engine for tests, the demo, scenarios and benches.
 *
 * `acquireEngine` gives one that already answers on this machine, else the shared one that all
 * processes of a test run use together (the first starts it, the last stops it and removes all it
 * left). `startPrivateEngine` gives one to a single test, which may restart it.
 *
 * Containers of an engine that is ours have no network of their own: `network: 'none'`, or the
 * network of another container.
 *
 * Promises: nothing stays behind, also when processes are killed (see `engine-keeper.ts`).
 * Does not promise: that containers on the engine are only yours. Look only at those you made.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeContainers } from './container-sweep.ts';
import { EngineClient } from './engine-client.ts';
import {
  addHolder,
  holderName,
  isHolderAlive,
  livingHolders,
  lock,
  removeHolder,
  startTicksOf,
} from './holders.ts';
import { becomesSo, type Patience } from './until.ts';

export interface TestEngine extends AsyncDisposable {
  readonly socketPath: string;
  readonly client: EngineClient;
  /** Label value of containers made through this engine by this process. */
  readonly holder: string;
  /** False if it was there before us: then it may run containers of others, and networks work. */
  readonly ours: boolean;
}

export interface PrivateEngine extends TestEngine {
  /**
   * Ends the engine's process, which is then started again; resolves once it answers. Containers
   * stop, unless it was started with `--live-restore`.
   */
  restart(): Promise<boolean>;
}

/** Exactly one of the two is there. */
export type EngineOrReason<Engine extends TestEngine = TestEngine> =
  | { readonly engine: Engine; readonly reason?: undefined }
  | { readonly engine?: undefined; readonly reason: string };

export const enableEngine = 'apt-get install docker.io containerd runc busybox-static';
const sharedDirectory = '/run/coffer-test';
const startMsMax = 60_000;
const stopMsMax = 30_000;

/** A look may start a program or ask one that is just starting. */
const within = (withinMs: number): Patience => ({ withinMs, everyMs: 50 });

interface KeeperState {
  readonly socketPath: string;
  readonly dataDirectory: string;
  readonly keeper: { readonly pid: number; readonly startTicks: number };
  readonly dockerd: { readonly pid: number; readonly startTicks: number };
}

let acquired = 0;

/**
 * An engine to share. Call it once per process (test file, runner, demo) and dispose of it at the end;
 * a runner that holds it around all test files spares each of them the start.
 */
export async function acquireEngine(): Promise<EngineOrReason> {
  const existing = await existingEngine();
  if (existing !== undefined) return { engine: existing };
  const missing = whyImpossible();
  if (missing !== undefined) return { reason: missing };

  const holder = holderName(++acquired);
  const held = await lock(join(sharedDirectory, 'lock'));
  try {
    let state = await answering(sharedDirectory);
    if (state === undefined) {
      await clear(sharedDirectory);
      addHolder(sharedDirectory, holder);
      state = await startKeeper(sharedDirectory, '--once', []);
    }
    addHolder(sharedDirectory, holder);
    const client = new EngineClient(state.socketPath);
    await removeContainers(client, (other) => !isHolderAlive(other));
    return { engine: engineOf(sharedDirectory, { client, holder }) };
  } catch (error) {
    removeHolder(sharedDirectory, holder);
    return { reason: `dockerd does not start: ${(error as Error).message}` };
  } finally {
    await held[Symbol.asyncDispose]();
  }
}

/** @param dockerdArguments - More arguments, e.g. `--live-restore`. */
export async function startPrivateEngine(
  dockerdArguments: readonly string[] = [],
): Promise<EngineOrReason<PrivateEngine>> {
  const missing = whyImpossible();
  if (missing !== undefined) return { reason: missing };
  const runDirectory = mkdtempSync(join(tmpdir(), 'coffer-private-'));
  const holder = holderName(++acquired);
  addHolder(runDirectory, holder);
  try {
    const state = await startKeeper(runDirectory, '--respawn', dockerdArguments);
    const client = new EngineClient(state.socketPath);
    const engine = engineOf(runDirectory, { client, holder });
    return { engine: { ...engine, restart: () => restart(runDirectory) } };
  } catch (error) {
    removeHolder(runDirectory, holder);
    return { reason: `dockerd does not start: ${(error as Error).message}` };
  }
}

async function existingEngine(): Promise<TestEngine | undefined> {
  const named = process.env['DOCKER_HOST'];
  const paths = [
    ...(named?.startsWith('unix://') ? [named.slice('unix://'.length)] : []),
    '/var/run/docker.sock',
  ];
  for (const socketPath of paths) {
    const client = new EngineClient(socketPath);
    if (!(await client.answers())) continue;
    const info = await client.get('/info');
    const options = (info['SecurityOptions'] ?? []) as string[];
    // Containers in a virtual machine, or in another user's namespace, are out of our reach.
    if (info['KernelVersion'] !== release() || options.includes('name=rootless')) continue;
    if (process.getuid?.() !== 0) continue;
    await removeContainers(client, (holder) => !isHolderAlive(holder));
    const holder = holderName(++acquired);
    const remove = () => removeContainers(client, (other) => other === holder);
    return { socketPath, client, holder, ours: false, [Symbol.asyncDispose]: remove };
  }
  return undefined;
}

function whyImpossible(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root: sudo npm run verify';
  const missing = ['dockerd', 'containerd', 'runc', 'flock'].filter((name) => !isInstalled(name));
  if (missing.length > 0) return `needs ${missing.join(', ')}: ${enableEngine} util-linux`;
  return undefined;
}

export function isInstalled(program: string): boolean {
  const places = (process.env['PATH'] ?? '').split(':');
  return [...places, '/usr/sbin', '/sbin'].some((place) => {
    try {
      accessSync(join(place, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function engineOf(
  runDirectory: string,
  { client, holder }: Pick<TestEngine, 'client' | 'holder'>,
): TestEngine {
  return {
    socketPath: client.socketPath,
    client,
    holder,
    ours: true,
    async [Symbol.asyncDispose]() {
      await removeContainers(client, (other) => other === holder).catch(() => undefined);
      removeHolder(runDirectory, holder);
      if (livingHolders(runDirectory).length > 0) return;
      await becomesSo(() => stateOf(runDirectory) === undefined, within(stopMsMax));
    },
  };
}

async function startKeeper(
  runDirectory: string,
  mode: '--once' | '--respawn',
  more: readonly string[],
): Promise<KeeperState> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'coffer-engine-'));
  const keeper = spawn(
    process.execPath,
    [
      join(import.meta.dirname, 'engine-keeper.ts'),
      runDirectory,
      dataDirectory,
      mode,
      `--host=unix://${join(dataDirectory, 'docker.sock')}`,
      `--data-root=${join(dataDirectory, 'data')}`,
      `--exec-root=${join(dataDirectory, 'exec')}`,
      `--pidfile=${join(dataDirectory, 'dockerd.pid')}`,
      '--iptables=false',
      '--ip-forward=false',
      '--ip-masq=false',
      '--userland-proxy=false',
      '--bridge=none',
      ...more,
    ],
    {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      cwd: '/',
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    },
  );
  keeper.unref();
  let lastWords = '';
  keeper.stderr.on('data', (chunk) => (lastWords += chunk));
  (keeper.stderr as Socket).unref();
  let state: KeeperState | undefined;
  const answers = await becomesSo(async () => {
    if (keeper.exitCode !== null) return true;
    state = await answering(runDirectory);
    return state !== undefined;
  }, within(startMsMax));
  if (answers && state !== undefined) return state;
  if (keeper.exitCode === null) keeper.kill('SIGTERM');
  throw new Error(lastWords.trim() || 'it says nothing');
}

/** The state of an engine that answers and has a living keeper. */
async function answering(runDirectory: string): Promise<KeeperState | undefined> {
  const state = stateOf(runDirectory);
  if (state === undefined || startTicksOf(state.keeper.pid) !== state.keeper.startTicks) {
    return undefined;
  }
  return (await new EngineClient(state.socketPath).answers()) ? state : undefined;
}

/** Removes an engine whose keeper was killed. */
async function clear(runDirectory: string): Promise<void> {
  const state = stateOf(runDirectory);
  if (state === undefined) return;
  for (const process_ of [state.keeper, state.dockerd]) {
    if (startTicksOf(process_.pid) === process_.startTicks) process.kill(process_.pid, 'SIGTERM');
  }
  const gone = () => startTicksOf(state.dockerd.pid) !== state.dockerd.startTicks;
  await becomesSo(gone, within(stopMsMax));
  rmSync(join(runDirectory, 'engine.json'), { force: true });
}

const restartPatienceMs = 8000;

/** @returns False if dockerd did not come back: then nothing can be said about what survives that. */
async function restart(runDirectory: string): Promise<boolean> {
  const before = stateOf(runDirectory);
  if (before === undefined) throw new Error('the engine is gone');
  process.kill(before.dockerd.pid, 'SIGTERM');
  const ended = () => startTicksOf(before.dockerd.pid) !== before.dockerd.startTicks;
  // With open event streams and live-restore it sometimes waits for ever.
  if (!(await becomesSo(ended, within(restartPatienceMs))))
    process.kill(before.dockerd.pid, 'SIGKILL');
  return await becomesSo(async () => {
    const now = await answering(runDirectory);
    return now !== undefined && now.dockerd.pid !== before.dockerd.pid;
  }, within(startMsMax));
}

function stateOf(runDirectory: string): KeeperState | undefined {
  try {
    return JSON.parse(readText(join(runDirectory, 'engine.json'))) as KeeperState;
  } catch {
    return undefined;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
