/**
 * The keeper: a process of its own that owns a test engine, for as long as anybody holds it.
 *
 * Started by `engine.ts`, detached, so that the engine outlives the test file which happened to come
 * first. It ends, with the engine and all its files and mounts, when the last holder is gone:
 * disposed, or dead. Arguments: the run directory, the data directory, `--respawn` or `--once`, then
 * what dockerd gets.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineClient } from './engine-client.ts';
import { livingHolders, lock, startTicksOf } from './holders.ts';
import { removeContainers } from './container-sweep.ts';

const [runDirectory = '', dataDirectory = '', mode = '', ...dockerdArguments] =
  process.argv.slice(2);
const socketPath = join(dataDirectory, 'docker.sock');
const client = new EngineClient(socketPath);
/** Looks for holders that died. Those that say goodbye wake us at once. */
const pollMs = 1_000;

// Standard error may be a pipe to a process that is long gone.
process.stderr.on('error', () => undefined);

/** A new dockerd can meet what the old one's containerd has not yet let go of, on a busy machine. */
const quickEndsMax = 5;
let quickEnds = 0;
let starts = 0;
let dockerd = startDockerd();
let stopping = false;

function startDockerd(): ChildProcess {
  const log = openSync(join(dataDirectory, 'dockerd.log'), 'a');
  const startedMs = performance.now();
  starts += 1;
  const child = spawn('dockerd', dockerdArguments, { stdio: ['ignore', log, log] });
  child.on('error', () => void finish());
  child.on('exit', () => {
    if (stopping) return;
    // One that ends at once, again and again, will go on doing so.
    quickEnds = performance.now() - startedMs > 1_000 ? 0 : quickEnds + 1;
    const isHopeless = quickEnds > (starts === 1 ? 0 : quickEndsMax);
    if (mode !== '--respawn' || isHopeless) {
      void finish();
    } else {
      setTimeout(() => {
        if (!stopping) dockerd = startDockerd();
      }, quickEnds * 300);
    }
  });
  writeFileSync(
    join(runDirectory, 'engine.json'),
    JSON.stringify({
      socketPath,
      dataDirectory,
      keeper: { pid: process.pid, startTicks: startTicksOf(process.pid) },
      dockerd: { pid: child.pid, startTicks: startTicksOf(child.pid ?? 0) },
    }),
  );
  return child;
}

async function finish(): Promise<void> {
  if (stopping) return;
  stopping = true;
  // Whoever started us reads this if the engine never answered.
  const log = readFileSync(join(dataDirectory, 'dockerd.log'), 'utf8').trim();
  process.stderr.write(log.split('\n').at(-1) ?? '');
  const isRunning = dockerd.pid !== undefined && dockerd.exitCode === null;
  if (isRunning && dockerd.signalCode === null) {
    await removeContainers(client, () => true).catch(() => undefined);
    const exited = once(dockerd, 'exit');
    dockerd.kill('SIGTERM');
    const stopped = await Promise.race([exited, sleep(15_000).then(() => undefined)]);
    if (stopped === undefined) {
      dockerd.kill('SIGKILL');
      await exited;
    }
  }
  await endProcessesOf(dataDirectory);
  await unmountBelow(dataDirectory);
  rmSync(dataDirectory, { recursive: true, force: true });
  // The directory of a private engine is nobody else's.
  if (mode === '--respawn') rmSync(runDirectory, { recursive: true, force: true });
  else rmSync(join(runDirectory, 'engine.json'), { force: true });
  process.exit(0);
}

/** What dockerd leaves when it is killed: containerd and shims, which name our directory. */
async function endProcessesOf(directory: string): Promise<void> {
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const ours = command.some((word) => word.startsWith(`${directory}/`));
      if (ours && command[0]?.includes('containerd')) process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
}

async function unmountBelow(directory: string): Promise<void> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${directory}/`))
    .toReversed();
  for (const path of mounts) {
    await once(spawn('umount', ['--lazy', path], { stdio: 'ignore' }), 'exit');
  }
}

async function stopIfUnheld(): Promise<void> {
  if (stopping || livingHolders(runDirectory).length > 0) return;
  await using _lock = await lock(join(runDirectory, 'lock'));
  // Somebody may have come while we waited for the lock.
  if (!stopping && livingHolders(runDirectory).length === 0) await finish();
}

process.on('SIGTERM', () => void finish());
watch(join(runDirectory, 'holders'), () => void stopIfUnheld());
for (;;) {
  await sleep(pollMs);
  await stopIfUnheld();
}
