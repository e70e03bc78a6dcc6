/**
 * Runs one program for `verify`, and ends it with everything it started when we are told to stop.
 *
 * Programs get the Node that runs us as `node`, and the tools of `node_modules/.bin`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

export const root = dirname(import.meta.dirname);

export interface Ran {
  readonly status: number;
  readonly output: string;
}

const running = new Set<ChildProcess>();
let isStopped = false;

/**
 * @param onLine - Gets each line of both outputs as it comes; without it they are only collected.
 */
export async function runProgram(
  [program = '', ...args]: readonly string[],
  onLine?: (line: string) => void,
): Promise<Ran> {
  if (isStopped) return { status: 130, output: '' };
  const child = spawn(program === 'node' ? process.execPath : program, args, {
    cwd: root,
    // A group of its own, so that all of it can be ended.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: searchPath(), ...colour() },
  });
  running.add(child);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (onLine === undefined) lines.push(line);
      else onLine(line);
    });
  }
  const { promise, resolve } = Promise.withResolvers<number>();
  child.on('error', (error) => {
    lines.push(`${program}: ${error.message}`);
    resolve(127);
  });
  child.on('close', (status) => resolve(status ?? 1));
  const status = await promise;
  running.delete(child);
  return { status, output: lines.join('\n') };
}

export function stopPrograms(): void {
  isStopped = true;
  for (const { pid } of running) {
    if (pid === undefined) continue;
    try {
      process.kill(-pid, 'SIGTERM');
    } catch {
      // It ended by itself meanwhile.
    }
  }
}

function searchPath(): string {
  const own = [dirname(process.execPath), join(root, 'node_modules/.bin')];
  return [...own, process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(':');
}

/** Their output goes through us, so they cannot see that a person reads it. */
function colour(): Record<string, string> {
  return process.stdout.isTTY && process.env['NO_COLOR'] === undefined ? { FORCE_COLOR: '1' } : {};
}
